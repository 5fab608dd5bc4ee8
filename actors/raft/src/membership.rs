//! Membership coming into force: at start, by an applied change, by a snapshot.
//!
//! Must never let two memberships that differ pass for one: what is restored is compared with what was stored.

use crate::changer;
use crate::confchange::ConfChangeV2;
use crate::config::Config;
use crate::config::ConfigError;
use crate::log::RaftLog;
use crate::message::{Body, Message};
use crate::node::Node;
use crate::progress::ProgressMap;
use crate::read_index_queue::ReadIndexQueue;
use crate::restore::restore;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::tracker::Tracker;
use crate::types::{ConfState, HardState, LogId, NodeId, Role, Snapshot, SoftState};

impl<S: Storage, T: Trace> Node<S, T> {
    /// Starts from a checked configuration.
    pub(crate) fn start(config: Config, storage: S, trace: T) -> Result<Self, ConfigError> {
        let (hard, conf_state) = storage.initial_state();
        let log = RaftLog::new(storage, config.max_committed_size_per_ready);
        let tracker = Tracker::new(config.max_inflight_msgs, config.max_inflight_bytes);
        let mut node = Node {
            trace,
            term: 0,
            vote: 0,
            leader: 0,
            role: Role::Follower,
            log,
            tracker,
            messages: Vec::new(),
            after_append: Vec::new(),
            reads: ReadIndexQueue::default(),
            read_states: Vec::new(),
            early_reads: Vec::new(),
            lead_transferee: 0,
            pending_conf_index: 0,
            uncommitted_size: 0,
            election_elapsed: 0,
            heartbeat_elapsed: 0,
            randomized_election_timeout: 0,
            jitter: config.seed,
            deferred_snapshot: None,
            is_learner: false,
            electable: true,
            previous_soft: SoftState::default(),
            previous_hard: HardState::default(),
            commit_due: false,
            synced_commit: 0,
            appends_out: 0,
            appends_back: 0,
            config,
        };
        node.restore_membership(&conf_state);
        node.load(hard);
        node.become_follower(node.term, 0);
        let (term, committed, applied, last) =
            (node.term, node.log.committed(), node.log.applied(), node.log.last_id());
        trace!(node, TraceEvent::Started { voters: &node.tracker.voters(), term, committed, applied, last });
        node.previous_soft = node.soft_state();
        node.previous_hard = node.hard_state();
        node.synced_commit = hard.commit;
        node.check_invariants();
        Ok(node)
    }

    /// A hard state that only moved commit is not synced, so what is known to be applied may say more.
    fn load(&mut self, hard: HardState) {
        self.term = hard.term;
        self.vote = hard.vote;
        self.log.commit_to(hard.commit.max(self.config.applied));
        if self.config.applied > 0 {
            self.log.applied_to(self.config.applied, 0);
        }
    }

    /// Takes over the membership of a store that has come from elsewhere, into a node that has known none so far: it was started beside a log
    /// whose store was lost.
    ///
    /// # Panics
    /// When it knows one (RI-5), or this one is not well formed.
    pub fn adopt_membership(&mut self, conf_state: &ConfState) {
        assert!(self.tracker.membership == ConfState::default(), "RI-5 only a node without a membership adopts one");
        self.restore_membership(conf_state);
        self.check_invariants();
    }

    fn restore_membership(&mut self, conf_state: &ConfState) {
        let empty = self.tracker.cleared();
        match restore(&empty, self.log.last_index(), conf_state) {
            Ok((membership, progress)) => {
                self.tracker = empty;
                let restored = self.put_in_force(membership, progress);
                assert!(restored == sorted(conf_state), "RI-5 a membership is restored as it was stored");
            }
            Err(why) => panic!("RI-5 the stored membership {conf_state:?} is well formed: {why}"),
        }
    }

    pub(crate) fn switch_membership(&mut self, change: &ConfChangeV2) -> ConfState {
        match changer::change(&self.tracker, self.log.last_index(), change) {
            Ok((membership, progress)) => self.put_in_force(membership, progress),
            Err(why) => panic!("RI-5 a committed change of membership can be carried out: {why}"),
        }
    }

    fn put_in_force(&mut self, membership: ConfState, progress: ProgressMap) -> ConfState {
        self.tracker.membership = membership.clone();
        self.tracker.progress = progress;
        trace!(self, TraceEvent::SwitchedMembership { membership: &self.tracker.membership });
        let own = self.tracker.progress.get(self.config.id);
        let is_member = own.is_some();
        self.is_learner = own.is_some_and(|own| own.is_learner);
        if self.role != Role::Leader {
            return membership;
        }
        if !is_member || self.is_learner {
            if self.config.step_down_on_removal {
                self.become_follower(self.term, 0);
            }
            return membership;
        }
        if membership.voters.is_empty() {
            return membership;
        }
        if self.maybe_commit() {
            // A smaller quorum may have committed more.
            self.release_early_reads();
            self.broadcast_commit();
        } else {
            // New members need not wait for the next heartbeat.
            self.for_each_peer(|node, peer| {
                node.maybe_send_append(peer, false);
            });
        }
        self.grant_confirmed_reads();
        if self.lead_transferee != 0 && !self.tracker.is_voter(self.lead_transferee) {
            self.lead_transferee = 0;
        }
        membership
    }

    /// Takes a snapshot from the leader of the own term. Its membership comes into force at once, so it must not
    /// overtake membership changes that are being applied: it waits for them.
    pub(crate) fn on_snapshot(&mut self, from: NodeId, snapshot: Box<Snapshot>) {
        if self.log.applied() < self.log.applying() {
            trace!(self, TraceEvent::SnapshotDeferred { from, index: snapshot.meta.index });
            let (to, term) = (self.config.id, self.term);
            self.deferred_snapshot = Some(Message { from, to, term, body: Body::Snapshot(snapshot) });
            return;
        }
        let id = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        let restored = self.restore_snapshot(*snapshot);
        let committed = self.log.committed();
        let index = if restored {
            trace!(self, TraceEvent::RestoredSnapshot { committed, snapshot: id });
            self.log.last_index()
        } else {
            trace!(self, TraceEvent::IgnoredSnapshot { committed, snapshot: id });
            committed
        };
        self.send(from, Body::AppendAccepted { index });
    }

    /// Goes on with a snapshot that waited, once nothing is being applied.
    pub(crate) fn take_deferred_snapshot(&mut self) {
        if self.log.applied() == self.log.applying()
            && let Some(message) = self.deferred_snapshot.take()
        {
            let done = self.handle(message);
            assert!(done.is_ok(), "RI-11 a snapshot is never refused with an error");
        }
    }

    /// Replaces log and membership by a snapshot, unless it is not needed.
    fn restore_snapshot(&mut self, snapshot: Snapshot) -> bool {
        let id = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        if id.index <= self.log.committed() {
            return false;
        }
        if self.role != Role::Follower {
            trace!(self, TraceEvent::SnapshotToNonFollower);
            self.become_follower(self.term + 1, 0);
            return false;
        }
        let conf_state = snapshot.meta.conf_state.clone();
        if !names(&conf_state, self.config.id) {
            trace!(self, TraceEvent::SnapshotWithoutMe { conf_state: &conf_state });
            return false;
        }
        if self.log.matches(id) {
            // All it covers is here already, so it says no more than that this much is committed.
            let (committed, last) = (self.log.committed(), self.log.last_id());
            trace!(self, TraceEvent::FastForwarded { committed, last, snapshot: id });
            self.log.commit_to(id.index);
            return false;
        }
        trace!(self, TraceEvent::RestoringLog { scene: self.log.scene(), snapshot: id });
        self.log.restore(snapshot);
        self.restore_membership(&conf_state);
        let (committed, last) = (self.log.committed(), self.log.last_id());
        trace!(self, TraceEvent::RestoredLog { committed, last, snapshot: id });
        true
    }
}

fn names(conf_state: &ConfState, id: NodeId) -> bool {
    [&conf_state.voters, &conf_state.learners, &conf_state.voters_outgoing].iter().any(|set| set.contains(&id))
}

/// The same membership with ids in ascending order.
fn sorted(conf_state: &ConfState) -> ConfState {
    let mut sorted = conf_state.clone();
    let ConfState { voters, learners, voters_outgoing, learners_next, .. } = &mut sorted;
    for set in [voters, learners, voters_outgoing, learners_next] {
        set.sort_unstable();
    }
    sorted
}
