//! Validates requests before they become commands. Code behind this file trusts what passes here and never checks again.
//!
//! Errors, and the order in which they are found, are those of etcd. Must never look at the store.

use super::status;
use crate::door::Status;
use bytes::Bytes;
use model::request::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, RequestUnion, SortOrder, SortTarget, TxnRequest,
};
use std::collections::{BTreeMap, HashSet};

/// Validates a range.
///
/// # Errors
/// The key is empty, or the sort order or target is unknown.
pub fn range(request: &RangeRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(status::EMPTY_KEY);
    }
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err() {
        return Err(status::INVALID_SORT);
    }
    Ok(())
}

/// Validates a range that is to be streamed.
///
/// # Errors
/// Those of [`range`]; a sort order or a revision filter is given.
pub fn range_stream(request: &RangeRequest) -> Result<(), Status> {
    range(request)?;
    // without a sort order the target does not matter (etcd's rule)
    let ascending_keys =
        request.sort_order == SortOrder::Ascend as i32 && request.sort_target == SortTarget::Key as i32;
    if request.sort_order != SortOrder::None as i32 && !ascending_keys {
        return Err(status::STREAM_SORT);
    }
    let filters =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    if filters.iter().any(|f| *f != 0) { Err(status::STREAM_FILTER) } else { Ok(()) }
}

/// Validates a put.
///
/// # Errors
/// The key is empty, or a value or lease is given that is to be ignored.
pub fn put(request: &PutRequest) -> Result<(), Status> {
    if request.key.is_empty() {
        return Err(status::EMPTY_KEY);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(status::VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(status::LEASE_PROVIDED);
    }
    Ok(())
}

/// Validates a delete.
///
/// # Errors
/// The key is empty.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), Status> {
    if request.key.is_empty() { Err(status::EMPTY_KEY) } else { Ok(()) }
}

/// Validates a transaction: its operations, how many there are, and that no key is put twice.
///
/// # Errors
/// Those of the operations; there are too many of them; a key is put twice.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), Status> {
    operations(request, max_ops)?;
    touched(&request.success)?;
    touched(&request.failure)?;
    Ok(())
}

/// Checks the operations and how many there are. A nested transaction may have as many as its parent left over.
fn operations(request: &TxnRequest, max_ops: usize) -> Result<(), Status> {
    let level = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = max_ops.checked_sub(level) else { return Err(status::TOO_MANY_OPS) };
    if request.compare.iter().any(|c| c.key.is_empty()) {
        return Err(status::EMPTY_KEY);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(RequestUnion::Range(r)) => range(r)?,
            Some(RequestUnion::Put(r)) => put(r)?,
            Some(RequestUnion::DeleteRange(r)) => delete_range(r)?,
            Some(RequestUnion::Txn(r)) => operations(r, left)?,
            None => return Err(status::KEY_NOT_FOUND),
        }
    }
    Ok(())
}

/// Keys put and ranges deleted by a branch.
#[derive(Default)]
struct Touched {
    puts: HashSet<Bytes>,
    deletes: Deletes,
}

/// Deleted ranges that do not touch, by their first keys. A transaction may hold 100,000 operations, so looking up a key must
/// not walk through all ranges.
#[derive(Default)]
struct Deletes {
    keys: HashSet<Bytes>,
    ranges: BTreeMap<Bytes, Bytes>,
}

impl Deletes {
    /// An open-ended delete counts as an empty range here: etcd compares its end (one zero byte) literally, so there, too, a
    /// put is allowed beside a delete of everything.
    fn add(&mut self, from: Bytes, end: Bytes) {
        if end.is_empty() {
            self.keys.insert(from);
        } else if from < end {
            self.merge(from, end);
        }
    }

    fn merge(&mut self, mut from: Bytes, mut end: Bytes) {
        // every range that touches the new one becomes part of it
        while let Some((first, last)) = self.ranges.range(..=end.clone()).next_back().filter(|(_, last)| **last >= from)
        {
            let first = first.clone();
            let last = last.clone();
            self.ranges.remove(&first);
            from = from.min(first);
            end = end.max(last);
        }
        self.ranges.insert(from, end);
    }

    fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
        for (from, end) in other.ranges {
            self.merge(from, end);
        }
    }

    fn contains(&self, key: &Bytes) -> bool {
        let range = self.ranges.range::<Bytes, _>(..=key).next_back();
        self.keys.contains(key) || range.is_some_and(|(_, end)| key < end)
    }
}

impl Touched {
    fn add(&mut self, key: &Bytes, also_allowed: Option<&HashSet<Bytes>>) -> Result<(), Status> {
        let twice = self.puts.contains(key) && also_allowed.is_none_or(|other| !other.contains(key));
        if twice || self.deletes.contains(key) {
            return Err(status::DUPLICATE_KEY);
        }
        self.puts.insert(key.clone());
        Ok(())
    }
}

/// What a branch touches, nested transactions included. Only one branch of a nested transaction is executed, so both may put
/// the same key.
fn touched(ops: &[RequestOp]) -> Result<Touched, Status> {
    let mut all = Touched::default();
    for op in ops {
        if let Some(RequestUnion::DeleteRange(r)) = &op.request {
            all.deletes.add(r.key.clone(), r.range_end.clone());
        }
    }
    for op in ops {
        if let Some(RequestUnion::Txn(r)) = &op.request {
            let then = touched(&r.success)?;
            let otherwise = touched(&r.failure)?;
            for key in &then.puts {
                all.add(key, None)?;
            }
            for key in &otherwise.puts {
                all.add(key, Some(&then.puts))?;
            }
            all.deletes.extend(then.deletes);
            all.deletes.extend(otherwise.deletes);
        }
    }
    for op in ops {
        if let Some(RequestUnion::Put(r)) = &op.request {
            all.add(&r.key, None)?;
        }
    }
    Ok(all)
}

/// Bytes that a put counts against the quota.
pub fn put_cost(request: &PutRequest) -> i64 {
    const OVERHEAD: i64 = 256;
    OVERHEAD + (request.key.len() + request.value.len()) as i64
}

/// Bytes that a lease counts against the quota.
pub const LEASE_COST: i64 = 64;

/// Bytes that a transaction counts against the quota: those of its larger branch, nested transactions included.
pub fn txn_cost(request: &TxnRequest) -> i64 {
    let branch = |ops: &[RequestOp]| -> i64 {
        ops.iter()
            .map(|op| match &op.request {
                Some(RequestUnion::Put(r)) => put_cost(r),
                Some(RequestUnion::Txn(r)) => txn_cost(r),
                _ => 0,
            })
            .sum()
    };
    branch(&request.success).max(branch(&request.failure))
}

/// True when a transaction holds nothing but ranges. Such a transaction is served as a read and not proposed.
pub fn is_read_only(request: &TxnRequest) -> bool {
    let reads = |op: &RequestOp| matches!(op.request, Some(RequestUnion::Range(_)));
    request.success.iter().chain(&request.failure).all(reads)
}

/// True when a read-only transaction reads single keys only, so that a connection thread may evaluate it.
pub fn is_small(request: &TxnRequest) -> bool {
    let single = |op: &RequestOp| matches!(&op.request, Some(RequestUnion::Range(r)) if r.range_end.is_empty());
    request.compare.iter().all(|c| c.range_end.is_empty()) && request.success.iter().chain(&request.failure).all(single)
}

/// True when every range of a read-only transaction is serializable.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let serializable = |op: &RequestOp| matches!(&op.request, Some(RequestUnion::Range(r)) if r.serializable);
    request.success.iter().chain(&request.failure).all(serializable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(request: RequestUnion) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn put_op(key: &'static str) -> RequestOp {
        op(RequestUnion::Put(PutRequest { key: key.into(), ..Default::default() }))
    }

    fn delete_op(key: &'static str, end: &'static str) -> RequestOp {
        let request = DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false };
        op(RequestUnion::DeleteRange(request))
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(RequestUnion::Txn(TxnRequest { compare: vec![], success, failure }))
    }

    fn check(success: Vec<RequestOp>) -> Result<(), Status> {
        txn(&TxnRequest { compare: vec![], success, failure: vec![] }, 128)
    }

    #[test]
    fn a_key_is_put_at_most_once_on_any_path() {
        assert_eq!(check(vec![put_op("a"), put_op("a")]), Err(status::DUPLICATE_KEY));
        assert_eq!(check(vec![put_op("a"), delete_op("a", "b")]), Err(status::DUPLICATE_KEY));
        assert_eq!(check(vec![put_op("b"), delete_op("a", "b")]), Ok(()));
        assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "")]), Ok(()));
        assert_eq!(check(vec![nested(vec![put_op("a")], vec![put_op("a")])]), Ok(()));
        assert_eq!(check(vec![nested(vec![put_op("a")], vec![]), put_op("a")]), Err(status::DUPLICATE_KEY));
        let twins = vec![nested(vec![put_op("a")], vec![]), nested(vec![], vec![put_op("a")])];
        assert_eq!(check(twins), Err(status::DUPLICATE_KEY));
    }

    #[test]
    fn an_open_ended_delete_passes_beside_a_put_as_in_etcd() {
        assert_eq!(check(vec![put_op("a"), delete_op("a", "\0")]), Ok(()));
    }

    #[test]
    fn many_deletes_and_puts_are_checked_in_time() {
        let name = |kind: char, i: usize| Bytes::from(format!("{kind}{i:05}"));
        let delete = |i| {
            let request = DeleteRangeRequest { key: name('d', i), range_end: name('d', i + 1), prev_kv: false };
            op(RequestUnion::DeleteRange(request))
        };
        let put = |kind, i| op(RequestUnion::Put(PutRequest { key: name(kind, i), ..Default::default() }));
        // every second range: neighbours would merge into one
        let mut ops: Vec<_> = (0..40_000).step_by(2).map(delete).collect();
        ops.extend((0..20_000).map(|i| put('p', i)));
        let all = |success| txn(&TxnRequest { compare: vec![], success, failure: vec![] }, 100_000);
        let start = std::time::Instant::now();
        assert_eq!(all(ops.clone()), Ok(()));
        assert!(start.elapsed() < std::time::Duration::from_secs(2), "took {:?}", start.elapsed());
        ops.push(put('d', 7));
        assert_eq!(all(ops.clone()), Ok(()), "between two ranges");
        ops.push(put('d', 8));
        assert_eq!(all(ops), Err(status::DUPLICATE_KEY), "first key of a range");
    }

    #[test]
    fn deleted_ranges_merge() {
        let mut deletes = Deletes::default();
        for (from, end) in [("c", "d"), ("f", "h"), ("a", "b"), ("b", "g"), ("x", "a"), ("k", "")] {
            deletes.add(from.into(), end.into());
        }
        assert_eq!(deletes.ranges.len(), 1);
        let hit = |key: &'static str| deletes.contains(&key.into());
        assert!(hit("a") && hit("b") && hit("e") && hit("gz") && hit("k"));
        assert!(!hit("h") && !hit("0") && !hit("ka") && !hit("x"));
    }

    #[test]
    fn the_limit_counts_down_through_levels() {
        let deep = |n: usize| nested((0..n).map(|i| delete_op("k", if i == 0 { "" } else { "l" })).collect(), vec![]);
        let request = |n| TxnRequest { compare: vec![], success: vec![deep(n)], failure: vec![] };
        assert_eq!(txn(&request(3), 4), Ok(()));
        assert_eq!(txn(&request(4), 4), Err(status::TOO_MANY_OPS));
    }

    #[test]
    fn empty_operations_and_keys_are_refused() {
        assert_eq!(check(vec![RequestOp::default()]), Err(status::KEY_NOT_FOUND));
        assert_eq!(check(vec![put_op("")]), Err(status::EMPTY_KEY));
    }
}
