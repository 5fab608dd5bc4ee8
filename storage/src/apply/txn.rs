//! Puts, deletes and transactions: etcd's rules for them.
//!
//! A transaction first settles the branches of all depths from the state before it, then checks everything on that path, then
//! writes: once it writes nothing can refuse it. Source: etcd's `applyTxn`.

use super::compare::{branch, compares_ranges};
use super::entry_cursor::EntryCursor;
use super::failure::Run;
use super::overlay::Written;
use super::slot::Slot;
use super::{ApplyFatal, StateMachine};
use crate::engine::Engine;
use crate::read::{At, project, range_in_txn};
use crate::schema::Damaged;
use bytes::Bytes;
use model::request::{DeleteRangeRequest, PutRequest, RangeRequest, RequestUnion, TxnRequest};
use model::{ApplyError, KeyRange, KeyValue, OpOutcome, RangeOutcome};
use prost::Message;

/// Operations of the path in the order of execution, nested transactions opened.
fn flatten<'a>(txn: &'a TxnRequest, path: &mut std::slice::Iter<'_, bool>, out: &mut Vec<&'a RequestUnion>) -> Run<()> {
    let succeeded = *path.next().expect("the path has an element for every transaction on it");
    for op in branch(txn, succeeded) {
        match &op.request {
            Some(RequestUnion::Txn(nested)) => flatten(nested, path, out)?,
            Some(request) => out.push(request),
            None => return Err(ApplyError::KeyNotFound.into()),
        }
    }
    Ok(())
}

/// True when the operation must see rows in key order, or old ones: what precedes it has to be in the engine.
fn needs_rows(request: &RequestUnion) -> bool {
    match request {
        RequestUnion::Range(range) => !range.range_end.is_empty() || range.revision > 0,
        RequestUnion::DeleteRange(delete) => !delete.range_end.is_empty(),
        RequestUnion::Put(_) | RequestUnion::Txn(_) => false,
    }
}

fn value_of(kv: Bytes) -> Result<Bytes, ApplyFatal> {
    let kv = KeyValue::decode(kv).map_err(|_| Damaged { family: "log", why: "a version holds no key-value" })?;
    Ok(kv.value)
}

impl<E: Engine> StateMachine<E> {
    /// Everything that can refuse a put.
    pub(super) fn check_put(&mut self, put: &PutRequest) -> Run<()> {
        if put.lease != 0 && self.lease(put.lease)?.is_none() {
            return Err(ApplyError::LeaseNotFound.into());
        }
        if (put.ignore_value || put.ignore_lease) && self.slot(&put.key)?.is_none() {
            return Err(ApplyError::KeyNotFound.into());
        }
        Ok(())
    }

    /// Value and lease that a put gives its key. `old` is the key's slot before.
    pub(super) fn settled(&self, put: &PutRequest, old: Option<&Slot>) -> Run<(Bytes, i64)> {
        let value = match old {
            Some(old) if put.ignore_value => value_of(self.kv_of(old)?)?,
            _ => put.value.clone(),
        };
        let lease = old.filter(|_| put.ignore_lease).map_or(put.lease, |old| old.head.lease);
        Ok((value, lease))
    }

    /// Puts a key; the put has been checked.
    pub(super) fn put(&mut self, put: PutRequest) -> Run<OpOutcome> {
        let old = self.slot(&put.key)?;
        let (value, lease) = self.settled(&put, old.as_ref())?;
        let prev_kv = match &old {
            Some(old) if put.prev_kv => Some(self.kv_of(old)?),
            _ => None,
        };
        self.put_key(put.key, value, lease, old.as_ref());
        Ok(OpOutcome::Put { prev_kv })
    }

    /// Deletes a range; with more than one key everything before this entry is in the engine, or in `written`.
    pub(super) fn delete_range(&mut self, cursor: &mut EntryCursor, delete: &DeleteRangeRequest) -> Run<OpOutcome> {
        let mut prev_kvs = Vec::new();
        if delete.range_end.is_empty() {
            let Some(slot) = self.slot(&delete.key)? else {
                return Ok(OpOutcome::DeleteRange { deleted: 0, prev_kvs });
            };
            if delete.prev_kv {
                prev_kvs.push(self.kv_of(&slot)?);
            }
            self.delete_key(delete.key.clone(), &slot);
            return Ok(OpOutcome::DeleteRange { deleted: 1, prev_kvs });
        }
        let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
        let upper = range.upper();
        let mut from = cursor.start(range.lower());
        let mut deleted = 0;
        loop {
            let piece = self.living(&from, upper.as_deref(), delete.prev_kv)?;
            for (key, slot) in piece.keys {
                if delete.prev_kv {
                    prev_kvs.push(self.kv_of(&slot)?);
                }
                self.delete_key(key, &slot);
                deleted += 1;
            }
            let Some(next) = piece.next else { return Ok(OpOutcome::DeleteRange { deleted, prev_kvs }) };
            from = next;
            self.spill(cursor, &from)?;
        }
    }

    /// A transaction from the start.
    pub(super) fn txn(&mut self, cursor: &mut EntryCursor, txn: &TxnRequest) -> Run<OpOutcome> {
        if compares_ranges(txn) {
            self.commit()?;
        }
        self.path(txn, &mut cursor.path)?;
        let mut ops = Vec::new();
        flatten(txn, &mut cursor.path.iter(), &mut ops)?;
        if ops.iter().any(|op| needs_rows(op)) {
            self.commit()?;
            self.written = Some(Written::default());
        }
        for (n, op) in ops.iter().enumerate() {
            match op {
                RequestUnion::Put(put) => self.check_put_after(put, &ops[..n])?,
                RequestUnion::Range(range) => self.check_revision(range.revision)?,
                RequestUnion::DeleteRange(_) | RequestUnion::Txn(_) => {}
            }
        }
        self.check_answer(&ops)?;
        self.execute(cursor, txn)
    }

    /// As [`Self::check_put`], but an operation before it in the transaction may have deleted the key it relies on.
    fn check_put_after(&mut self, put: &PutRequest, before: &[&RequestUnion]) -> Run<()> {
        self.check_put(put)?;
        if !put.ignore_value && !put.ignore_lease {
            return Ok(());
        }
        let exists = before.iter().rev().find_map(|op| match op {
            RequestUnion::Put(earlier) => (earlier.key == put.key).then_some(true),
            RequestUnion::DeleteRange(delete) => {
                let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
                range.contains(&put.key).then_some(false)
            }
            RequestUnion::Range(_) | RequestUnion::Txn(_) => None,
        });
        if exists == Some(false) { Err(ApplyError::KeyNotFound.into()) } else { Ok(()) }
    }

    /// Zero is the present; a negative one is older than any compaction, but for -1 before the first.
    fn check_revision(&self, revision: i64) -> Run<()> {
        if revision == 0 {
            Ok(())
        } else if revision > self.now.revision {
            Err(ApplyError::FutureRevision.into())
        } else if revision < self.now.compact {
            Err(ApplyError::Compacted.into())
        } else {
            Ok(())
        }
    }

    /// Carries out the path: everything on it has been checked.
    pub(super) fn execute(&mut self, cursor: &mut EntryCursor, txn: &TxnRequest) -> Run<OpOutcome> {
        let succeeded = cursor.path[cursor.branch];
        cursor.branch += 1;
        let ops = branch(txn, succeeded);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            let outcome = match &op.request {
                Some(RequestUnion::Txn(nested)) => {
                    responses.push(self.execute(cursor, nested)?);
                    continue;
                }
                _ if cursor.is_done() => None,
                Some(RequestUnion::Put(put)) => Some(self.put(put.clone())?),
                Some(RequestUnion::DeleteRange(delete)) => Some(self.delete_range(cursor, delete)?),
                Some(RequestUnion::Range(range)) => Some(OpOutcome::Range(self.range(range)?)),
                None => None,
            };
            cursor.op += 1;
            responses.extend(outcome);
        }
        Ok(OpOutcome::Txn { succeeded, responses })
    }

    fn range(&mut self, range: &RangeRequest) -> Run<RangeOutcome> {
        if range.range_end.is_empty() && range.revision <= 0 {
            let Some(slot) = self.slot(&range.key)? else { return Ok(RangeOutcome::default()) };
            let kvs = match range.count_only {
                true => Vec::new(),
                false => {
                    let kv = self.kv_of(&slot)?;
                    project(&kv, &slot.head, range).map_err(ApplyFatal::Read)?.into_iter().collect()
                }
            };
            return Ok(RangeOutcome { kvs, more: false, count: 1 });
        }
        let now = self.now.revision + i64::from(self.sub > 0);
        let at = At { revision: now, compact_revision: self.now.compact };
        let written = self.written.as_ref().expect("a transaction with ranges keeps its writes in order");
        Ok(range_in_txn(&self.snapshot, at, written, range).map_err(ApplyFatal::Read)?)
    }
}
