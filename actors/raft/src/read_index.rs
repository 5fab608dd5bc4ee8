//! Linearizable reads without a log entry.
//!
//! A leader notes its commit index, makes sure that it still leads, and then grants. Must never grant an index before
//! an entry of the own term is committed: older ones may be committed without this leader knowing.

use std::collections::VecDeque;

use crate::config::ReadOnly;
use crate::message::Body;
use crate::node::Node;
use crate::quorum::joint_committed;
use crate::storage::Storage;
use crate::trace::Trace;
use crate::types::{ConfState, Index, NodeId, ReadState, ReadTag};

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
    fn push(&mut self, from: NodeId, tag: ReadTag, index: Index) {
        self.waiting.push_back((from, tag, index));
    }

    /// Position that heartbeats should have confirmed, zero if nothing waits.
    pub(crate) fn round(&self) -> u64 {
        if self.waiting.is_empty() { 0 } else { self.confirmed + self.waiting.len() as u64 }
    }

    fn acknowledge(&mut self, from: NodeId, round: u64) {
        match self.acked.iter_mut().find(|(id, _)| *id == from) {
            Some((_, acked)) => *acked = round.max(*acked),
            None => self.acked.push((from, round)),
        }
    }

    /// Takes the next read that a quorum of `membership` has confirmed.
    fn pop_confirmed(&mut self, membership: &ConfState) -> Option<(NodeId, ReadTag, Index)> {
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

impl<S: Storage, T: Trace> Node<S, T> {
    /// As a leader: a member, possibly this one, asks.
    pub(crate) fn on_read_index(&mut self, from: NodeId, tag: ReadTag) {
        // Holds for a group of one too (etcd's library grants at once there): after a restart it may not know its own
        // commits.
        if self.committed_in_own_term() {
            self.start_read(from, tag);
        } else {
            self.early_reads.push((from, tag));
        }
    }

    fn start_read(&mut self, from: NodeId, tag: ReadTag) {
        // Only if the one voter is this member: a leader that was removed may have been replaced by the voter that is
        // left (etcd's library grants here too; the simulation found the stale read).
        let alone = self.tracker.is_singleton() && self.tracker.is_voter(self.config.id);
        match self.config.read_only {
            _ if alone => self.grant_read(from, tag, self.log.committed()),
            ReadOnly::LeaseBased => self.grant_read(from, tag, self.log.committed()),
            ReadOnly::Safe => {
                self.reads.push(from, tag, self.log.committed());
                self.reads.acknowledge(self.config.id, self.reads.round());
                self.broadcast_heartbeat();
            }
        }
    }

    /// Starts the reads that came before the first commit of the own term.
    pub(crate) fn release_early_reads(&mut self) {
        if self.early_reads.is_empty() {
            return;
        }
        assert!(self.committed_in_own_term(), "RI-14 reads start after the first commit of the own term");
        for (from, tag) in std::mem::take(&mut self.early_reads) {
            self.start_read(from, tag);
        }
    }

    /// A member has answered a heartbeat of `round`.
    pub(crate) fn confirm_reads(&mut self, from: NodeId, round: u64) {
        self.reads.acknowledge(from, round);
        self.grant_confirmed_reads();
    }

    /// Grants what the answers so far confirm; a smaller quorum may need no more of them.
    pub(crate) fn grant_confirmed_reads(&mut self) {
        while let Some((from, tag, index)) = self.reads.pop_confirmed(&self.tracker.membership) {
            self.grant_read(from, tag, index);
        }
    }

    fn grant_read(&mut self, from: NodeId, tag: ReadTag, index: Index) {
        if from == self.config.id {
            self.read_states.push(ReadState { index, tag });
        } else {
            self.send(from, Body::ReadIndexResp { index, tag });
        }
    }
}
