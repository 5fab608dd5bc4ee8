//! Linearizable reads without a log entry.
//!
//! A leader notes its commit index, makes sure that it still leads, and then grants. Must never grant an index before
//! an entry of the own term is committed: older ones may be committed without this leader knowing.

use crate::config::ReadOnly;
use crate::message::Body;
use crate::node::Node;
use crate::storage::Storage;
use crate::trace::Trace;
use crate::types::{Index, NodeId, ReadState, ReadTag};

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
