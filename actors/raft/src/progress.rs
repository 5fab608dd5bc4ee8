//! What a leader knows about one member's log, and how it may send to it.
//!
//! A state machine of three modes without side effects. Invariant RI-6: `matched < next`.

use crate::inflights::Inflights;
use crate::types::{Index, NodeId};

/// How a leader sends to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// One append per heartbeat interval, until the logs are known to meet.
    Probe,
    /// Appends are sent ahead of answers.
    Replicate,
    /// A snapshot up to `pending` is on its way; no appends.
    Snapshot {
        /// Last index of the snapshot; zero once sending it has failed.
        pending: Index,
    },
}

/// A leader's view of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Highest index known to be equal and durable on the member.
    pub matched: Index,
    /// Next index to send; those between `matched` and it are in flight.
    pub next: Index,
    /// Highest commit index sent.
    pub(crate) sent_commit: Index,
    /// How to send.
    pub state: ProgressState,
    /// Heard from since the last quorum check; always true for the leader itself.
    pub recent_active: bool,
    /// An append that acts as a probe is out: nothing more until an answer or a heartbeat's answer.
    pub flow_paused: bool,
    /// Entries for the member are being fetched from disk.
    pub(crate) waits_for_entries: bool,
    /// Appends in flight.
    pub inflights: Inflights,
    /// Does not count in any quorum.
    pub is_learner: bool,
}

impl Progress {
    /// A member nothing is known of, to be probed at `next`.
    pub fn new(next: Index, inflights: Inflights, is_learner: bool) -> Self {
        assert!(next > 0, "RI-6 matched < next");
        Progress {
            matched: 0,
            next,
            sent_commit: 0,
            state: ProgressState::Probe,
            recent_active: false,
            flow_paused: false,
            waits_for_entries: false,
            inflights,
            is_learner,
        }
    }

    fn enter(&mut self, state: ProgressState) {
        self.state = state;
        self.flow_paused = false;
        self.waits_for_entries = false;
        self.inflights.reset();
    }

    /// Index of the snapshot on its way, zero if none.
    pub fn pending_snapshot(&self) -> Index {
        match self.state {
            ProgressState::Snapshot { pending } => pending,
            _ => 0,
        }
    }

    /// Goes to probing, from the end of a snapshot on its way or else after `matched`.
    pub fn become_probe(&mut self) {
        self.next = self.matched.max(self.pending_snapshot()) + 1;
        self.enter(ProgressState::Probe);
        self.sent_commit = self.sent_commit.min(self.next - 1);
    }

    /// Goes to sending ahead.
    pub fn become_replicate(&mut self) {
        self.enter(ProgressState::Replicate);
        self.next = self.matched + 1;
    }

    /// Goes to waiting for a snapshot that ends at `index`.
    pub fn become_snapshot(&mut self, index: Index) {
        self.enter(ProgressState::Snapshot { pending: index });
        self.next = index + 1;
        self.sent_commit = index;
    }

    /// Notes an append of `count` entries from `next` on.
    pub fn sent_entries(&mut self, count: usize, bytes: u64) {
        match self.state {
            ProgressState::Replicate => {
                if count > 0 {
                    self.next += count as u64;
                    self.inflights.add(self.next - 1, bytes);
                }
                // The message that fills the window is the probe that must be answered.
                self.flow_paused = self.inflights.is_full();
            }
            ProgressState::Probe => self.flow_paused |= count > 0,
            ProgressState::Snapshot { .. } => panic!("RI-7 no append is sent while a snapshot is pending"),
        }
    }

    /// Notes the commit index sent.
    pub fn sent_commit(&mut self, commit: Index) {
        self.sent_commit = commit;
    }

    /// Whether sending commit index `commit` could let the member commit more than what was sent already does.
    pub fn can_bump_commit(&self, commit: Index) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next - 1
    }

    /// Takes an acknowledgement; false if it says nothing new.
    pub fn acknowledge(&mut self, index: Index) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index + 1);
        self.flow_paused = false;
        true
    }

    /// Takes a rejection of an append after `rejected`, to go back to `hint`; false if it is outdated.
    pub fn reject(&mut self, rejected: Index, hint: Index) -> bool {
        if self.state == ProgressState::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = self.matched + 1;
        } else {
            // Probes go out one at a time, so an answer to another one is old.
            if self.next - 1 != rejected {
                return false;
            }
            self.next = rejected.min(hint + 1).max(self.matched + 1);
            self.flow_paused = false;
        }
        self.sent_commit = self.sent_commit.min(self.next - 1);
        true
    }

    /// Whether nothing may be sent now.
    pub fn is_paused(&self) -> bool {
        self.flow_paused || matches!(self.state, ProgressState::Snapshot { .. })
    }
}

/// Progress of all members, ascending by id. Groups are small: a sorted vector beats a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressMap(Vec<(NodeId, Progress)>);

impl ProgressMap {
    /// Progress of `id`.
    pub fn get(&self, id: NodeId) -> Option<&Progress> {
        self.find(id).ok().map(|at| &self.0[at].1)
    }

    /// Progress of `id`, to be changed.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Progress> {
        self.find(id).ok().map(|at| &mut self.0[at].1)
    }

    /// Sets the progress of `id`.
    pub fn insert(&mut self, id: NodeId, progress: Progress) {
        match self.find(id) {
            Ok(at) => self.0[at].1 = progress,
            Err(at) => self.0.insert(at, (id, progress)),
        }
    }

    /// Forgets `id`.
    pub fn remove(&mut self, id: NodeId) -> Option<Progress> {
        self.find(id).ok().map(|at| self.0.remove(at).1)
    }

    /// All, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.0.iter().map(|(id, progress)| (*id, progress))
    }

    /// All, ascending by id, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        self.0.iter_mut().map(|(id, progress)| (*id, progress))
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Id at `position` of the ascending order, for loops that send while they go.
    pub(crate) fn id_at(&self, position: usize) -> Option<NodeId> {
        self.0.get(position).map(|(id, _)| *id)
    }

    fn find(&self, id: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id)
    }
}
