//! What the peer transport reports besides messages: what was lost on the way, and that this member was removed.
//!
//! Must never take a proposal that may have arrived for one that did not.

use super::core::RaftCore;
use super::forwarded;
use crate::calls::kinds::Refusal;
use crate::wiring::peers::PeerReport;
use messages::RequestError;
use raft::{Body, Message, NodeId, Proposal};
use storage::apply::Membership;

impl RaftCore {
    /// Takes in what the transport has reported.
    pub(super) fn on_reports(&mut self) {
        while let Ok(report) = self.parts.inbox.reports.try_recv() {
            match report {
                PeerReport::Unreachable { peer, never_left } => {
                    self.node.report_unreachable(peer);
                    never_left.into_iter().for_each(|message| self.on_never_left(message));
                }
                PeerReport::Refused(refusal) => self.on_refused(&refusal),
                PeerReport::Removed { by } => self.on_told_removed(by),
            }
        }
    }

    /// A message certainly did not leave this member. What was proposed by it is answered at once.
    fn on_never_left(&mut self, message: Message) {
        match message.body {
            Body::Propose(proposals) if message.from == self.config.raft.id => {
                proposals.iter().for_each(|proposal| self.refuse_unsent(proposal));
            }
            Body::Snapshot(_) => self.node.report_snapshot(message.to, false),
            _ => {}
        }
    }

    fn refuse_unsent(&mut self, proposal: &Proposal) {
        let Some(origin) = forwarded::origin_of(proposal) else { return };
        if origin.member == self.config.raft.id {
            self.refuse_own(origin.epoch, origin.sequence, RequestError::LeaderChanged);
        }
    }

    /// The leader did not take what this member has forwarded.
    fn on_refused(&mut self, refusal: &Refusal) {
        for sequence in &refusal.sequences {
            self.refuse_own(refusal.epoch, *sequence, refusal.error());
        }
    }

    /// A proposal certainly has no effect: who waits for it is told, if it was made by this run.
    fn refuse_own(&mut self, epoch: u64, sequence: u64, why: RequestError) {
        if epoch == self.config.epoch
            && let Some((sink, token)) = self.proposals.take(sequence)
        {
            self.refuse(sink, token, why);
        }
    }

    /// Another member has applied the removal of this one. It leaves after an election timeout: until then it may still be
    /// needed to pass on what it knows to be committed.
    fn on_told_removed(&mut self, by: NodeId) {
        if self.leaves_at.is_none() {
            tracing::warn!(by = format!("{by:x}"), "this member was removed from the cluster");
            self.leaves_at = Some(self.now + u64::from(self.config.raft.election_tick));
        }
    }

    /// The store says that this member is none any more. It leaves as one that was told so.
    pub(super) fn leave_when_removed(&mut self, membership: &Membership) {
        if membership.was_removed(self.config.raft.id) && self.leaves_at.is_none() {
            tracing::warn!("this member was removed from the cluster");
            self.leaves_at = Some(self.now + u64::from(self.config.raft.election_tick));
        }
    }

    /// Whether the time has come for a member that was removed.
    pub(super) fn leave_if_removed(&mut self) {
        self.has_left |= self.leaves_at.is_some_and(|at| self.now >= at);
    }
}
