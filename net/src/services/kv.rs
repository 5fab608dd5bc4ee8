//! KV: Range, Put, DeleteRange, Txn, Compact. RangeStream is in `range_stream`.
//!
//! Writes are validated and proposed. Reads are served from the newest view, linearizable ones after a read index was granted.

use super::admission::OnLearner;
use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::encode::{self, Part};
use super::pulled;
use super::quota::admit_call;
use super::reads::{self, Guarded, ReadCall, Served};
use super::unary::{self, PendingCall};
use super::{check, describe, status};
use crate::door::{Answer, MethodTable, Status};
use bytes::BytesMut;
use messages::Token;
use messages::auth::AuthRules;
use messages::read::{RangePlan, TxnPlan, Work};
use model::request::{CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use model::{AuthRefusal, Caller, Command, KeyRange};

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    let on_learner = |request: &RangeRequest| match request.serializable {
        true => OnLearner::Served,
        false => OnLearner::Refused,
    };
    let range = "/etcdserverpb.KV/Range";
    unary::method_on_learners(services, table, range, on_learner, |services, call, request: RangeRequest| {
        describe::range(call, &request);
        check::range(&request)?;
        let serializable = request.serializable;
        serve_read(services, call, Range(request), serializable);
        Ok(())
    });
    method(services, table, "Put", |services, call, request: PutRequest| {
        describe::put(call, &request);
        check::put(&request)?;
        admit_call(services, call, check::put_cost(&request))?;
        services.propose(call.take(), Command::Put(request));
        Ok(())
    });
    method(services, table, "DeleteRange", |services, call, request: DeleteRangeRequest| {
        describe::delete_range(call, &request);
        check::delete_range(&request)?;
        services.propose(call.take(), Command::DeleteRange(request));
        Ok(())
    });
    method(services, table, "Txn", |services, call, request: TxnRequest| {
        let is_read_only = check::is_read_only(&request);
        describe::txn(call, &request, is_read_only);
        check::txn(&request, services.config().max_txn_ops)?;
        if is_read_only {
            let serializable = check::is_serializable(&request);
            serve_read(services, call, ReadTxn(request), serializable);
            return Ok(());
        }
        admit_call(services, call, check::txn_cost(&request))?;
        services.propose(call.take(), Command::Txn(request));
        Ok(())
    });
    method(services, table, "Compact", |services, call, request: CompactionRequest| {
        describe::compact(call, &request);
        services.require_admin(call)?;
        services.propose(call.take(), Command::Compaction(request));
        Ok(())
    });
}

fn method<R: prost::Message + Default + 'static>(
    services: &ClientServices,
    table: &mut MethodTable,
    name: &str,
    handle: impl Fn(&ClientServices, &mut PendingCall, R) -> Result<(), Status> + 'static,
) {
    unary::method(services, table, &format!("/etcdserverpb.KV/{name}"), handle);
}

fn serve_read(services: &ClientServices, call: &mut PendingCall, read: impl ReadCall, serializable: bool) {
    if serializable {
        reads::serve(services, call.take(), read);
    } else {
        reads::serve_linearizable(services, call.take(), read);
    }
}

/// A range.
struct Range(RangeRequest);

impl ReadCall for Range {
    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_read(caller, &KeyRange::new(self.0.key.clone(), self.0.range_end.clone()))
    }

    fn serve(self, services: &ClientServices) -> Served {
        match services.ports().reads.range(&self.0, services.inline_bytes()) {
            Some(Ok((revision, outcome))) => Answer::message(encode::range(services.header(revision), &outcome)).into(),
            Some(Err(why)) => status::of_read(&why).into(),
            None => Served::later(|services, token, permit| {
                services.query(token, Work::PlanRange(self.0), Guarded { permit, call: LargeRange });
            }),
        }
    }
}

/// A range that is too large for the loop: the reader pool measures it, then it is sent chunk by chunk as the client takes it.
struct LargeRange;

impl DeferredCall<ClientServices> for LargeRange {
    fn range_planned(self: Box<Self>, services: &ClientServices, token: Token, plan: RangePlan) {
        let head = encode::range_head(services.header(plan.revision));
        let mut tail = BytesMut::new();
        encode::range_tail(&mut tail, plan.more, plan.count);
        let parts = vec![Part::Bytes(head), Part::Pulled(plan.kvs_bytes, plan.source), Part::Bytes(tail.freeze())];
        services.complete(token, pulled::answer(services, parts));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

/// A transaction that writes nothing.
struct ReadTxn(TxnRequest);

impl ReadCall for ReadTxn {
    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_read_txn(caller, &self.0)
    }

    fn serve(self, services: &ClientServices) -> Served {
        let inline = check::is_small(&self.0);
        let read = if inline { services.ports().reads.read_txn(&self.0, services.inline_bytes()) } else { None };
        match read {
            Some(Ok((revision, outcome))) => Answer::message(encode::op(services.header(revision), &outcome)).into(),
            Some(Err(why)) => status::of_read(&why).into(),
            None => Served::later(|services, token, permit| {
                services.query(token, Work::ReadTxn(self.0), Guarded { permit, call: LargeReadTxn });
            }),
        }
    }
}

/// A read-only transaction that the reader pool evaluates. Large ranges in its answer are read while they are sent.
struct LargeReadTxn;

impl DeferredCall<ClientServices> for LargeReadTxn {
    fn txn_read(self: Box<Self>, services: &ClientServices, token: Token, plan: TxnPlan) {
        let parts = encode::txn_parts(services.header(plan.revision), plan);
        services.complete(token, pulled::answer(services, parts));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}
