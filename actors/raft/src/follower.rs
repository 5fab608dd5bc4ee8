//! Following: entries, heartbeats and snapshots of a leader; passing requests on to it.
//!
//! Must never acknowledge what differs from the leader's log, and never give up a committed entry.

use crate::candidate::Campaign;
use crate::config::ReadOnly;
use crate::error::{ProposalDropped, StepError};
use crate::log::Appended;
use crate::message::{Append, Body, Message};
use crate::node::Node;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{Index, LogId, NodeId, ReadState};
use crate::unstable::{StableOutcome, Truncation};

impl<S: Storage, T: Trace> Node<S, T> {
    pub(crate) fn step_follower(&mut self, message: Message) -> Result<(), StepError> {
        let from = message.from;
        match message.body {
            Body::Propose(proposals) => {
                self.may_forward_proposal()?;
                self.forward(from, Body::Propose(proposals));
            }
            Body::Append(append) => {
                self.hear_leader(from);
                self.on_append(from, append);
            }
            Body::Heartbeat { commit, read_round } => {
                self.hear_leader(from);
                self.on_heartbeat(from, commit, read_round)?;
            }
            Body::Snapshot(snapshot) => {
                self.hear_leader(from);
                self.on_snapshot(from, snapshot);
            }
            Body::TransferLeader { transferee } => {
                if self.leader == 0 {
                    trace!(self, TraceEvent::TransferWithoutLeader { term: self.term });
                } else {
                    self.forward(from, Body::TransferLeader { transferee });
                }
            }
            Body::TimeoutNow => {
                trace!(self, TraceEvent::ReceivedTimeoutNow { term: self.term, from });
                // Without a pre-vote: the leader wants this, nobody was cut off.
                self.hup_for(Campaign::Transfer);
            }
            Body::ReadIndex { tag } => {
                if self.leader == 0 {
                    trace!(self, TraceEvent::ReadWithoutLeader { term: self.term });
                } else {
                    self.forward(from, Body::ReadIndex { tag });
                }
            }
            Body::ReadIndexResp { index, tag } => self.read_states.push(ReadState { index, tag }),
            _ => {}
        }
        Ok(())
    }

    /// Whether a proposal may go to the leader.
    pub(crate) fn may_forward_proposal(&mut self) -> Result<NodeId, ProposalDropped> {
        if self.leader == 0 {
            return Err(self.drop_proposal_without_leader());
        }
        if self.config.disable_proposal_forwarding {
            trace!(self, TraceEvent::ProposalNotForwarded { leader: self.leader, term: self.term });
            return Err(ProposalDropped::NotForwarding);
        }
        Ok(self.leader)
    }

    fn hear_leader(&mut self, leader: NodeId) {
        self.election_elapsed = 0;
        self.leader = leader;
    }

    pub(crate) fn drop_leader(&mut self) {
        if self.role != crate::types::Role::Follower {
            return;
        }
        if self.config.read_only == ReadOnly::LeaseBased {
            trace!(self, TraceEvent::ForgetLeaderRefused);
        } else if self.leader != 0 {
            trace!(self, TraceEvent::ForgotLeader { leader: self.leader, term: self.term });
            self.leader = 0;
        }
    }

    pub(crate) fn on_append(&mut self, from: NodeId, append: Append) {
        let Append { prev_index, prev_term, commit, entries } = append;
        if prev_index < self.log.committed() {
            self.send(from, Body::AppendAccepted { index: self.log.committed() });
            return;
        }
        let prev = LogId { term: prev_term, index: prev_index };
        match self.log.append_from_leader(prev, entries, commit) {
            Appended::Matched { last, conflict, truncation } => {
                if let Some((index, existing_term, conflicting_term)) = conflict {
                    trace!(self, TraceEvent::FoundConflict { index, existing_term, conflicting_term });
                }
                match truncation {
                    Truncation::None => {}
                    Truncation::Replaced(from) => trace!(self, TraceEvent::ReplacedUnstable { from }),
                    Truncation::Truncated(from) => trace!(self, TraceEvent::TruncatedUnstable { from }),
                }
                self.send(from, Body::AppendAccepted { index: last });
            }
            Appended::Mismatch => self.reject_append(from, prev),
        }
    }

    /// Refuses an append, with a hint that skips all own entries of terms the leader cannot have there.
    fn reject_append(&mut self, from: NodeId, prev: LogId) {
        let own_term = self.log.term(prev.index).unwrap_or(0);
        trace!(self, TraceEvent::RejectedAppend { own_term, prev, from });
        let start = prev.index.min(self.log.last_index());
        let (hint_index, hint_term) = self.log.find_conflict_by_term(start, prev.term);
        self.send(from, Body::AppendRejected { index: prev.index, hint_index, hint_term });
    }

    /// The commit index of a heartbeat is never beyond what this member acknowledged in the leader's term. One that is
    /// beyond the log therefore says that acknowledged entries are gone.
    pub(crate) fn on_heartbeat(&mut self, from: NodeId, commit: Index, read_round: u64) -> Result<(), StepError> {
        let last = self.log.last_index();
        if commit > last {
            return Err(StepError::LogLost { leader: from, acknowledged: commit, last });
        }
        self.log.commit_to(commit);
        self.send(from, Body::HeartbeatAck { read_round });
        Ok(())
    }

    pub(crate) fn trace_stable(&mut self, id: LogId, outcome: StableOutcome) {
        match outcome {
            StableOutcome::Released => {}
            StableOutcome::Missing => trace!(self, TraceEvent::StableMissing { index: id.index }),
            StableOutcome::IsSnapshot => trace!(self, TraceEvent::StableIsSnapshot { index: id.index }),
            StableOutcome::Mismatch(own_term) => trace!(self, TraceEvent::StableMismatch { stable: id, own_term }),
        }
    }
}
