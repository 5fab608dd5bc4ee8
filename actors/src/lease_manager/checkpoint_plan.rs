//! Which leases are due for a checkpoint, and what it says. Pure.
//!
//! A lease that a new leader would give more than an interval is noted once in every interval in which it was not renewed. Must
//! never note less than a lease has left, nor note one whose checkpoint is being cleared.

use super::table::{Leases, RETRY, millis};
use crate::limits::CHECKPOINTS_PER_ENTRY;

/// Checkpoints to be proposed as one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointsDue {
    /// Leases, and how many seconds they have left.
    pub remaining: Vec<(i64, i64)>,
    /// The only term in which they may have an effect.
    pub term: u64,
}

impl Leases {
    /// Checkpoints to propose now, as one entry; `None` when there are none, or an entry is on its way.
    pub fn take_checkpoints(&mut self) -> Option<CheckpointsDue> {
        let term = self.leading.filter(|_| !self.checkpoint_out)?;
        let mut remaining = Vec::new();
        while remaining.len() < CHECKPOINTS_PER_ENTRY
            && let Some(id) = self.checkpoints.next_due(self.clock())
        {
            remaining.extend(self.checkpoint_of(id).map(|seconds| (id, seconds)));
        }
        self.checkpoint_out = !remaining.is_empty();
        self.checkpoint_out.then_some(CheckpointsDue { remaining, term })
    }

    /// What a lease that is due would be noted with; plans when it is looked at again.
    fn checkpoint_of(&mut self, id: i64) -> Option<i64> {
        let (clock, interval) = (self.clock(), self.checkpoint_interval);
        let lease = *self.table.get(&id)?;
        let left = lease.expiry.saturating_sub(clock);
        let checkpoint = self.checkpoints.remaining(id);
        // since the lease last had its whole time
        let used = millis(lease.ttl).saturating_sub(left);
        if left == 0 {
            return None;
        }
        if checkpoint.is_none() && used < interval {
            // it was renewed meanwhile
            self.checkpoints.schedule(id, clock + interval - used);
            return None;
        }
        if self.checkpoints.is_clearing(id) {
            self.checkpoints.schedule(id, clock + RETRY);
            return None;
        }
        self.checkpoints.schedule(id, clock + interval);
        // rounded up: never less than it has
        let seconds = left.div_ceil(1_000) as i64;
        if seconds >= checkpoint.unwrap_or(lease.ttl) {
            return None;
        }
        self.checkpoints.proposed(id);
        Some(seconds)
    }

    /// An entry with checkpoints has an outcome. One that was refused is tried again soon.
    pub fn checkpoints_ended(&mut self, ids: &[i64], refused: bool) {
        self.checkpoint_out = false;
        for id in ids.iter().filter(|_| refused) {
            self.checkpoints.refused(*id);
            if self.table.contains_key(id) {
                self.checkpoints.schedule(*id, self.clock() + RETRY);
            }
        }
    }

    /// The clearing of a checkpoint was proposed; see `Renewal::Checkpointed` of the table.
    pub fn clear_proposed(&mut self, id: i64) {
        self.checkpoints.clear_proposed(id);
    }

    /// It certainly had no effect.
    pub fn clear_refused(&mut self, id: i64) {
        self.checkpoints.clear_refused(id);
    }

    /// Plans the next look at a lease that a new leader would give more than an interval.
    pub(super) fn plan_checkpoint(&mut self, id: i64) {
        let Some(lease) = self.table.get(&id).copied().filter(|_| self.leading.is_some()) else { return };
        if self.left(id, &lease) > self.checkpoint_interval {
            self.checkpoints.schedule(id, self.clock() + self.checkpoint_interval);
        } else {
            self.checkpoints.unschedule(id);
        }
    }
}
