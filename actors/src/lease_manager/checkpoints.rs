//! Checkpoints of long leases: how much time they have left is noted in the log, so that a new leader need not give them all of it
//! anew. Pure.
//!
//! Without checkpoints a lease that nobody renews lives for its whole TTL again after every change of leader; with them for one
//! interval longer at most. A checkpoint must never outlive a renewal: while one may stand in the log, a renewal clears it first.

use std::collections::{BTreeSet, HashMap};

/// Milliseconds between two checkpoints of a lease: etcd's.
pub(super) const CHECKPOINT_INTERVAL: u64 = 300_000;

/// See the file header. Times are those of [`Leases`](super::Leases)'s clock.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Remaining seconds at the last checkpoint, of leases that have one.
    remaining: HashMap<i64, i64>,
    /// When which lease is looked at next.
    due: BTreeSet<(u64, i64)>,
    /// The same by lease.
    due_at: HashMap<i64, u64>,
    /// Checkpoints of this term that were proposed and are not known to be refused or applied.
    standing: HashMap<i64, u32>,
    /// Clearings of this term, likewise.
    clearing: HashMap<i64, u32>,
}

fn less_one(counts: &mut HashMap<i64, u32>, id: i64) {
    if let Some(count) = counts.get_mut(&id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&id);
        }
    }
}

impl Checkpoints {
    /// A checkpoint that the store holds.
    pub(super) fn stored(&mut self, id: i64, remaining: i64) {
        if remaining > 0 {
            self.remaining.insert(id, remaining);
        }
    }

    /// Remaining seconds at the last checkpoint.
    pub(super) fn remaining(&self, id: i64) -> Option<i64> {
        self.remaining.get(&id).copied()
    }

    /// Whether a renewal must clear a checkpoint first: there is one, or one may stand in the log.
    pub(super) fn must_clear(&self, id: i64) -> bool {
        self.remaining.contains_key(&id) || self.standing.contains_key(&id)
    }

    /// Whether the clearing of a checkpoint is on its way. No other checkpoint may be proposed meanwhile: it would come after the
    /// clearing, and after the renewal that waits for it.
    pub(super) fn is_clearing(&self, id: i64) -> bool {
        self.clearing.contains_key(&id)
    }

    /// A checkpoint was applied; zero clears it.
    pub(super) fn applied(&mut self, id: i64, remaining: i64) {
        if remaining > 0 {
            self.remaining.insert(id, remaining);
            less_one(&mut self.standing, id);
        } else {
            self.remaining.remove(&id);
            less_one(&mut self.clearing, id);
            // whatever was proposed before stands before it in the log, and nothing was proposed since
            self.standing.remove(&id);
        }
    }

    /// The lease is gone.
    pub(super) fn remove(&mut self, id: i64) {
        self.remaining.remove(&id);
        self.standing.remove(&id);
        self.clearing.remove(&id);
        self.unschedule(id);
    }

    /// Another term: nothing that was proposed before has an effect any more, and a leader plans anew.
    pub(super) fn forget_term(&mut self) {
        self.due.clear();
        self.due_at.clear();
        self.standing.clear();
        self.clearing.clear();
    }

    /// Looks at a lease at this time, and not before.
    pub(super) fn schedule(&mut self, id: i64, at: u64) {
        self.unschedule(id);
        self.due.insert((at, id));
        self.due_at.insert(id, at);
    }

    /// Whether a lease is looked at some time.
    pub(super) fn is_scheduled(&self, id: i64) -> bool {
        self.due_at.contains_key(&id)
    }

    pub(super) fn unschedule(&mut self, id: i64) {
        if let Some(at) = self.due_at.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    /// The lease that is to be looked at now. It must be scheduled again, or not at all.
    pub(super) fn next_due(&mut self, clock: u64) -> Option<i64> {
        let (_, id) = self.due.first().copied().filter(|(at, _)| *at <= clock)?;
        self.unschedule(id);
        Some(id)
    }

    /// A checkpoint was proposed.
    pub(super) fn proposed(&mut self, id: i64) {
        *self.standing.entry(id).or_default() += 1;
    }

    /// A checkpoint certainly has no effect.
    pub(super) fn refused(&mut self, id: i64) {
        less_one(&mut self.standing, id);
    }

    /// The clearing of a checkpoint was proposed.
    pub(super) fn clear_proposed(&mut self, id: i64) {
        *self.clearing.entry(id).or_default() += 1;
    }

    /// The clearing certainly has no effect.
    pub(super) fn clear_refused(&mut self, id: i64) {
        less_one(&mut self.clearing, id);
    }
}
