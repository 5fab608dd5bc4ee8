//! Requests in short form.
//!
//! Must never set what the name does not say.

use api::etcdserverpb::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, RequestUnion,
    TargetUnion, TxnRequest,
};
use bytes::Bytes;

/// Bytes of a key or value.
pub fn bytes(text: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

/// A put.
pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

/// A read of one key.
pub fn get(key: impl AsRef<[u8]>) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

/// A read of `[key, end)`.
pub fn range(key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> RangeRequest {
    RangeRequest { range_end: bytes(end), ..get(key) }
}

/// A read of everything with this prefix.
pub fn prefix(key: impl AsRef<[u8]>) -> RangeRequest {
    let end = end_of(key.as_ref());
    range(key, end)
}

/// A read of all keys.
pub fn all() -> RangeRequest {
    range([0], [0])
}

/// The first key behind all keys with this prefix, which must not end in 0xff.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// A delete of `[key, end)`; of one key when `end` is empty.
pub fn delete(key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: false }
}

/// A put inside a transaction.
pub fn put_op(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> RequestOp {
    RequestOp { request: Some(RequestUnion::Put(put(key, value))) }
}

/// A read inside a transaction.
pub fn range_op(request: RangeRequest) -> RequestOp {
    RequestOp { request: Some(RequestUnion::Range(request)) }
}

/// A delete inside a transaction.
pub fn delete_op(key: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> RequestOp {
    RequestOp { request: Some(RequestUnion::DeleteRange(delete(key, end))) }
}

/// A transaction inside a transaction.
pub fn txn_op(request: TxnRequest) -> RequestOp {
    RequestOp { request: Some(RequestUnion::Txn(request)) }
}

/// A transaction without conditions.
pub fn txn(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

/// A condition on one key.
pub fn compare(key: impl AsRef<[u8]>, result: CompareResult, union: TargetUnion) -> Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    let (result, target) = (result as i32, target as i32);
    Compare { result, target, key: bytes(key), target_union: Some(union), range_end: Bytes::new() }
}
