//! The newest version of keys that were read or written lately: batches read their own writes here.
//!
//! A slot is always the truth: it is filled from the newest snapshot and replaced by every write. Dropping it costs a
//! look-up, never a result.

use super::slot::Slot;
use super::{ApplyFatal, StateMachine};
use crate::engine::{Engine, Family, Snapshot};
use crate::schema::{Damaged, LogRow};
use bytes::Bytes;

impl<E: Engine> StateMachine<E> {
    /// The newest version of a key, own writes included.
    pub(super) fn slot(&mut self, key: &Bytes) -> Result<Option<Slot>, ApplyFatal> {
        if let Some(slot) = self.heads.get(key) {
            return Ok(slot.clone());
        }
        let slot = match self.snapshot.get(Family::Cur, key)? {
            Some(row) => Some(Slot::from_row(&row)?),
            None => None,
        };
        self.heads.insert(key.clone(), slot.clone());
        Ok(slot)
    }

    /// Encoded key-value of a slot.
    pub(super) fn kv_of(&self, slot: &Slot) -> Result<Bytes, ApplyFatal> {
        if let Some(kv) = &slot.kv {
            return Ok(kv.clone());
        }
        let row = self.snapshot.get(Family::Log, &slot.head.modified.to_bytes())?;
        let row = row.ok_or(Damaged { family: "log", why: "the newest version of a living key is missing" })?;
        Ok(LogRow::decode(row)?.kv)
    }
}
