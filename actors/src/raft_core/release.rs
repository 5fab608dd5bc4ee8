//! How far the log may go: behind what the store holds for good, and before what somebody still needs of it.
//!
//! Must never release an entry that is only in the log.

use super::core::RaftCore;
use crate::wiring::wal::ToWal;
use raft::{LogId, Storage};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

impl RaftCore {
    /// Room is worth more than what lagging followers may ask for, or the log is damaged and cannot be read to them.
    pub(super) fn wants_room(&self) -> bool {
        let gauges = &self.parts.gauges;
        gauges.disk_low.load(Relaxed) || gauges.log_damaged_to.load(Acquire) > 0
    }

    /// The store holds everything up to `durable` for good: the log before it goes, less what lagging followers may ask for. Nobody
    /// asks a lone member, and on a full disk room is worth more: a follower can be sent a snapshot. What is needed behind one stays.
    pub(super) fn release_log(&mut self) {
        let needless = self.is_alone() || self.wants_room();
        let keep = if needless { 0 } else { self.config.catch_up_entries };
        let held = self.node.storage().outgoing.held();
        let index = self.durable.saturating_sub(keep).min(self.node.applied()).min(held).max(self.released);
        let damaged_to = self.parts.gauges.log_damaged_to.load(Acquire);
        // its segment may stay although every entry in it is released: it is the one being written
        let lets_go = damaged_to > self.let_go_for && index >= damaged_to;
        if index <= self.released && !lets_go {
            return;
        }
        let Ok(term) = self.node.storage().term(index) else { return };
        if self.parts.wal.try_send(ToWal::Release { to: LogId { term, index } }).is_err() {
            return;
        }
        if lets_go {
            self.let_go_for = damaged_to;
        }
        if index > self.released {
            self.released = index;
            self.parts.gauges.log_released.store(index, Relaxed);
            self.node.storage_mut().compact(index);
        }
    }
}
