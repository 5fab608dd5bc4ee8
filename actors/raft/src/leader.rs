//! Leading: answers of members, commit, quorum checks.
//!
//! Must never commit an entry of an older term by counting: it is committed by one of the own term after it.

use crate::config::ReadOnly;
use crate::error::StepError;
use crate::message::{Body, Message};
use crate::node::Node;
use crate::progress::ProgressState;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{Index, LogId, NodeId, Role};

impl<S: Storage, T: Trace> Node<S, T> {
    pub(crate) fn step_leader(&mut self, message: Message) -> Result<(), StepError> {
        let from = message.from;
        match message.body {
            Body::Propose(proposals) => return self.append_proposals(proposals).map(|_| ()).map_err(StepError::from),
            Body::ReadIndex { tag } => self.on_read_index(from, tag),
            Body::TransferLeader { transferee } => self.on_transfer_leader(transferee),
            _ if self.tracker.progress.get(from).is_none() => trace!(self, TraceEvent::NoProgress { from }),
            Body::AppendAccepted { index } => self.on_accepted(from, index),
            Body::AppendRejected { index, hint_index, hint_term } => {
                self.on_rejected(from, index, LogId { term: hint_term, index: hint_index });
            }
            Body::HeartbeatAck { read_round } => self.on_heartbeat_ack(from, read_round),
            _ => {}
        }
        Ok(())
    }

    /// A member, possibly this one, holds the log up to `index`.
    fn on_accepted(&mut self, from: NodeId, index: Index) {
        let first_index = self.log.first_index();
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return;
        };
        progress.recent_active = true;
        // An old acknowledgement still tells that a probed member is reachable and where it stands.
        let meets = progress.matched == index && progress.state == ProgressState::Probe;
        if !progress.acknowledge(index) && !meets {
            return;
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            // Whatever snapshot it took and from whom: what counts is that the log reaches it again.
            ProgressState::Snapshot { .. } if progress.matched + 1 >= first_index => {
                trace!(self, TraceEvent::RecoveredFromSnapshot { peer: from, progress });
                progress.become_probe();
                progress.become_replicate();
            }
            ProgressState::Snapshot { .. } => {}
            ProgressState::Replicate => progress.inflights.free_to(index),
        }
        let matched = progress.matched;
        let is_peer = from != self.config.id;
        if self.maybe_commit() {
            self.release_early_reads();
            self.broadcast_commit();
        } else if is_peer && self.can_bump_commit(from) {
            self.maybe_send_append(from, true);
        }
        if is_peer {
            // The window may have opened by several messages.
            while self.maybe_send_append(from, false) {}
        }
        if from == self.lead_transferee && matched == self.log.last_index() {
            trace!(self, TraceEvent::TransferCaughtUp { transferee: from });
            self.send(from, Body::TimeoutNow);
        }
    }

    fn can_bump_commit(&self, peer: NodeId) -> bool {
        self.tracker.progress.get(peer).is_some_and(|progress| progress.can_bump_commit(self.log.committed()))
    }

    /// A member's log does not meet the append after `index`; it may up to `hint`.
    fn on_rejected(&mut self, from: NodeId, index: Index, hint: LogId) {
        trace!(self, TraceEvent::AppendRejected { hint, from, index });
        // Where the own term is higher than the member's at the hint, the logs cannot meet: one probe per term, not
        // per entry.
        let probe = if hint.term > 0 { self.log.find_conflict_by_term(hint.index, hint.term).0 } else { hint.index };
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return;
        };
        progress.recent_active = true;
        if progress.reject(index, probe) {
            trace!(self, TraceEvent::DecreasedProgress { peer: from, progress });
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.maybe_send_append(from, true);
        }
    }

    fn on_heartbeat_ack(&mut self, from: NodeId, read_round: u64) {
        let last_index = self.log.last_index();
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return;
        };
        progress.recent_active = true;
        progress.flow_paused = false;
        // Even with a full window or nothing to send, an empty append gets a lost follower going again.
        if progress.matched < last_index || progress.state == ProgressState::Probe {
            self.maybe_send_append(from, true);
        }
        if self.config.read_only == ReadOnly::Safe && read_round != 0 {
            self.confirm_reads(from, read_round);
        }
    }

    /// Commits what a quorum holds; true if that moved the commit index.
    pub(crate) fn maybe_commit(&mut self) -> bool {
        let index = self.tracker.committed();
        if index <= self.log.committed() || self.log.term(index) != Ok(self.term) {
            return false;
        }
        self.log.commit_to(index);
        true
    }

    pub(crate) fn on_unreachable(&mut self, peer: NodeId) {
        if self.role != Role::Leader {
            return;
        }
        let Some(progress) = self.tracker.progress.get_mut(peer) else {
            trace!(self, TraceEvent::NoProgress { from: peer });
            return;
        };
        if progress.state == ProgressState::Replicate {
            progress.become_probe();
        }
        trace!(self, TraceEvent::Unreachable { peer, progress });
    }

    pub(crate) fn on_snapshot_status(&mut self, peer: NodeId, delivered: bool) {
        if self.role != Role::Leader {
            return;
        }
        let Some(progress) = self.tracker.progress.get_mut(peer) else {
            trace!(self, TraceEvent::NoProgress { from: peer });
            return;
        };
        if !matches!(progress.state, ProgressState::Snapshot { .. }) {
            return;
        }
        if delivered {
            progress.become_probe();
            trace!(self, TraceEvent::SnapshotDelivered { peer, progress });
        } else {
            progress.state = ProgressState::Snapshot { pending: 0 };
            progress.become_probe();
            trace!(self, TraceEvent::SnapshotFailed { peer, progress });
        }
        // Next: its own acknowledgement, or a heartbeat's answer.
        progress.flow_paused = true;
    }
}
