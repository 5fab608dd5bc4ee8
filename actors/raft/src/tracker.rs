//! Membership in force, with the progress and votes of its members.
//!
//! Answers questions about quorums. Must never decide what follows from the answers.

use crate::inflights::Inflights;
use crate::progress::{Progress, ProgressMap};
use crate::quorum::{VoteResult, joint_committed, joint_vote};
use crate::types::{ConfState, Index, NodeId};

/// See the file header.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Voters and learners.
    pub membership: ConfState,
    /// Progress of all of them.
    pub progress: ProgressMap,
    votes: Vec<(NodeId, bool)>,
    max_inflight_msgs: usize,
    max_inflight_bytes: u64,
}

impl Tracker {
    /// Without members.
    pub fn new(max_inflight_msgs: usize, max_inflight_bytes: u64) -> Self {
        Tracker {
            membership: ConfState::default(),
            progress: ProgressMap::default(),
            votes: Vec::new(),
            max_inflight_msgs,
            max_inflight_bytes,
        }
    }

    /// Forgets all members and votes.
    pub(crate) fn cleared(&self) -> Self {
        Tracker::new(self.max_inflight_msgs, self.max_inflight_bytes)
    }

    /// Progress of a member nothing is known of.
    pub(crate) fn fresh_progress(&self, next: Index, is_learner: bool) -> Progress {
        Progress::new(next, Inflights::new(self.max_inflight_msgs, self.max_inflight_bytes), is_learner)
    }

    /// Highest index that a quorum has acknowledged.
    pub fn committed(&self) -> Index {
        let acked = |id| self.progress.get(id).map(|progress| progress.matched);
        joint_committed(&self.membership.voters, &self.membership.voters_outgoing, acked)
    }

    /// Whether a quorum was heard from since the last check.
    pub fn quorum_active(&self) -> bool {
        let active = |id| self.progress.get(id).filter(|p| !p.is_learner).map(|progress| progress.recent_active);
        joint_vote(&self.membership.voters, &self.membership.voters_outgoing, active) == VoteResult::Won
    }

    /// Whether there is one voter and no joint configuration.
    pub fn is_singleton(&self) -> bool {
        self.membership.voters.len() == 1 && self.membership.voters_outgoing.is_empty()
    }

    /// Voters of both halves, ascending.
    pub fn voters(&self) -> Vec<NodeId> {
        let mut ids = [&self.membership.voters[..], &self.membership.voters_outgoing].concat();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether `id` votes in either half.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.membership.voters.contains(&id) || self.membership.voters_outgoing.contains(&id)
    }

    /// Forgets the votes of the last election.
    pub(crate) fn reset_votes(&mut self) {
        self.votes.clear();
    }

    /// Notes a vote; the first of a member counts.
    pub(crate) fn record_vote(&mut self, id: NodeId, granted: bool) {
        if self.vote_of(id).is_none() {
            self.votes.push((id, granted));
        }
    }

    fn vote_of(&self, id: NodeId) -> Option<bool> {
        self.votes.iter().find(|(voter, _)| *voter == id).map(|(_, granted)| *granted)
    }

    /// Granted, rejected, and what they amount to.
    pub(crate) fn tally(&self) -> (usize, usize, VoteResult) {
        let counted = |granted: bool| {
            let member = |id| self.progress.get(id).is_some_and(|progress| !progress.is_learner);
            self.votes.iter().filter(|(id, vote)| *vote == granted && member(*id)).count()
        };
        let result = joint_vote(&self.membership.voters, &self.membership.voters_outgoing, |id| self.vote_of(id));
        (counted(true), counted(false), result)
    }
}
