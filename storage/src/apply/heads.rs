//! The newest version of keys that were read or written lately: batches read their own writes here.
//!
//! A slot is always the truth: it is filled from the newest snapshot and replaced by every write. Dropping it costs a
//! look-up, never a result.

use super::{Applier, ApplyFatal};
use crate::engine::{Engine, Family, Snapshot};
use crate::schema::{Damaged, Head, LogRow};
use bytes::Bytes;
use std::collections::HashMap;

/// Slots kept beyond a commit inside one call.
pub(super) const KEEP: usize = 1 << 14;

/// A living key.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) head: Head,
    /// Encoded key-value; `None` when it must be read from `log`, which then has it in the newest snapshot.
    pub(super) kv: Option<Bytes>,
}

impl Slot {
    /// Reads a row of `cur`.
    pub(super) fn from_row(row: &Bytes) -> Result<Self, Damaged> {
        let head = Head::decode(row)?;
        let kv = Head::inline(row).map(|_| row.slice(Head::LEN..));
        Ok(Self { head, kv })
    }
}

/// By key; `None` for a key that does not exist.
pub(super) type Heads = HashMap<Bytes, Option<Slot>>;

impl<E: Engine> Applier<E> {
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
