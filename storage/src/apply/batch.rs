//! The rows that wait for the next engine write.
//!
//! Small rows are cut from one arena, so that a put does not pay an allocation for each of them. Must never interpret a row.

use super::meta_rows::State;
use super::running::Digest;
use crate::engine::{Family, Op};
use crate::schema::meta;
use bytes::{Bytes, BytesMut};

/// Bytes the arena takes from the allocator at once.
const ARENA: usize = 64 << 10;
/// What a row costs beside its bytes: handles in the batch and a node in the engine's write buffer.
const ROW_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Batch {
    ops: Vec<Op>,
    bytes: usize,
    arena: BytesMut,
    /// What the entry at hand has done so far.
    pub(super) digest: Digest,
}

impl Batch {
    /// An effect of the entry at hand.
    pub(super) fn put(&mut self, family: Family, key: Bytes, value: Bytes) {
        self.digest.put(family, &key, &value);
        self.put_own(family, key, value);
    }

    /// A row of this member's own pace: no effect of an entry.
    pub(super) fn put_own(&mut self, family: Family, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len() + ROW_OVERHEAD;
        self.ops.push(Op::Put { family, key, value });
    }

    /// An effect of the entry at hand.
    pub(super) fn delete(&mut self, family: Family, key: Bytes) {
        self.digest.delete(family, &key);
        self.delete_own(family, key);
    }

    /// As [`Self::put_own`].
    pub(super) fn delete_own(&mut self, family: Family, key: Bytes) {
        self.bytes += key.len() + ROW_OVERHEAD;
        self.ops.push(Op::Delete { family, key });
    }

    /// Bytes cut from the arena: `fill` appends at most `len` of them.
    pub(super) fn cut(&mut self, len: usize, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.arena.capacity() < len {
            self.arena = BytesMut::with_capacity(ARENA.max(len));
        }
        fill(&mut self.arena);
        self.arena.split().freeze()
    }

    /// The rows for what changed between two states.
    pub(super) fn numbers(&mut self, old: &State, new: &State) {
        if old.applied != new.applied {
            self.put_own(Family::Meta, Bytes::from_static(meta::APPLIED), new.applied_row());
            if let Some(row) = new.running_row() {
                self.put_own(Family::Meta, Bytes::from_static(meta::RUNNING_HASH), row);
            }
        }
        let revisions = |s: &State| (s.revision, s.compact, s.compact_done, s.compacting);
        if revisions(old) != revisions(new) {
            self.put_own(Family::Meta, Bytes::from_static(meta::REVISIONS), new.revisions_row());
        }
        let sizes = |s: &State| (s.log_bytes, s.cur_bytes, s.keys, s.leases, s.live_log_bytes, s.history);
        if sizes(old) != sizes(new) {
            self.put_own(Family::Meta, Bytes::from_static(meta::SIZES), new.sizes_row());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Memory the batch stands for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn ops_mut(&mut self) -> &mut Vec<Op> {
        &mut self.ops
    }

    /// Rows of which only the count is known.
    pub(super) fn extend(&mut self, ops: Vec<Op>) {
        self.ops.extend(ops);
    }

    /// Takes the writes of one row of `meta` out of the batch: what a mutant does.
    pub(super) fn take_row(&mut self, row: &[u8]) -> Vec<Op> {
        self.ops
            .extract_if(.., |op| matches!(op, Op::Put { family: Family::Meta, key, .. } if key[..] == *row))
            .collect()
    }

    /// True when users and roles change and keys do not: what a mutant asks.
    pub(super) fn is_about_users_alone(&self) -> bool {
        let is_of_keys =
            |op: &Op| !matches!(op, Op::Put { family: Family::Meta, .. } | Op::Delete { family: Family::Meta, .. });
        let is_of_users = |op: &Op| matches!(op, Op::Put { key, .. } if key[..] == *meta::AUTH);
        self.ops.iter().any(is_of_users) && !self.ops.iter().any(is_of_keys)
    }

    pub(super) fn take(&mut self) -> Vec<Op> {
        self.bytes = 0;
        let room = self.ops.len().min(4096);
        std::mem::replace(&mut self.ops, Vec::with_capacity(room))
    }
}
