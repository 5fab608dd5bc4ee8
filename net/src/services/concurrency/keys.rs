//! The keys of a queue, and the commands that make, change and delete them. Everything here is pure.
//!
//! Must never change a key that another has made since: every write compares the revision that created it.

use api::etcdserverpb::RangeResponse;
use bytes::Bytes;
use messages::read::{TxnPlan, TxnRange};
use model::request::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, RequestUnion,
    TargetUnion, TxnRequest,
};
use model::{Command, KeyRange, KeyValue, OpOutcome, RangeOutcome, ReadError};
use prost::Message as _;

/// What all keys of the queue with this name begin with.
pub(super) fn prefix_of(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// All keys of a queue.
pub(super) fn range_of(prefix: &Bytes) -> KeyRange {
    let name = &prefix[..prefix.len() - 1];
    let end = [name, &[b'/' + 1]].concat();
    KeyRange::new(prefix.clone(), end.into())
}

/// A read of everything in a queue.
pub(super) fn all_of(prefix: &Bytes) -> RangeRequest {
    let KeyRange { key, end } = range_of(prefix);
    RangeRequest { key, range_end: end, ..RangeRequest::default() }
}

/// The key of a lease in a queue, as etcd writes it: a negative id has a minus sign.
pub(super) fn key_of(prefix: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [prefix, format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// Puts a key unless it exists; then it is read instead.
pub(super) fn put_or_get(key: Bytes, value: Bytes, lease: i64) -> TxnRequest {
    let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
    let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    TxnRequest {
        compare: vec![created_at(key, 0)],
        success: vec![op(RequestUnion::Put(put))],
        failure: vec![op(RequestUnion::Range(get))],
    }
}

/// Puts a new value under a key, if it is still the one that was created at that revision.
pub(super) fn put_created(key: Bytes, created: i64, value: Bytes, lease: i64) -> TxnRequest {
    let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
    TxnRequest {
        compare: vec![created_at(key, created)],
        success: vec![op(RequestUnion::Put(put))],
        failure: Vec::new(),
    }
}

/// Deletes a key, if it is still the one that was created at that revision.
pub(super) fn delete_created(key: Bytes, created: i64) -> Command {
    let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
    Command::Txn(TxnRequest {
        compare: vec![created_at(key, created)],
        success: vec![op(RequestUnion::DeleteRange(delete))],
        failure: Vec::new(),
    })
}

/// The key exists since this revision; zero: it does not exist.
fn created_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key,
        target_union: Some(TargetUnion::CreateRevision(revision)),
        range_end: Bytes::new(),
    }
}

/// A transaction that reads these ranges in one view.
pub(super) fn read_all(ranges: impl IntoIterator<Item = RangeRequest>) -> TxnRequest {
    let success = ranges.into_iter().map(|range| op(RequestUnion::Range(range))).collect();
    TxnRequest { success, ..TxnRequest::default() }
}

fn op(request: RequestUnion) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// The first key-value of the outcome of a range.
pub(super) fn first_kv(outcome: &OpOutcome) -> Option<KeyValue> {
    match outcome {
        // stored bytes were written by us
        OpOutcome::Range(range) => KeyValue::decode(range.kvs.first()?.clone()).ok(),
        _ => None,
    }
}

/// The first key-value of each range that the reader pool has read for a transaction of [`read_all`].
///
/// Each of these ranges asks for one key-value, so reading even one that was only measured brings in no more than a
/// request may.
///
/// # Errors
/// A measured range cannot be read any more.
pub(super) fn first_kvs(plan: TxnPlan) -> Result<Vec<Option<KeyValue>>, ReadError> {
    let mut first = Vec::with_capacity(plan.ranges.len());
    for range in plan.ranges {
        first.push(match range {
            TxnRange::Read(RangeOutcome { kvs, .. }) => {
                // stored bytes were written by us
                kvs.into_iter().next().and_then(|kv| KeyValue::decode(kv).ok())
            }
            TxnRange::Planned(mut planned) => {
                let fields = planned.source.next(usize::MAX)?.unwrap_or_default();
                let response = RangeResponse::decode(fields).unwrap_or_default();
                response.kvs.into_iter().next()
            }
        });
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_etcds() {
        assert_eq!(key_of(b"a/", 0x7b), "a/7b");
        assert_eq!(key_of(b"a/", 0x694d_7c2a_9f0e_1b03), "a/694d7c2a9f0e1b03");
        assert_eq!(key_of(b"a/", -1), "a/-1");
        assert_eq!(key_of(b"/", i64::MIN), "/-8000000000000000");
    }

    #[test]
    fn a_queue_holds_its_own_keys_only() {
        let range = all_of(&prefix_of(b"a"));
        assert_eq!((&range.key[..], &range.range_end[..]), (&b"a/"[..], &b"a0"[..]));
        assert!(range.key <= key_of(&range.key, 1) && key_of(&range.key, -1) < range.range_end);
    }
}
