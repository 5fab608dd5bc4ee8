//! Random transactions: comparisons that hold and that do not, branches inside branches, limits and duplicate keys.
//!
//! Must never make one that ends etcd 3.7.1: see [`tame`].

use super::chance::Chance;
use super::keys::KEYS;
use super::place::{CREATE_OF, CURRENT, MOD_OF, VERSION_OF};
use super::requests::{delete, key, lease, put, range, range_end, value};
use api::etcdserverpb::{Compare, RequestOp, RequestUnion, TargetUnion, TxnRequest};
use bytes::Bytes;

/// A transaction.
pub(super) fn txn(chance: &mut Chance) -> TxnRequest {
    let mut request = level(chance, 0);
    if chance.percent(1) {
        oversize(chance, &mut request);
    }
    if deletes_openly(&request) {
        tame(&mut request);
    }
    request
}

fn level(chance: &mut Chance, depth: usize) -> TxnRequest {
    let compare = (0..chance.weighted(&[35, 45, 15, 5])).map(|_| compare(chance)).collect();
    let reads_only = chance.percent(20);
    let list = |chance: &mut Chance| -> Vec<RequestOp> {
        let count = chance.weighted(&[12, 35, 28, 15, 10]);
        (0..count).map(|_| operation(chance, depth, reads_only)).collect()
    };
    TxnRequest { compare, success: list(chance), failure: list(chance) }
}

fn operation(chance: &mut Chance, depth: usize, reads_only: bool) -> RequestOp {
    let nested = if depth < 3 { 12 } else { 0 };
    let weights = if reads_only { [100, 0, 0, nested / 4, 1] } else { [34, 38, 15, nested, 1] };
    let request = match chance.weighted(&weights) {
        0 => {
            let mut request = range(chance);
            // which of several equal key-values a limit keeps is open
            if request.sort_target != 0 {
                request.limit = 0;
            }
            Some(RequestUnion::Range(request))
        }
        1 => Some(RequestUnion::Put(put(chance))),
        2 => Some(RequestUnion::DeleteRange(delete(chance))),
        3 => Some(RequestUnion::Txn(level(chance, depth + 1))),
        _ => None,
    };
    RequestOp { request }
}

fn compare(chance: &mut Chance) -> Compare {
    let key = key(chance);
    let mut compare = Compare { key: key.clone(), ..Compare::default() };
    compare.result = chance.below(4) as i32;
    compare.target = chance.below(5) as i32;
    if chance.percent(25) {
        compare.range_end = range_end(chance, &key);
    }
    // an operand of another kind is as good as none
    let kind = if chance.percent(4) { chance.below(6) } else { compare.target as usize };
    let index = KEYS.iter().position(|k| *k == &key[..]).unwrap_or_default() as i64;
    let revision = |chance: &mut Chance, of: i64| match chance.weighted(&[50, 25, 25]) {
        0 => of + index,
        1 => 0,
        _ => CURRENT + chance.pick(&[0, -1, -3]),
    };
    compare.target_union = match kind {
        0 => Some(TargetUnion::Version(chance.pick(&[0, 1, 2, VERSION_OF + index, VERSION_OF + index]))),
        1 => Some(TargetUnion::CreateRevision(revision(chance, CREATE_OF))),
        2 => Some(TargetUnion::ModRevision(revision(chance, MOD_OF))),
        3 => Some(TargetUnion::Value(value(chance))),
        4 => Some(TargetUnion::Lease(if chance.percent(50) { 0 } else { lease(chance) })),
        _ => None,
    };
    compare
}

/// At and over the limit of 128, in comparisons, operations, or a level below.
fn oversize(chance: &mut Chance, request: &mut TxnRequest) {
    let count = chance.pick(&[127, 128, 128, 129]);
    match chance.below(3) {
        0 => request.compare = (0..count).map(|_| compare(chance)).collect(),
        1 => request.success = (0..count).map(|_| operation(chance, 3, true)).collect(),
        _ => {
            let inner = (0..count - 1).map(|_| operation(chance, 3, true)).collect();
            let txn = TxnRequest { success: inner, ..TxnRequest::default() };
            request.success = vec![RequestOp { request: Some(RequestUnion::Txn(txn)) }];
        }
    }
}

fn operations(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

fn deletes_openly(request: &TxnRequest) -> bool {
    operations(request).any(|op| match &op.request {
        Some(RequestUnion::DeleteRange(delete)) => delete.range_end.as_ref() == [0],
        Some(RequestUnion::Txn(txn)) => deletes_openly(txn),
        Some(RequestUnion::Range(_) | RequestUnion::Put(_)) | None => false,
    })
}

/// etcd takes a put beside a delete with an open end, and ends itself when that put wants to keep what the delete just removed.
fn tame(request: &mut TxnRequest) {
    for op in request.success.iter_mut().chain(&mut request.failure) {
        match &mut op.request {
            Some(RequestUnion::Put(put)) => {
                (put.ignore_value, put.ignore_lease) = (false, false);
                if put.value.is_empty() {
                    put.value = Bytes::from_static(b"tame");
                }
            }
            Some(RequestUnion::Txn(txn)) => tame(txn),
            Some(RequestUnion::Range(_) | RequestUnion::DeleteRange(_)) | None => {}
        }
    }
}
