//! The newest version of one key, as batches know it.
//!
//! Must never be older than what was written last.

use crate::schema::{Damaged, Head};
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
