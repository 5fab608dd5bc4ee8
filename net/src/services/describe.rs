//! Calls in words, for the log at its finest, and their operations, for traces. Names and attributes are etcd's.
//!
//! Values and passwords are never written: a value is its size. Must not be called for what nobody looks at: everything here begins
//! with the record of a call, which there is for those that somebody wants to see.

use super::unary::PendingCall;
use crate::spans::{Attributes, Value};
use api::etcdserverpb as pb;
use model::request::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp,
    RequestUnion, TxnRequest,
};
use std::fmt::Write as _;

/// Bytes of a request in words.
const MOST_BYTES: usize = 4 << 10;

/// Notes what a call asks for: its words, and its operation.
fn note(
    call: &mut PendingCall,
    words: impl FnOnce(&mut String),
    operation: &'static str,
    attributes: impl FnOnce() -> Attributes,
) {
    let Some(record) = call.record() else { return };
    words(&mut record.request);
    if let Some((end, _)) = record.request.char_indices().find(|(at, _)| *at >= MOST_BYTES) {
        record.request.truncate(end);
    }
    if let Some(trace) = &mut record.trace {
        trace.operation(operation, attributes());
    }
}

/// `Range`.
pub(super) fn range(call: &mut PendingCall, request: &RangeRequest) {
    note(
        call,
        |words| range_words(words, request),
        "range",
        || {
            let mut all = range_attributes(request);
            all.push(("keys_only", Value::Bool(request.keys_only)));
            all
        },
    );
}

/// Attributes that a range has as a call and as a stream.
pub(super) fn range_attributes(request: &RangeRequest) -> Attributes {
    vec![
        ("range_begin", Value::bytes(&request.key)),
        ("range_end", Value::bytes(&request.range_end)),
        ("rev", Value::Int(request.revision)),
        ("limit", Value::Int(request.limit)),
        ("count_only", Value::Bool(request.count_only)),
    ]
}

/// `Put`.
pub(super) fn put(call: &mut PendingCall, request: &PutRequest) {
    note(call, |words| put_words(words, request), "put", || vec![("key", Value::bytes(&request.key))]);
}

/// `DeleteRange`.
pub(super) fn delete_range(call: &mut PendingCall, request: &DeleteRangeRequest) {
    let attributes =
        || vec![("range_begin", Value::bytes(&request.key)), ("range_end", Value::bytes(&request.range_end))];
    note(call, |words| delete_words(words, request), "delete_range", attributes);
}

/// `Txn`.
pub(super) fn txn(call: &mut PendingCall, request: &TxnRequest, read_only: bool) {
    note(
        call,
        |words| txn_words(words, request),
        "txn",
        || {
            let number = |length: usize| Value::Int(length as i64);
            vec![
                ("compare_first_key", request.compare.first().map_or(Value::bytes(b""), |c| Value::bytes(&c.key))),
                ("success_first_key", first_key(&request.success)),
                ("success_first_type", Value::Text(first_type(&request.success).to_owned())),
                ("success_first_lease", Value::Int(first_lease(&request.success))),
                ("compare_len", number(request.compare.len())),
                ("success_len", number(request.success.len())),
                ("failure_len", number(request.failure.len())),
                ("read_only", Value::Bool(read_only)),
            ]
        },
    );
}

/// `Compact`.
pub(super) fn compact(call: &mut PendingCall, request: &CompactionRequest) {
    let words = |words: &mut String| {
        let _ = write!(words, "revision:{} physical:{} ", request.revision, request.physical);
    };
    let attributes = || vec![("is_physical", Value::Bool(request.physical)), ("rev", Value::Int(request.revision))];
    note(call, words, "compact", attributes);
}

/// `LeaseGrant`.
pub(super) fn lease_grant(call: &mut PendingCall, request: &LeaseGrantRequest) {
    let words = |words: &mut String| {
        let _ = write!(words, "TTL:{} ID:{} ", request.ttl, request.id);
    };
    note(call, words, "lease_grant", || vec![("id", Value::Int(request.id)), ("ttl", Value::Int(request.ttl))]);
}

/// `LeaseRevoke`.
pub(super) fn lease_revoke(call: &mut PendingCall, request: &LeaseRevokeRequest) {
    let words = |words: &mut String| {
        let _ = write!(words, "ID:{} ", request.id);
    };
    note(call, words, "lease_revoke", || vec![("id", Value::Int(request.id))]);
}

/// A watcher of a stream.
pub(super) fn watch_attributes(request: &pb::WatchCreateRequest) -> Attributes {
    vec![
        ("key", Value::bytes(&request.key)),
        ("range_end", Value::bytes(&request.range_end)),
        ("start_rev", Value::Int(request.start_revision)),
        ("progress_notify", Value::Bool(request.progress_notify)),
        ("prev_kv", Value::Bool(request.prev_kv)),
        ("fragment", Value::Bool(request.fragment)),
    ]
}

fn first_key(ops: &[RequestOp]) -> Value {
    let keys = ops.iter().filter_map(|op| match op.request.as_ref()? {
        RequestUnion::Put(put) => Some(&put.key),
        RequestUnion::Range(range) => Some(&range.key),
        RequestUnion::DeleteRange(delete) => Some(&delete.key),
        RequestUnion::Txn(_) => None,
    });
    keys.filter(|key| !key.is_empty()).map(|key| Value::bytes(key)).next().unwrap_or(Value::bytes(b""))
}

fn first_type(ops: &[RequestOp]) -> &'static str {
    match ops.first().and_then(|op| op.request.as_ref()) {
        Some(RequestUnion::Put(_)) => "put",
        Some(RequestUnion::Range(_)) => "range",
        Some(RequestUnion::DeleteRange(_)) => "delete_range",
        Some(RequestUnion::Txn(_)) => "txn",
        None => "",
    }
}

/// Of the first put; -1 without one.
fn first_lease(ops: &[RequestOp]) -> i64 {
    let leases = ops.iter().filter_map(|op| match op.request.as_ref()? {
        RequestUnion::Put(put) => Some(put.lease),
        _ => None,
    });
    leases.into_iter().next().unwrap_or(-1)
}

// writing into memory does not fail

fn key_words(words: &mut String, key: &[u8], end: &[u8]) {
    let _ = write!(words, "key:{:?} ", String::from_utf8_lossy(key));
    if !end.is_empty() {
        let _ = write!(words, "range_end:{:?} ", String::from_utf8_lossy(end));
    }
}

fn range_words(words: &mut String, request: &RangeRequest) {
    key_words(words, &request.key, &request.range_end);
    for (name, value) in [("limit", request.limit), ("revision", request.revision)] {
        if value != 0 {
            let _ = write!(words, "{name}:{value} ");
        }
    }
    let flags =
        [("serializable", request.serializable), ("keys_only", request.keys_only), ("count_only", request.count_only)];
    for (name, _) in flags.iter().filter(|(_, on)| *on) {
        let _ = write!(words, "{name}:true ");
    }
}

fn put_words(words: &mut String, request: &PutRequest) {
    key_words(words, &request.key, b"");
    let _ = write!(words, "value_size:{} ", request.value.len());
    if request.lease != 0 {
        let _ = write!(words, "lease:{} ", request.lease);
    }
}

fn delete_words(words: &mut String, request: &DeleteRangeRequest) {
    key_words(words, &request.key, &request.range_end);
}

fn txn_words(words: &mut String, request: &TxnRequest) {
    for compare in &request.compare {
        words.push_str("compare:<");
        key_words(words, &compare.key, &compare.range_end);
        words.push_str("> ");
        if words.len() > MOST_BYTES {
            return;
        }
    }
    for (branch, ops) in [("success", &request.success), ("failure", &request.failure)] {
        for op in ops {
            let _ = write!(words, "{branch}:<");
            match &op.request {
                Some(RequestUnion::Put(put)) => put_words(words, put),
                Some(RequestUnion::Range(range)) => range_words(words, range),
                Some(RequestUnion::DeleteRange(delete)) => delete_words(words, delete),
                Some(RequestUnion::Txn(_)) => words.push_str("txn"),
                None => {}
            }
            words.push_str("> ");
            if words.len() > MOST_BYTES {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put() -> PutRequest {
        PutRequest { key: "k\n".into(), value: "secret".into(), lease: 7, ..PutRequest::default() }
    }

    #[test]
    fn words_hold_no_value_wherever_a_put_is() {
        let mut words = String::new();
        put_words(&mut words, &put());
        assert_eq!(words, "key:\"k\\n\" value_size:6 lease:7 ");
        let op = RequestOp { request: Some(RequestUnion::Put(put())) };
        let inner = TxnRequest { success: vec![op.clone()], ..TxnRequest::default() };
        let nested = RequestOp { request: Some(RequestUnion::Txn(inner)) };
        let txn = TxnRequest { success: vec![op.clone(), nested], failure: vec![op], ..TxnRequest::default() };
        let mut words = String::new();
        txn_words(&mut words, &txn);
        assert!(words.contains("value_size:6") && !words.contains("secret"), "{words}");
    }

    #[test]
    fn words_of_a_huge_transaction_are_few() {
        let op = RequestOp { request: Some(RequestUnion::Put(put())) };
        let txn = TxnRequest { success: vec![op; 100_000], ..TxnRequest::default() };
        let mut words = String::new();
        txn_words(&mut words, &txn);
        assert!(words.len() < MOST_BYTES + 200, "{}", words.len());
        assert_eq!(first_lease(&txn.success), 7);
        assert_eq!((first_type(&txn.success), first_lease(&[])), ("put", -1));
    }
}
