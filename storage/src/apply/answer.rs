//! How much one entry may answer with: its ranges and the previous key-values of its deletes lie in memory all at once.
//!
//! Decided before the entry writes anything, from the entry and replicated state alone: part of the replicated rules, so never a
//! setting, and never dependent on what else runs or on what a compiler makes of a type.

use super::ahead::Ahead;
use super::failure::Run;
use super::{ApplyFatal, StateMachine};
use crate::engine::Engine;
use crate::read::memory_budget::MemoryBudget;
use crate::read::{At, NoOverlay, field_len, measure_in_txn, projected_len, range_in_txn};
use model::request::{DeleteRangeRequest, RangeRequest, RequestUnion};
use model::{ApplyError, KeyRange, ReadError};

/// Bytes of key-values that one entry may answer with, and that one of its ranges may collect to be sorted.
pub(super) const ANSWER_BYTES: u64 = 128 << 20;

/// What a key-value in an answer costs besides its bytes.
pub(super) const KV_BYTES: u64 = 64;

/// What a key-value of this length costs.
fn cost(len: usize) -> u64 {
    field_len(len) + KV_BYTES
}

impl<E: Engine> StateMachine<E> {
    /// Takes so much of what the entry may answer with.
    fn answers(&self, bytes: &mut u64, more: u64) -> Run<()> {
        *bytes = bytes.saturating_add(more);
        if *bytes > self.answer_bytes { Err(ApplyError::TooLarge.into()) } else { Ok(()) }
    }

    /// Refuses the delete of a range whose previous key-values, with what stands in `bytes`, are too much.
    pub(super) fn check_prevs(&self, delete: &DeleteRangeRequest, bytes: &mut u64) -> Run<()> {
        if !delete.prev_kv || delete.range_end.is_empty() {
            return Ok(());
        }
        let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
        let upper = range.upper();
        let mut from = range.lower().to_vec();
        loop {
            let piece = self.living(&from, upper.as_deref(), false)?;
            self.answers(bytes, piece.keys.iter().map(|(_, slot)| cost(slot.head.len as usize)).sum())?;
            let Some(next) = piece.next else { return Ok(()) };
            from = next;
        }
    }

    /// Refuses a transaction that would answer with too much. Everything else about its operations has been checked.
    ///
    /// Ranges see the writes before them. Previous key-values are those of the state before the transaction.
    pub(super) fn check_answer(&mut self, ops: &[&RequestUnion]) -> Run<()> {
        let mut bytes = 0;
        for op in ops {
            if let RequestUnion::DeleteRange(delete) = op {
                self.check_prevs(delete, &mut bytes)?;
            }
        }
        let Some(last) = ops.iter().rposition(|op| matches!(op, RequestUnion::Range(_))) else { return Ok(()) };
        let mut ahead = Ahead::default();
        for op in &ops[..=last] {
            match op {
                RequestUnion::Put(put) => self.put_ahead(&mut ahead, put)?,
                RequestUnion::DeleteRange(delete) => self.delete_ahead(&mut ahead, delete)?,
                RequestUnion::Range(range) if range.count_only => {}
                RequestUnion::Range(range) => {
                    let more = self.range_ahead(&ahead, range)?;
                    self.answers(&mut bytes, more)?;
                }
                RequestUnion::Txn(_) => {}
            }
        }
        Ok(())
    }

    /// What a range will cost after the writes so far.
    fn range_ahead(&mut self, ahead: &Ahead, range: &RangeRequest) -> Run<u64> {
        let present = range.revision <= 0;
        let at = At { revision: self.now.revision, compact_revision: self.now.compact };
        if !range.range_end.is_empty() {
            let budget = MemoryBudget::new(ANSWER_BYTES as usize);
            let measured = match present {
                true => measure_in_txn(&self.snapshot, at, ahead, range, budget),
                false => measure_in_txn(&self.snapshot, at, &NoOverlay, range, budget),
            };
            return match measured {
                Ok(measured) => Ok(measured.encoded_bytes + measured.kvs as u64 * KV_BYTES),
                Err(ReadError::TooLarge) => Err(ApplyError::TooLarge.into()),
                Err(why) => Err(ApplyFatal::Read(why).into()),
            };
        }
        if present {
            let slot = self.slot_ahead(ahead, &range.key)?;
            return Ok(slot.and_then(|slot| projected_len(&range.key, &slot.head, range)).map_or(0, cost));
        }
        // how long a version of the past is stands in `log` alone
        let past = range_in_txn(&self.snapshot, at, &NoOverlay, range).map_err(ApplyFatal::Read)?;
        Ok(past.kvs.iter().map(|kv| cost(kv.len())).sum())
    }
}
