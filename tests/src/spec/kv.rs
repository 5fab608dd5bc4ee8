//! Range, RangeStream, Put and DeleteRange.
//!
//! Must never change anything before everything is checked.

use super::{Refusal, Spec, revision_header};
use api::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, SortOrder,
    SortTarget,
};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::cmp::Reverse;

impl Spec {
    /// Range. Linearizable and serializable reads of one member are the same.
    ///
    /// # Errors
    /// etcd's.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        check_range(request)?;
        self.read(request)
    }

    /// RangeStream, its chunks put together.
    ///
    /// # Errors
    /// etcd's.
    pub fn range_stream(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        check_range(request)?;
        if !is_key_order(request) {
            return Err(Refusal::STREAM_SORT);
        }
        if has_filter(request) {
            return Err(Refusal::STREAM_FILTER);
        }
        self.read(request)
    }

    /// Put.
    ///
    /// # Errors
    /// etcd's.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Refusal> {
        check_put(request)?;
        self.check_put_here(request)?;
        let answer = self.do_put(request);
        self.history.end();
        Ok(answer)
    }

    /// DeleteRange.
    ///
    /// # Errors
    /// etcd's.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse, Refusal> {
        check_delete(request)?;
        let answer = self.do_delete(request);
        self.history.end();
        Ok(answer)
    }

    /// Reads at the present of the open transaction.
    pub(super) fn read(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let now = self.history.now();
        if request.revision > now {
            return Err(Refusal::FUTURE);
        }
        // a negative revision is as good as none
        let revision = if request.revision <= 0 { now } else { request.revision };
        if revision < self.history.compacted {
            return Err(Refusal::COMPACTED);
        }
        let found = self.history.range(&request.key, &request.range_end, revision);
        let header = Some(revision_header(now));
        let count = found.len() as i64;
        if request.count_only {
            return Ok(RangeResponse { header, kvs: Vec::new(), more: false, count });
        }
        let mut kvs: Vec<KeyValue> = found.into_iter().cloned().collect();
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        if is_key_order(request) && !has_filter(request) {
            // one more than wanted is read, and only those are sorted
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| passes(request, kv));
        sort(request, &mut kvs);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                // answered from the index of keys, which knows no lease
                if request.sort_target() != SortTarget::Value {
                    kv.lease = 0;
                }
            }
        }
        Ok(RangeResponse { header, kvs, more, count })
    }

    /// What only the state can tell of a put.
    pub(super) fn check_put_here(&self, request: &PutRequest) -> Result<(), Refusal> {
        if request.lease != 0 && !self.leases.exists(request.lease) {
            return Err(Refusal::LEASE_NOT_FOUND);
        }
        let kept = request.ignore_value || request.ignore_lease;
        if kept && self.history.get(&request.key, self.history.now()).is_none() {
            return Err(Refusal::KEY_NOT_FOUND);
        }
        Ok(())
    }

    pub(super) fn do_put(&mut self, request: &PutRequest) -> PutResponse {
        let before = self.history.get(&request.key, self.history.now()).cloned();
        let old = before.clone().unwrap_or_default();
        let value = if request.ignore_value { old.value } else { request.value.clone() };
        let lease = if request.ignore_lease { old.lease } else { request.lease };
        self.history.put(&request.key, value, lease);
        PutResponse { header: Some(self.header()), prev_kv: before.filter(|_| request.prev_kv) }
    }

    pub(super) fn do_delete(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let found = self.history.range(&request.key, &request.range_end, self.history.now());
        let found: Vec<KeyValue> = found.into_iter().cloned().collect();
        for kv in &found {
            self.history.delete(&kv.key);
        }
        let deleted = found.len() as i64;
        let prev_kvs = if request.prev_kv { found } else { Vec::new() };
        DeleteRangeResponse { header: Some(self.header()), deleted, prev_kvs }
    }
}

pub(super) fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EMPTY_KEY);
    }
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err() {
        return Err(Refusal::BAD_SORT);
    }
    Ok(())
}

pub(super) fn check_put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EMPTY_KEY);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LEASE_PROVIDED);
    }
    Ok(())
}

pub(super) fn check_delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EMPTY_KEY) } else { Ok(()) }
}

/// True for the order in which keys are read: no order at all counts, whatever the target.
pub fn is_key_order(request: &RangeRequest) -> bool {
    match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => request.sort_target() == SortTarget::Key,
        SortOrder::Descend => false,
    }
}

fn has_filter(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

/// Bounds are inclusive, and zero is none.
fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Sorts; ties stay in the order of keys. Without an order any target but the key sorts upwards.
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let rank = |kv: &KeyValue| sort_value(request.sort_target(), kv);
    match request.sort_order() {
        SortOrder::None | SortOrder::Ascend => kvs.sort_by_key(rank),
        SortOrder::Descend => kvs.sort_by_key(|kv| Reverse(rank(kv))),
    }
}

/// What a key-value is sorted by.
pub fn sort_value(target: SortTarget, kv: &KeyValue) -> (i64, Bytes) {
    match target {
        SortTarget::Key => (0, kv.key.clone()),
        SortTarget::Version => (kv.version, Bytes::new()),
        SortTarget::Create => (kv.create_revision, Bytes::new()),
        SortTarget::Mod => (kv.mod_revision, Bytes::new()),
        SortTarget::Value => (0, kv.value.clone()),
    }
}
