//! One answer of the server beside the one of the specification.
//!
//! Exactly equal, but for what is listed here: the ids and the term in headers (learnt once, then constant), the order of keys of
//! a lease and of the list of leases (etcd promises none), remaining seconds of a lease (two seconds either way), and what
//! [`super::rules`] names.

use super::rules::{Allowance, Rules};
use crate::spec::kv::{is_key_order, sort_value};
use crate::spec::{Answer, Op, Refusal, Spec};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    RangeRequest, RangeResponse, RequestOp, RequestUnion, ResponseHeader, ResponseOp, SortTarget, TxnRequest,
    TxnResponse,
};
use api::mvccpb::KeyValue;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Seconds by which clocks of client and server may differ over the life of a lease.
const CLOCK: i64 = 2;

/// More key-values than etcd sorts stably.
const STABLE: usize = 12;

/// Compares answers.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    /// What the server is allowed.
    pub(super) rules: Rules,
    /// Ids and term of the server, revision zero.
    identity: ResponseHeader,
    /// How often each kind of answer was compared.
    pub(super) tally: BTreeMap<String, u64>,
}

impl Judge {
    /// A judge of the server that sent this header.
    pub(super) fn new(rules: Rules, header: &ResponseHeader) -> Self {
        Self { rules, identity: ResponseHeader { revision: 0, ..*header }, tally: BTreeMap::new() }
    }

    /// The header an answer has at a revision.
    pub(super) fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader { revision, ..self.identity }
    }

    /// Compares an answer with what the specification says. `before` is the state the request met.
    ///
    /// # Errors
    /// A text that shows both.
    pub(super) fn compare(
        &mut self,
        before: &Spec,
        op: &Op,
        wanted: Result<Answer, Refusal>,
        got: &Result<Answer, Refusal>,
    ) -> Result<(), String> {
        let mut wanted = wanted;
        if let Ok(answer) = &mut wanted {
            let header = answer.header();
            *header = header.take().map(|h| self.header(h.revision));
        }
        let mut got = got.clone();
        if let (Ok(wanted), Ok(got)) = (&mut wanted, &mut got) {
            self.even_out(before, op, wanted, got);
        }
        if wanted != got {
            return Err(both(&wanted, &got));
        }
        self.count(op.name(), got.as_ref().err().map_or("answered", |why| &why.text));
        Ok(())
    }

    /// Counts something that was compared and found right.
    pub(super) fn count(&mut self, what: &str, how: &str) {
        *self.tally.entry(format!("{what}: {how}")).or_default() += 1;
    }

    /// Makes equal what may differ.
    fn even_out(&mut self, before: &Spec, op: &Op, wanted: &mut Answer, got: &mut Answer) {
        match (op, wanted, got) {
            (Op::Range(request), Answer::Range(wanted), Answer::Range(got)) => {
                self.even_range(Some(before), request, wanted, got);
            }
            (Op::Stream(request), Answer::Stream(wanted), Answer::Stream(got)) => {
                self.even_range(Some(before), request, wanted, got);
                // the first chunk of etcd has ten keys, or as many as the limit; what is left is counted from its last one on
                let by_chunk = request.sort_target() != SortTarget::Key && (wanted.kvs.len() > 10 || wanted.more);
                if by_chunk && wanted != got && self.rules.take(Allowance::SortedChunks) {
                    (got.kvs, got.more, got.count) = (wanted.kvs.clone(), wanted.more, wanted.count);
                }
            }
            (Op::Txn(request), Answer::Txn(wanted), Answer::Txn(got)) => self.even_txn(request, wanted, got),
            (Op::TimeToLive(_), Answer::TimeToLive(wanted), Answer::TimeToLive(got)) => {
                got.keys.sort();
                if wanted.ttl >= 0 && (got.ttl - wanted.ttl).abs() <= CLOCK {
                    got.ttl = wanted.ttl;
                }
            }
            (Op::Leases, Answer::Leases(wanted), Answer::Leases(got)) => {
                wanted.leases.sort_by_key(|lease| lease.id);
                got.leases.sort_by_key(|lease| lease.id);
            }
            _ => {}
        }
    }

    fn even_txn(&mut self, request: &TxnRequest, wanted: &mut TxnResponse, got: &mut TxnResponse) {
        let operations = if wanted.succeeded { &request.success } else { &request.failure };
        for ((op, wanted), got) in operations.iter().zip(&mut wanted.responses).zip(&mut got.responses) {
            self.even_op(op, wanted, got);
        }
    }

    fn even_op(&mut self, op: &RequestOp, wanted: &mut ResponseOp, got: &mut ResponseOp) {
        match (&op.request, &mut wanted.response, &mut got.response) {
            (Some(RequestUnion::Range(op)), Some(Response::ResponseRange(w)), Some(Response::ResponseRange(g))) => {
                self.even_range(None, op, w, g);
            }
            (Some(RequestUnion::Txn(op)), Some(Response::ResponseTxn(w)), Some(Response::ResponseTxn(g))) => {
                self.even_txn(op, w, g);
            }
            _ => {}
        }
    }

    /// Equal sort values in another order, where that is allowed.
    fn even_range(
        &mut self,
        before: Option<&Spec>,
        op: &RangeRequest,
        wanted: &RangeResponse,
        got: &mut RangeResponse,
    ) {
        if is_key_order(op) && op.sort_target() == SortTarget::Key || wanted.kvs == got.kvs {
            return;
        }
        // without the limit the specification tells which key-values could be among the answer
        let unlimited = RangeRequest { limit: 0, ..op.clone() };
        let all = before.and_then(|spec| spec.range(&unlimited).ok()).map_or_else(|| wanted.kvs.clone(), |r| r.kvs);
        let values = |kvs: &[KeyValue]| -> Vec<_> { kvs.iter().map(|kv| sort_value(op.sort_target(), kv)).collect() };
        let mut keys: Vec<_> = got.kvs.iter().map(|kv| &kv.key).collect();
        keys.sort();
        keys.dedup();
        let permuted = all.len() > STABLE
            // keys only: the values it was sorted by are not there any more
            && (op.keys_only || values(&wanted.kvs) == values(&got.kvs))
            && keys.len() == wanted.kvs.len()
            && got.kvs.iter().all(|kv| all.contains(kv));
        if permuted && self.rules.take(Allowance::SortTies) {
            got.kvs.clone_from(&wanted.kvs);
        }
    }
}

fn both<T: Debug>(wanted: &T, got: &T) -> String {
    format!("expected {wanted:?}\n     got {got:?}")
}
