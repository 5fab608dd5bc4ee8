//! KV: Range, Put, DeleteRange, Txn, Compact. RangeStream stands in `range_stream`.
//!
//! Writes are checked and proposed; reads are served from the newest view once they may be.

use super::pulled::{self, Part};
use super::waiting::{self, Waiting};
use super::{Loop, check, encode, status};
use crate::door::{Answer, Call, MethodTable, Status};
use bytes::Bytes;
use messages::Token;
use messages::read::{RangePlan, Work};
use model::request::{
    AlarmAction, AlarmRequest, AlarmType, CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use model::{AlarmMember, Command, ReadError};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Time between two proposals of the alarm about space by one loop.
const ALARM_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of an answer, beyond which no client takes it: gRPC libraries count in 31 bits.
pub(super) const LARGEST_ANSWER: u64 = i32::MAX as u64;

/// Registers the methods.
pub fn register(this: &Rc<Loop>, table: &mut MethodTable) {
    unary(this, table, "Range", |this, call, request: RangeRequest| {
        check::range(&request)?;
        range(this, call, request);
        Ok(())
    });
    unary(this, table, "Put", |this, call, request: PutRequest| {
        check::put(&request)?;
        admit_cost(this, check::put_cost(&request))?;
        this.propose(call.take(), Command::Put(request));
        Ok(())
    });
    unary(this, table, "DeleteRange", |this, call, request: DeleteRangeRequest| {
        check::delete_range(&request)?;
        this.propose(call.take(), Command::DeleteRange(request));
        Ok(())
    });
    unary(this, table, "Txn", |this, call, request: TxnRequest| {
        check::txn(&request, this.config.max_txn_ops)?;
        txn(this, call, request)
    });
    unary(this, table, "Compact", |this, call, request: CompactionRequest| {
        this.propose(call.take(), Command::Compaction(request));
        Ok(())
    });
}

/// A call that a handler takes when it goes on with it; otherwise the handler's error is its answer.
pub(crate) struct Pending(Option<Call>);

impl Pending {
    /// Takes the call.
    ///
    /// # Panics
    /// When taken twice: a programming error.
    pub(crate) fn take(&mut self) -> Call {
        self.0.take().expect("a call is taken once")
    }
}

/// Registers a unary method of a service: decode, admit, handle.
pub(crate) fn method<R: prost::Message + Default + 'static>(
    this: &Rc<Loop>,
    table: &mut MethodTable,
    path: &str,
    handle: impl Fn(&Rc<Loop>, &mut Pending, R) -> Result<(), Status> + 'static,
) {
    let this = this.clone();
    table.unary(path, move |call: Call, body: Bytes| {
        let admitted = this.admit(&call);
        let mut pending = Pending(Some(call));
        let done = admitted.and_then(|()| {
            let request = R::decode(body).map_err(|e| status::malformed(&e))?;
            handle(&this, &mut pending, request)
        });
        if let (Err(status), Some(call)) = (done, pending.0.take()) {
            call.reply(status);
        }
    });
}

fn unary<R: prost::Message + Default + 'static>(
    this: &Rc<Loop>,
    table: &mut MethodTable,
    name: &str,
    handle: impl Fn(&Rc<Loop>, &mut Pending, R) -> Result<(), Status> + 'static,
) {
    method(this, table, &format!("/etcdserverpb.KV/{name}"), handle);
}

/// Refuses what does not fit into the quota or on the disk, and raises the alarm that stops further writes. A request without cost
/// passes.
pub(crate) fn admit_cost(this: &Loop, cost: i64) -> Result<(), Status> {
    let quota = this.config.quota_bytes;
    if cost != 0 && this.ports.gauges.disk_low.load(Relaxed) {
        // whoever measured it raises the alarm
        return Err(status::NO_SPACE);
    }
    if quota <= 0 || cost == 0 || this.ports.reads.logical_bytes() + cost < quota {
        return Ok(());
    }
    raise_alarm(this, quota);
    Err(status::NO_SPACE)
}

/// Proposes the alarm about space, unless it stands or was proposed a moment ago: each proposal is an entry of the log, and the
/// disk is full.
fn raise_alarm(this: &Loop, quota: i64) {
    let (now, member_id) = (this.handle.now(), this.ports.identity.member_id);
    if this.alarmed.get().is_some_and(|last| now.saturating_duration_since(last) < ALARM_PAUSE) {
        return;
    }
    this.alarmed.set(Some(now));
    let stands = |a: &AlarmMember| a.alarm == AlarmType::Nospace && a.member_id == member_id;
    if this.ports.reads.status().alarms.iter().any(stands) {
        return;
    }
    tracing::warn!(quota, "database space exceeded, raising the NOSPACE alarm");
    let action = AlarmAction::Activate as i32;
    this.propose_quietly(Command::Alarm(AlarmRequest { action, member_id, alarm: AlarmType::Nospace as i32 }));
}

fn range(this: &Rc<Loop>, call: &mut Pending, request: RangeRequest) {
    let (call, serializable) = (call.take(), request.serializable);
    let what = Waiting::Range(request);
    if serializable { waiting::serve(this, call, what) } else { this.when_readable(call, what) }
}

fn txn(this: &Rc<Loop>, call: &mut Pending, request: TxnRequest) -> Result<(), Status> {
    if check::is_read_only(&request) {
        let serializable = check::is_serializable(&request);
        let (call, what) = (call.take(), Waiting::ReadTxn(request));
        if serializable {
            waiting::serve(this, call, what);
        } else {
            this.when_readable(call, what);
        }
        return Ok(());
    }
    admit_cost(this, check::txn_cost(&request))?;
    this.propose(call.take(), Command::Txn(request));
    Ok(())
}

/// Answers a range from the newest view; `None` when it is too big to be built at once.
pub(crate) fn try_range(this: &Loop, request: &RangeRequest) -> Option<Answer> {
    Some(match this.ports.reads.range(request, this.inline_bytes())? {
        Ok((revision, outcome)) => Answer::message(encode::range(this.header(revision), &outcome)),
        Err(why) => status::of_read(&why).into(),
    })
}

/// Asks the pool to measure a range that is too big for the loop.
pub(crate) fn plan_range(this: &Loop, token: Token, request: RangeRequest) {
    if !this.query(token, Work::PlanRange(request)) {
        this.complete(token, status::TOO_MANY_REQUESTS);
    }
}

/// The pool measured a big range: it is sent chunk by chunk, as the client takes it.
pub(crate) fn range_planned(this: &Rc<Loop>, token: Token, result: Result<RangePlan, ReadError>) {
    if matches!(this.waiting.borrow().get(&token), Some(Waiting::Stream(_))) {
        return super::range_stream::planned(this, token, result);
    }
    let waiting = this.waiting.borrow_mut().remove(&token);
    if let Some(Waiting::LeaseKeys(response)) = waiting {
        return super::lease::keys_planned(this, token, response, result);
    }
    match result {
        Err(why) => this.complete(token, status::of_read(&why)),
        Ok(plan) => {
            let head = encode::range_head(this.header(plan.revision));
            let mut tail = bytes::BytesMut::new();
            encode::range_tail(&mut tail, plan.more, plan.count);
            let parts = vec![Part::Bytes(head), Part::Pulled(plan.kvs_bytes, plan.source), Part::Bytes(tail.freeze())];
            this.complete(token, pulled::answer(this, parts));
        }
    }
}
