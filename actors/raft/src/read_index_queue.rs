//! Reads that wait until a quorum confirms that this leader still leads.
//!
//! Must never decide which index is granted: [`read_index`](crate::read_index) does.

use std::collections::VecDeque;

use crate::quorum::joint_committed;
use crate::types::{ConfState, Index, NodeId, ReadTag};

/// Reads that wait for a quorum. Each has a position; a heartbeat carries the highest position, and its answer
/// confirms all up to it, so that one round serves all reads that came before it.
#[derive(Debug, Default)]
pub(crate) struct ReadIndexQueue {
    waiting: VecDeque<(NodeId, ReadTag, Index)>,
    /// Position before the first that waits.
    confirmed: u64,
    acked: Vec<(NodeId, u64)>,
}

impl ReadIndexQueue {
    pub(crate) fn push(&mut self, from: NodeId, tag: ReadTag, index: Index) {
        self.waiting.push_back((from, tag, index));
    }

    /// Position that heartbeats should have confirmed, zero if nothing waits.
    pub(crate) fn round(&self) -> u64 {
        if self.waiting.is_empty() { 0 } else { self.confirmed + self.waiting.len() as u64 }
    }

    pub(crate) fn acknowledge(&mut self, from: NodeId, round: u64) {
        match self.acked.iter_mut().find(|(id, _)| *id == from) {
            Some((_, acked)) => *acked = round.max(*acked),
            None => self.acked.push((from, round)),
        }
    }

    /// Takes the next read that a quorum of `membership` has confirmed.
    pub(crate) fn pop_confirmed(&mut self, membership: &ConfState) -> Option<(NodeId, ReadTag, Index)> {
        let acked = |id| self.acked.iter().find(|(from, _)| *from == id).map(|(_, round)| *round);
        let confirmed = joint_committed(&membership.voters, &membership.voters_outgoing, acked);
        if confirmed <= self.confirmed {
            return None;
        }
        let read = self.waiting.pop_front()?;
        self.confirmed += 1;
        Some(read)
    }
}
