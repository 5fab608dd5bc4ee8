//! Changing roles, and the passing of time in each of them.
//!
//! Every change of role or term goes through `reset`. Must never grant or deny anything: that is
//! [`step`](crate::Node::step)'s.

use crate::message::Body;
use crate::node::Node;
use crate::read_index_queue::ReadIndexQueue;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{NodeId, Role, Term};

impl<S: Storage, T: Trace> Node<S, T> {
    /// Forgets everything that belonged to the old term or role.
    fn reset(&mut self, term: Term) {
        assert!(term >= self.term, "RI-12 the term never moves back");
        if self.term != term {
            self.term = term;
            self.vote = 0;
        }
        self.leader = 0;
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.draw_election_timeout();
        self.lead_transferee = 0;
        self.tracker.reset_votes();
        self.reset_progress();
        self.pending_conf_index = 0;
        self.uncommitted_size = 0;
        self.reads = ReadIndexQueue::default();
        self.early_reads.clear();
    }

    fn reset_progress(&mut self) {
        let (id, last) = (self.config.id, self.log.last_index());
        let mut blank = self.tracker.fresh_progress(last + 1, false);
        for (member, progress) in self.tracker.progress.iter_mut() {
            blank.is_learner = progress.is_learner;
            blank.matched = if member == id { last } else { 0 };
            *progress = blank.clone();
        }
    }

    pub(crate) fn become_follower(&mut self, term: Term, leader: NodeId) {
        self.reset(term);
        self.leader = leader;
        self.role = Role::Follower;
        trace!(self, TraceEvent::BecameFollower { term });
    }

    pub(crate) fn become_pre_candidate(&mut self) {
        assert!(self.role != Role::Leader, "RI-4 a leader does not campaign");
        // Neither term nor vote move: this only asks.
        self.tracker.reset_votes();
        self.leader = 0;
        self.role = Role::PreCandidate;
        trace!(self, TraceEvent::BecamePreCandidate { term: self.term });
    }

    pub(crate) fn become_candidate(&mut self) {
        assert!(self.role != Role::Leader, "RI-4 a leader does not campaign");
        self.reset(self.term + 1);
        self.vote = self.config.id;
        self.role = Role::Candidate;
        trace!(self, TraceEvent::BecameCandidate { term: self.term });
    }

    pub(crate) fn become_leader(&mut self) {
        assert!(self.role == Role::Candidate, "RI-4 only a candidate becomes leader");
        self.reset(self.term);
        let id = self.config.id;
        self.leader = id;
        self.role = Role::Leader;
        if let Some(own) = self.tracker.progress.get_mut(id) {
            own.become_replicate();
            own.recent_active = true;
        }
        // There may be a membership change in the tail of the log. Looking would cost a scan; waiting for all of it
        // is safe.
        self.pending_conf_index = self.log.last_index();
        self.append_empty();
        trace!(self, TraceEvent::BecameLeader { term: self.term });
    }

    /// One tick of anybody but a leader.
    pub(crate) fn tick_election(&mut self) {
        self.election_elapsed += 1;
        if self.is_promotable() && self.election_elapsed >= self.randomized_election_timeout {
            self.election_elapsed = 0;
            self.hup();
        }
    }

    /// One tick of a leader.
    pub(crate) fn tick_leader(&mut self) {
        self.heartbeat_elapsed += 1;
        self.election_elapsed += 1;
        if self.election_elapsed >= self.config.election_tick {
            self.election_elapsed = 0;
            if self.config.check_quorum {
                self.check_quorum();
            }
            if self.role == Role::Leader {
                // A transfer that takes longer is given up, so that proposals are taken again.
                self.lead_transferee = 0;
            }
        }
        if self.role == Role::Leader && self.heartbeat_elapsed >= self.config.heartbeat_tick {
            self.heartbeat_elapsed = 0;
            self.broadcast_heartbeat();
        }
    }

    fn check_quorum(&mut self) {
        if !self.tracker.quorum_active() {
            trace!(self, TraceEvent::QuorumInactive);
            self.become_follower(self.term, 0);
        }
        let id = self.config.id;
        for (member, progress) in self.tracker.progress.iter_mut() {
            if member != id {
                progress.recent_active = false;
            }
        }
    }

    /// Heartbeats to all, with the newest read round.
    pub(crate) fn broadcast_heartbeat(&mut self) {
        let (id, committed, read_round) = (self.config.id, self.log.committed(), self.reads.round());
        for position in 0..self.tracker.progress.len() {
            let Some(peer) = self.tracker.progress.id_at(position).filter(|peer| *peer != id) else {
                continue;
            };
            let Some(progress) = self.tracker.progress.get_mut(peer) else {
                continue;
            };
            // Never beyond what the peer is known to hold: it may still have other entries there.
            let commit = progress.matched.min(committed);
            progress.sent_commit(commit);
            self.send(peer, Body::Heartbeat { commit, read_round });
        }
    }

    /// A voter that may lead: not while it installs a snapshot, and only if the shell says that its disk is well.
    pub(crate) fn is_promotable(&self) -> bool {
        let is_voter = self.tracker.progress.get(self.config.id).is_some_and(|own| !own.is_learner);
        is_voter && self.electable && self.log.unstable().snapshot().is_none()
    }

    /// Draws from `election_tick..2 * election_tick` (splitmix64).
    fn draw_election_timeout(&mut self) {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let election_tick = self.config.election_tick;
        self.randomized_election_timeout = election_tick + (z % u64::from(election_tick)) as u32;
    }
}
