//! What the peer transport reports besides messages: what was lost on the way, and that this member was removed.
//!
//! Must never take a proposal that may have arrived for one that did not.

use super::core::RaftCore;
use crate::wiring::peers::PeerReport;
use messages::RequestError;
use model::{Envelope, Origin};
use raft::{Body, ConfChangeV2, EntryKind, Message, NodeId, Proposal};
use storage::apply::{MemberContext, Membership};

impl RaftCore {
    /// Takes in what the transport has reported.
    pub(super) fn on_reports(&mut self) {
        while let Ok(report) = self.parts.inbox.reports.try_recv() {
            match report {
                PeerReport::Unreachable { peer, never_left } => {
                    self.node.report_unreachable(peer);
                    never_left.into_iter().for_each(|message| self.on_never_left(message));
                }
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
        let Some(origin) = origin_of(proposal) else { return };
        let own = (origin.member, origin.epoch) == (self.config.raft.id, self.config.epoch);
        if own && let Some((sink, token)) = self.proposals.take(origin.sequence) {
            self.refuse(sink, token, RequestError::LeaderChanged);
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

/// Who waits for a proposal.
fn origin_of(proposal: &Proposal) -> Option<Origin> {
    if proposal.kind == EntryKind::Normal {
        return Envelope::decode(&proposal.data).ok().map(|envelope| envelope.origin);
    }
    let change = ConfChangeV2::from_payload(proposal.kind, &proposal.data).ok()??;
    MemberContext::decode(&change.context).ok().map(|context| context.origin)
}
