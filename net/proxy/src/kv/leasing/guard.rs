//! Transactions of the leasing protocol: taking a key, writing under the condition that nobody else has it, asking for it. Pure.
//!
//! Source of keys and values: etcd's client package `leasing`. Must never write a key whose leasing key another one holds.

use crate::kv::cache::Span;
use crate::namespace::{Namespace, end_of_prefix};
use api::etcdserverpb as pb;
use bytes::{BufMut, Bytes, BytesMut};
use pb::{Compare, CompareResult, CompareTarget, RequestOp, RequestUnion, TargetUnion};
use std::collections::BTreeSet;

/// What an owner is asked with.
pub(super) const REVOKE: &[u8] = b"REVOKE";
/// Conditions of a transaction at most: a member takes 128 by default.
const CONDITIONS: usize = 64;
/// Leasing keys looked at by one transaction.
const FOUND: i64 = 64;

/// Names of keys and of their leasing keys at the cluster.
#[derive(Clone, Debug)]
pub(super) struct Names {
    namespace: Namespace,
    prefix: Bytes,
}

impl Names {
    /// Leasing keys begin with a prefix, inside of the namespace.
    pub(super) fn new(namespace: Namespace, prefix: &Bytes) -> Self {
        Self { prefix: namespace.key(prefix), namespace }
    }

    pub(super) fn key(&self, key: &Bytes) -> Bytes {
        self.namespace.key(key)
    }

    /// All leasing keys.
    pub(super) fn all(&self) -> (Bytes, Bytes) {
        (self.prefix.clone(), end_of_prefix(&self.prefix))
    }

    /// The leasing key of a client's key.
    pub(super) fn leasing(&self, key: &Bytes) -> Bytes {
        let mut out = BytesMut::with_capacity(self.prefix.len() + key.len());
        out.put_slice(&self.prefix);
        out.put_slice(key);
        out.freeze()
    }

    /// The client's key of a leasing key.
    pub(super) fn key_of(&self, leasing: &Bytes) -> Option<Bytes> {
        leasing.starts_with(&self.prefix).then(|| leasing.slice(self.prefix.len()..))
    }

    fn leasing_end(&self, end: &Bytes) -> Bytes {
        match end.as_ref() {
            [] => Bytes::new(),
            [0] => end_of_prefix(&self.prefix),
            _ => self.leasing(end),
        }
    }
}

/// Takes a key if nobody has it. A key that is missing or goes with a lease is never taken: it may come or go without a write.
/// Answers of both outcomes begin with the read.
pub(super) fn acquire(names: &Names, request: &pb::RangeRequest, lease: i64) -> pb::TxnRequest {
    let (key, leasing) = (names.key(&request.key), names.leasing(&request.key));
    let whole = pb::RangeRequest { key: key.clone(), ..Default::default() };
    let asked = pb::RangeRequest { key: key.clone(), ..request.clone() };
    let take = pb::PutRequest { key: leasing.clone(), lease, ..Default::default() };
    pb::TxnRequest {
        compare: vec![
            created(leasing, Bytes::new(), CompareResult::Equal, 0),
            created(key.clone(), Bytes::new(), CompareResult::Greater, 0),
            Compare {
                result: CompareResult::Equal as i32,
                target: CompareTarget::Lease as i32,
                key,
                target_union: Some(TargetUnion::Lease(0)),
                ..Default::default()
            },
        ],
        success: vec![op(RequestUnion::Range(whole)), op(RequestUnion::Put(take))],
        failure: vec![op(RequestUnion::Range(asked))],
    }
}

/// A write of `spans`, done if nobody but this proxy has a key of them: `owned` are its own, with the revisions at which their
/// leasing keys were created. Answers begin with the write's, and those of the keys in `owned` follow; when it is not done, they
/// are the leasing keys that stand against it.
pub(super) fn guarded(names: &Names, write: RequestUnion, spans: &[Span], owned: &[(Bytes, i64)]) -> pb::TxnRequest {
    let mut success = vec![op(write)];
    for (key, _) in owned {
        success.push(op(RequestUnion::Range(pb::RangeRequest { key: names.key(key), ..Default::default() })));
    }
    let (mut compare, mut failure) = (Vec::new(), Vec::new());
    for span in spans {
        let (key, end) = (names.leasing(&span.key), names.leasing_end(&span.end));
        let leased = owned.iter().find(|(own, _)| *own == span.key && span.end.is_empty()).map_or(0, |(_, at)| *at);
        compare.push(created(key.clone(), end.clone(), CompareResult::Equal, leased));
        let look = pb::RangeRequest { key, range_end: end, limit: FOUND, ..Default::default() };
        failure.push(op(RequestUnion::Range(look)));
    }
    pb::TxnRequest { compare, success, failure }
}

/// Asks the owner of a leasing key to give it up. It stays under the owner's lease: when he dies, it goes.
pub(super) fn revoke(leasing: Bytes, leased: i64) -> pb::TxnRequest {
    let put = pb::PutRequest { key: leasing.clone(), value: REVOKE.into(), ignore_lease: true, ..Default::default() };
    pb::TxnRequest {
        compare: vec![created(leasing, Bytes::new(), CompareResult::Equal, leased)],
        success: vec![op(RequestUnion::Put(put))],
        failure: vec![],
    }
}

/// Deletes a leasing key, unless it is another one by now.
pub(super) fn release(leasing: Bytes, leased: i64) -> pb::TxnRequest {
    let delete = pb::DeleteRangeRequest { key: leasing.clone(), ..Default::default() };
    pb::TxnRequest {
        compare: vec![created(leasing, Bytes::new(), CompareResult::Equal, leased)],
        success: vec![op(RequestUnion::DeleteRange(delete))],
        failure: vec![],
    }
}

/// What a transaction may write, as spans that are few enough for one condition each: without doubles, and when there are too
/// many, one span around them all.
pub(in crate::kv) fn written(txn: &pb::TxnRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    collect(txn, &mut spans);
    bounded(spans)
}

fn bounded(spans: Vec<Span>) -> Vec<Span> {
    let mut seen = BTreeSet::new();
    let distinct: Vec<Span> =
        spans.into_iter().filter(|span| seen.insert((span.key.clone(), span.end.clone()))).collect();
    if distinct.len() <= CONDITIONS {
        return distinct;
    }
    let first = distinct.iter().map(|span| &span.key).min().cloned().unwrap_or_default();
    let mut end = Bytes::new();
    for span in &distinct {
        let own = match span.end.as_ref() {
            [] => Bytes::from([&span.key[..], &[0]].concat()),
            [0] => return vec![Span::new(&first, &span.end)],
            _ => span.end.clone(),
        };
        end = end.max(own);
    }
    vec![Span::new(&first, &end)]
}

fn collect(txn: &pb::TxnRequest, spans: &mut Vec<Span>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(RequestUnion::Put(put)) => spans.push(Span::new(&put.key, &Bytes::new())),
            Some(RequestUnion::DeleteRange(delete)) => spans.push(Span::new(&delete.key, &delete.range_end)),
            Some(RequestUnion::Txn(inner)) => collect(inner, spans),
            Some(RequestUnion::Range(_)) | None => {}
        }
    }
}

fn created(key: Bytes, range_end: Bytes, result: CompareResult, revision: i64) -> Compare {
    Compare {
        result: result as i32,
        target: CompareTarget::Create as i32,
        key,
        range_end,
        target_union: Some(TargetUnion::CreateRevision(revision)),
    }
}

fn op(request: RequestUnion) -> RequestOp {
    RequestOp { request: Some(request) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(Namespace("n/".into()), &"l/".into())
    }

    fn put(key: String) -> RequestOp {
        op(RequestUnion::Put(pb::PutRequest { key: key.into(), ..Default::default() }))
    }

    #[test]
    fn leasing_keys_lie_in_the_namespace_and_ranges_keep_their_ends() {
        let names = names();
        assert_eq!(names.leasing(&"k".into()), "n/l/k");
        assert_eq!(names.key_of(&"n/l/k".into()).unwrap(), "k");
        assert_eq!(names.key_of(&"n/x/k".into()), None);
        assert_eq!(names.all(), ("n/l/".into(), "n/l0".into()));
        let ends = [("", ""), ("\0", "n/l0"), ("m", "n/l/m")];
        ends.into_iter().for_each(|(end, wanted)| assert_eq!(names.leasing_end(&end.into()), wanted));
    }

    #[test]
    fn a_write_of_owned_keys_reads_them_back_and_others_must_be_free() {
        let spans = [Span::new(&"a".into(), &Bytes::new()), Span::new(&"b".into(), &"d".into())];
        let write = RequestUnion::Put(pb::PutRequest { key: "n/a".into(), ..Default::default() });
        let txn = guarded(&names(), write, &spans, &[("a".into(), 7)]);
        let wanted: Vec<_> =
            txn.compare.iter().map(|c| (c.key.clone(), c.range_end.clone(), c.target_union.clone())).collect();
        assert_eq!(
            wanted,
            [
                ("n/l/a".into(), "".into(), Some(TargetUnion::CreateRevision(7))),
                ("n/l/b".into(), "n/l/d".into(), Some(TargetUnion::CreateRevision(0))),
            ]
        );
        assert_eq!((txn.success.len(), txn.failure.len()), (2, 2));
    }

    #[test]
    fn a_transaction_of_many_keys_is_guarded_by_one_condition() {
        let few = pb::TxnRequest {
            success: vec![put("a".into()), put("b".into())],
            failure: vec![put("a".into())],
            ..Default::default()
        };
        assert_eq!(written(&few).len(), 2, "without doubles");
        let inner =
            pb::TxnRequest { failure: (0..100).map(|n| put(format!("k{n:03}"))).collect(), ..Default::default() };
        let many =
            pb::TxnRequest { success: vec![op(RequestUnion::Txn(inner)), put("a".into())], ..Default::default() };
        assert_eq!(written(&many), [Span::new(&"a".into(), &"k099\0".into())]);
        let delete =
            pb::DeleteRangeRequest { key: "z".into(), range_end: Bytes::from_static(&[0]), ..Default::default() };
        let mut open = many;
        open.failure.push(op(RequestUnion::DeleteRange(delete)));
        assert_eq!(written(&open), [Span::new(&"a".into(), &Bytes::from_static(&[0]))]);
    }
}
