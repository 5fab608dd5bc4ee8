//! What the peer transport reports besides messages: what was lost on the way, and that this member was removed.
//!
//! Must never take a proposal that may have arrived for one that did not.

use super::core::RaftCore;
use super::forwarded;
use crate::calls::kinds::{Introduce, Introduction, Refusal};
use crate::wiring::peers::PeerReport;
use messages::RequestError;
use messages::peer::PeerAddress;
use raft::{Body, Message, NodeId, Proposal};
use std::time::Duration;
use storage::apply::Membership;

/// How long an introduction may be on its way. It is made again.
const INTRODUCTION_PATIENCE: Duration = Duration::from_secs(1);

/// Election timeouts that a member stays which was removed and has heard that from nobody.
const STAY: u64 = 5;

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
                PeerReport::Introduced(peer) => self.on_introduced(peer),
                PeerReport::StoreWanted { by, behind } => self.on_store_wanted(by, behind),
                PeerReport::Removed { by, authenticated } => self.on_told_removed(by, authenticated),
            }
        }
    }

    /// Somebody who may have been added behind what this member has applied: without an answer it can neither be voted for nor bring
    /// this member up to date. What it says is raft's to judge, as ever.
    fn on_introduced(&mut self, peer: PeerAddress) {
        let present = &self.changes.present;
        if present.member(peer.member).is_none() && !present.was_removed(peer.member) {
            tracing::info!(peer = format!("{:x}", peer.member), urls = ?peer.urls, "a member that is not known here yet");
            self.parts.connections.introduce(peer);
        }
    }

    /// Says to members that do not answer how this one is reached: they may have been away since before it was added. A leader says it
    /// to those it hears nothing of, and whoever seeks votes to all.
    pub(super) fn introduce_itself(&self) {
        let own = self.config.raft.id;
        let Some(row) = self.changes.present.member(own).filter(|row| !row.peer_urls.is_empty()) else { return };
        let silent: Vec<NodeId> = match self.node.progress() {
            Some(progress) => progress.iter().filter(|(_, peer)| !peer.recent_active).map(|(id, _)| id).collect(),
            None if self.node.leader() == 0 => forwarded::all_members(self.node.membership()).collect(),
            None => Vec::new(),
        };
        for peer in silent.into_iter().filter(|peer| *peer != own) {
            let ask = Introduction { id: own, peer_urls: row.peer_urls.clone() };
            self.parts.calls.ask::<Introduce>(peer, ask, INTRODUCTION_PATIENCE, drop);
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

    /// Another member has applied the removal of this one, or the store said so at the start. It leaves after an election timeout:
    /// until then it may still be needed to pass on what it knows to be committed. What anybody could have said counts where the store
    /// says the same.
    fn on_told_removed(&mut self, by: NodeId, authenticated: bool) {
        if !authenticated && self.leaves_at.is_none() {
            let by = format!("{by:x}");
            tracing::warn!(
                by,
                "a member says that this one was removed, but over http anybody can say so: not believed"
            );
            return;
        }
        if self.leaves_at.is_none() {
            tracing::warn!(by = format!("{by:x}"), "this member was removed from the cluster");
        }
        self.leave_within(1);
    }

    /// The store says that this member is none any more. As long as nobody else says so, it may be the only one who knows it for good:
    /// whoever led may have crashed before that was on its disk, and needs this member's vote to lead again.
    pub(super) fn leave_when_removed(&mut self, membership: &Membership) {
        if membership.was_removed(self.config.raft.id) && self.leaves_at.is_none() {
            tracing::warn!("this member was removed from the cluster");
            // at the start it has been known for long
            self.leave_within(if self.now == 0 { 1 } else { STAY });
        }
    }

    fn leave_within(&mut self, elections: u64) {
        let at = self.now + elections * u64::from(self.config.raft.election_tick);
        self.leaves_at = Some(self.leaves_at.map_or(at, |known| known.min(at)));
    }

    /// Whether the time has come for a member that was removed.
    pub(super) fn leave_if_removed(&mut self) {
        self.has_left |= self.leaves_at.is_some_and(|at| self.now >= at);
    }
}
