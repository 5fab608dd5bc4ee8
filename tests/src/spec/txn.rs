//! Transactions: static checks, comparisons, checks against the state, then every operation in order.
//!
//! Must never apply half of a transaction.

use super::kv::{check_delete, check_put, check_range};
use super::{History, Refusal, Spec, history};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, RequestOp, RequestUnion, ResponseHeader, ResponseOp,
    TargetUnion, TxnRequest, TxnResponse,
};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeSet;

impl Spec {
    /// Txn.
    ///
    /// # Errors
    /// etcd's. Nothing is changed then.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let path = self.plan(request)?;
        let mut answer = self.run(request, &path);
        self.history.end();
        answer.header = Some(self.header());
        Ok(answer)
    }

    /// Checks everything and decides which branches are taken.
    pub(super) fn plan(&self, request: &TxnRequest) -> Result<Path, Refusal> {
        check(request, self.settings.max_txn_ops)?;
        written(&request.success)?;
        written(&request.failure)?;
        // every comparison, also of the transactions inside, sees the state before the first write
        let path = choose(&self.history, request);
        self.check_path(request, &path)?;
        Ok(path)
    }

    fn check_path(&self, request: &TxnRequest, path: &Path) -> Result<(), Refusal> {
        let mut inner = path.inner.iter();
        for op in path.operations(request) {
            match &op.request {
                Some(RequestUnion::Range(range)) if range.revision == 0 => {}
                Some(RequestUnion::Range(range)) if range.revision > self.history.revision => {
                    return Err(Refusal::FUTURE);
                }
                // unlike in a plain Range a negative revision is compared as it is
                Some(RequestUnion::Range(range)) if range.revision < self.history.compacted => {
                    return Err(Refusal::COMPACTED);
                }
                Some(RequestUnion::Put(put)) => self.check_put_here(put)?,
                Some(RequestUnion::Txn(txn)) => {
                    self.check_path(txn, inner.next().expect("one path per transaction"))?
                }
                Some(RequestUnion::Range(_) | RequestUnion::DeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    fn run(&mut self, request: &TxnRequest, path: &Path) -> TxnResponse {
        let mut responses = Vec::new();
        let mut inner = path.inner.iter();
        for op in path.operations(request) {
            let response = match op.request.as_ref().expect("checked") {
                RequestUnion::Range(range) => Response::ResponseRange(self.read(range).expect("checked")),
                RequestUnion::Put(put) => Response::ResponsePut(self.do_put(put)),
                RequestUnion::DeleteRange(delete) => Response::ResponseDeleteRange(self.do_delete(delete)),
                RequestUnion::Txn(txn) => {
                    Response::ResponseTxn(self.run(txn, inner.next().expect("one path per transaction")))
                }
            };
            responses.push(ResponseOp { response: Some(response) });
        }
        // a transaction inside another one has an empty header
        TxnResponse { header: Some(ResponseHeader::default()), succeeded: path.succeeded, responses }
    }
}

/// Which branch a transaction takes, and which ones those inside that branch take.
pub(super) struct Path {
    succeeded: bool,
    inner: Vec<Path>,
}

impl Path {
    fn operations<'a>(&self, request: &'a TxnRequest) -> &'a [RequestOp] {
        if self.succeeded { &request.success } else { &request.failure }
    }
}

fn choose(history: &History, request: &TxnRequest) -> Path {
    let mut path = Path { succeeded: request.compare.iter().all(|c| is_true(history, c)), inner: Vec::new() };
    for op in path.operations(request) {
        if let Some(RequestUnion::Txn(txn)) = &op.request {
            path.inner.push(choose(history, txn));
        }
    }
    path
}

/// Must hold for every key of the range. Without any key it is asked of a key-value of zeros, but never of its value.
fn is_true(history: &History, compare: &Compare) -> bool {
    let found = history.range(&compare.key, &compare.range_end, history.revision);
    if found.is_empty() {
        return compare.target() != CompareTarget::Value && is_true_of(compare, &KeyValue::default());
    }
    found.into_iter().all(|kv| is_true_of(compare, kv))
}

fn is_true_of(compare: &Compare, kv: &KeyValue) -> bool {
    // an operand of another kind than the target counts as zero or empty
    let ordering = match (compare.target(), compare.target_union.clone()) {
        (CompareTarget::Version, Some(TargetUnion::Version(n))) => kv.version.cmp(&n),
        (CompareTarget::Version, _) => kv.version.cmp(&0),
        (CompareTarget::Create, Some(TargetUnion::CreateRevision(n))) => kv.create_revision.cmp(&n),
        (CompareTarget::Create, _) => kv.create_revision.cmp(&0),
        (CompareTarget::Mod, Some(TargetUnion::ModRevision(n))) => kv.mod_revision.cmp(&n),
        (CompareTarget::Mod, _) => kv.mod_revision.cmp(&0),
        (CompareTarget::Lease, Some(TargetUnion::Lease(n))) => kv.lease.cmp(&n),
        (CompareTarget::Lease, _) => kv.lease.cmp(&0),
        (CompareTarget::Value, Some(TargetUnion::Value(value))) => kv.value.cmp(&value),
        (CompareTarget::Value, _) => kv.value.cmp(&Bytes::new()),
    };
    match compare.result() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

/// Checks that need no state. Each level of nesting has what the level above left of the limit.
fn check(request: &TxnRequest, max_ops: usize) -> Result<(), Refusal> {
    let largest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(left) = max_ops.checked_sub(largest) else { return Err(Refusal::TOO_MANY_OPS) };
    if request.compare.iter().any(|c| c.key.is_empty()) {
        return Err(Refusal::EMPTY_KEY);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(RequestUnion::Range(range)) => check_range(range)?,
            Some(RequestUnion::Put(put)) => check_put(put)?,
            Some(RequestUnion::DeleteRange(delete)) => check_delete(delete)?,
            Some(RequestUnion::Txn(txn)) => check(txn, left)?,
            None => return Err(Refusal::KEY_NOT_FOUND),
        }
    }
    Ok(())
}

/// What a list of operations writes.
#[derive(Default)]
struct Written<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl Written<'_> {
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletes.iter().any(|d| overlaps(d, key))
    }
}

/// True when a delete is seen to touch a key. etcd does not see it when the end is open.
fn overlaps(delete: &DeleteRangeRequest, key: &Bytes) -> bool {
    delete.range_end.as_ref() != [0] && history::holds(&delete.key, &delete.range_end, key)
}

/// Refuses a key that is put twice, or put and deleted, in a list of operations. A transaction inside counts with both branches,
/// of which only one is taken: they may put the same key. Its deletes are not held against puts of transactions before it.
fn written(operations: &[RequestOp]) -> Result<Written<'_>, Refusal> {
    let mut all = Written::default();
    all.deletes.extend(operations.iter().filter_map(|op| match &op.request {
        Some(RequestUnion::DeleteRange(delete)) => Some(delete),
        _ => None,
    }));
    for op in operations {
        let Some(RequestUnion::Txn(txn)) = &op.request else { continue };
        let (yes, no) = (written(&txn.success)?, written(&txn.failure)?);
        let either: BTreeSet<_> = yes.puts.union(&no.puts).copied().collect();
        if either.iter().any(|key| all.puts.contains(*key) || all.deletes(key)) {
            return Err(Refusal::DUPLICATE_KEY);
        }
        all.puts.extend(either);
        all.deletes.extend(yes.deletes);
        all.deletes.extend(no.deletes);
    }
    for op in operations {
        let Some(RequestUnion::Put(put)) = &op.request else { continue };
        if all.deletes(&put.key) || !all.puts.insert(&put.key) {
            return Err(Refusal::DUPLICATE_KEY);
        }
    }
    Ok(all)
}
