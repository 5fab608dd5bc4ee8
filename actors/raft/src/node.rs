//! The core: one member's view of consensus, and the calls its shell makes.
//!
//! Every call runs to completion without waiting; what must be done outside comes out of [`Node::take_messages`],
//! [`Node::take_reads`], [`Node::take_append`] and [`Node::take_apply`]. Must never read a clock, draw randomness from
//! outside its seed, touch a disk or a socket. Rules live in the files named after the roles.

use bytes::Bytes;

use crate::changer::{self, ChangeError};
use crate::confchange::{AnyConfChange, ConfChangeV2};
use crate::confchange_codec;
use crate::config::{Config, ConfigError};
use crate::error::{ProposalDropped, StepError};
use crate::log::RaftLog;
use crate::message::{Body, Message, Proposal};
use crate::read_index_queue::ReadIndexQueue;
use crate::storage::{Storage, StorageError};
use crate::trace::{NoTrace, Trace};
use crate::tracker::Tracker;
use crate::types::{ConfState, EntryKind, HardState, Index, NodeId, ReadState, ReadTag, Role, SoftState, Term};

/// Where a batch of proposals went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// Appended to the own log as entries `first..=last` of `term`. An entry of that index and another term that is
    /// committed later says that the proposal was certainly not applied.
    Appended {
        /// Term of the entries.
        term: Term,
        /// Index of the first payload.
        first: Index,
        /// Index of the last payload.
        last: Index,
    },
    /// Sent to the leader; whether it is ever appended is unknown.
    Forwarded {
        /// The leader.
        to: NodeId,
    },
}

/// One member of a raft group.
///
/// The order of calls is free; after any of them [`has_ready`](Node::has_ready) says whether there is work to take.
/// Broken invariants panic with the name of the rule.
pub struct Node<S: Storage, T: Trace = NoTrace> {
    pub(crate) config: Config,
    pub(crate) trace: T,
    pub(crate) term: Term,
    pub(crate) vote: NodeId,
    pub(crate) leader: NodeId,
    pub(crate) role: Role,
    pub(crate) log: RaftLog<S>,
    pub(crate) tracker: Tracker,
    /// Sent at once.
    pub(crate) messages: Vec<Message>,
    /// Sent, or delivered to this member itself, once everything unstable now is durable.
    pub(crate) after_append: Vec<Message>,
    pub(crate) reads: ReadIndexQueue,
    pub(crate) read_states: Vec<ReadState>,
    /// Reads that came before the first commit of the own term.
    pub(crate) early_reads: Vec<(NodeId, ReadTag)>,
    pub(crate) lead_transferee: NodeId,
    /// At or above the index of every membership change in the log that is not applied; only kept by a leader.
    pub(crate) pending_conf_index: Index,
    /// Payload bytes appended and not yet applied; only kept by a leader, may be too low, never too high.
    pub(crate) uncommitted_size: u64,
    /// Ticks since the last heartbeat, or as a leader since the last quorum check.
    pub(crate) election_elapsed: u32,
    /// Ticks since this leader last sent heartbeats.
    pub(crate) heartbeat_elapsed: u32,
    pub(crate) randomized_election_timeout: u32,
    /// State of the generator that draws election timeouts.
    pub(crate) jitter: u64,
    /// A snapshot that waits until what was handed out for applying is applied.
    pub(crate) deferred_snapshot: Option<Message>,
    pub(crate) is_learner: bool,
    pub(crate) electable: bool,
    pub(crate) previous_soft: SoftState,
    pub(crate) previous_hard: HardState,
    /// The commit index is to be written although nothing else is.
    pub(crate) commit_due: bool,
    /// Highest commit index that was handed out with, or before, something that has to be synced.
    pub(crate) synced_commit: Index,
    /// Number of the next append to be handed out, and of the lowest that may still be given back.
    pub(crate) appends_out: u64,
    pub(crate) appends_back: u64,
}

impl<S: Storage, T: Trace> Node<S, T> {
    /// Starts a member from what its storage holds, as a follower that knows no leader.
    pub fn new(config: Config, storage: S, trace: T) -> Result<Self, ConfigError> {
        Self::start(config.checked()?, storage, trace)
    }

    // ---- inputs -----------------------------------------------------------------------------------------------------

    /// Lets one tick pass.
    pub fn tick(&mut self) {
        if self.role == Role::Leader {
            self.tick_leader()
        } else {
            self.tick_election()
        }
        self.check_invariants();
    }

    /// Handles a message of another member, or one of this member's own that a
    /// [`PersistedToken`](crate::PersistedToken) released.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        if message.body.is_response() && self.tracker.progress.get(message.from).is_none() {
            return Err(StepError::PeerNotFound);
        }
        if !message.is_well_formed() {
            return Err(StepError::Malformed);
        }
        self.handle(message)?;
        self.check_invariants();
        Ok(())
    }

    /// Proposes payloads, all or none, in order. As a leader they are appended, as a follower forwarded.
    pub fn propose(&mut self, payloads: Vec<Bytes>) -> Result<Proposed, ProposalDropped> {
        let proposals = payloads.into_iter().map(|data| Proposal { kind: EntryKind::Normal, data }).collect();
        self.propose_all(proposals)
    }

    /// Proposes a change of the membership. If it may not be carried out now, an empty entry is appended in its
    /// place, as etcd does: the returned index then commits with kind `Normal`.
    pub fn propose_conf_change(&mut self, change: impl Into<AnyConfChange>) -> Result<Proposed, ProposalDropped> {
        let proposal = match change.into() {
            AnyConfChange::V1(cc) => Proposal { kind: EntryKind::ConfChange, data: confchange_codec::encode_v1(&cc) },
            AnyConfChange::V2(cc) => Proposal { kind: EntryKind::ConfChangeV2, data: confchange_codec::encode_v2(&cc) },
        };
        self.propose_all(vec![proposal])
    }

    /// Switches to the membership that a committed change leads to. To be called when the change is applied, unless the
    /// application refuses it. Returns the new membership, to be stored with the applied index.
    ///
    /// Panics if the change cannot be carried out from the present membership: all members would diverge silently.
    pub fn apply_conf_change(&mut self, change: &ConfChangeV2) -> ConfState {
        let conf_state = self.switch_membership(change);
        self.check_invariants();
        conf_state
    }

    /// What [`apply_conf_change`](Self::apply_conf_change) would lead to, or why it would panic. Depends on the
    /// membership in force alone, so all members that ask before applying the same entry get the same answer.
    pub fn preview_conf_change(&self, change: &ConfChangeV2) -> Result<ConfState, ChangeError> {
        changer::change(&self.tracker, self.log.last_index(), change).map(|(membership, _)| membership)
    }

    /// Asks for an index that makes a read linearizable; the answer is a [`ReadState`] that
    /// [`take_reads`](Self::take_reads) hands out later, or never (leader unknown or lost): ask again after a timeout. Reads asked before a
    /// heartbeat round starts share it.
    pub fn read_index(&mut self, tag: ReadTag) {
        let id = self.config.id;
        let message = Message { from: id, to: id, term: 0, body: Body::ReadIndex { tag } };
        let done = self.handle(message);
        assert!(done.is_ok(), "RI-11 a read is never refused with an error");
        self.check_invariants();
    }

    /// Asks the leader, possibly this member, to hand leadership to `transferee`. Given up after one election timeout.
    pub fn transfer_leader(&mut self, transferee: NodeId) {
        let id = self.config.id;
        let message = Message { from: id, to: id, term: 0, body: Body::TransferLeader { transferee } };
        let done = self.handle(message);
        assert!(done.is_ok(), "RI-11 a transfer is never refused with an error");
        self.check_invariants();
    }

    /// Forgets who leads, so that this follower votes for another. Not with lease-based reads.
    pub fn forget_leader(&mut self) {
        self.drop_leader();
        self.check_invariants();
    }

    /// Starts an election now (with a pre-vote round, if so configured).
    pub fn campaign(&mut self) {
        self.hup();
        self.check_invariants();
    }

    /// Says that the last message to `peer` was probably lost.
    pub fn report_unreachable(&mut self, peer: NodeId) {
        self.on_unreachable(peer);
        self.check_invariants();
    }

    /// Says how sending a snapshot to `peer` ended. Must be said in the end for every snapshot sent: its
    /// acknowledgement may get lost, and until then the peer gets nothing.
    pub fn report_snapshot(&mut self, peer: NodeId, delivered: bool) {
        self.on_snapshot_status(peer, delivered);
        self.check_invariants();
    }

    /// Asks for the commit index to be made durable, although [`Config::lazy_commit`] leaves it to the next append. For what
    /// may only be answered once a restart alone would find it committed.
    pub fn demand_commit(&mut self) {
        self.commit_due = self.hard_state().commit > self.synced_commit;
    }

    /// Says whether this member may campaign and be handed leadership; starts as `true`. A member with a stalled disk
    /// should not.
    pub fn set_electable(&mut self, electable: bool) {
        self.electable = electable;
    }

    /// Replaces the drawn election timeout until the next change of role. For tests.
    pub fn set_randomized_election_timeout(&mut self, ticks: u32) {
        self.randomized_election_timeout = ticks;
    }

    // ---- state ------------------------------------------------------------------------------------------------------

    /// Own id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Leader of the current term, zero if unknown.
    pub fn leader(&self) -> NodeId {
        self.leader
    }

    /// Own role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True while this member leads.
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// True when this member is a learner in the applied membership.
    pub fn is_learner(&self) -> bool {
        self.is_learner
    }

    /// Current term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Highest committed index known.
    pub fn committed(&self) -> Index {
        self.log.committed()
    }

    /// Highest index reported applied.
    pub fn applied(&self) -> Index {
        self.log.applied()
    }

    /// Last index of the log, durable or not.
    pub fn last_index(&self) -> Index {
        self.log.last_index()
    }

    /// Term of the entry at `index`, for `first_index - 1 ..= last_index`, durable or not.
    pub fn term_of(&self, index: Index) -> Result<Term, StorageError> {
        self.log.term(index)
    }

    /// Member to which leadership is being handed, zero if none.
    pub fn lead_transferee(&self) -> NodeId {
        self.lead_transferee
    }

    /// True once an entry of the own term is committed; before that a leader does not know what is committed.
    pub fn committed_in_own_term(&self) -> bool {
        self.log.term(self.log.committed()) == Ok(self.term)
    }

    /// Membership in force.
    pub fn membership(&self) -> &ConfState {
        &self.tracker.membership
    }

    /// As a leader: whether a change of the membership that is proposed now is appended, and not emptied because the log may hold
    /// another one that is not applied yet.
    pub fn may_change_membership(&self) -> bool {
        self.is_leader() && self.pending_conf_index <= self.log.applied()
    }

    /// Configuration, with defaults filled in.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        self.log.storage()
    }

    /// The storage, to be fed by the shell.
    pub fn storage_mut(&mut self) -> &mut S {
        self.log.storage_mut()
    }

    /// The trace sink.
    pub fn trace_mut(&mut self) -> &mut T {
        &mut self.trace
    }

    pub(crate) fn soft_state(&self) -> SoftState {
        SoftState { leader: self.leader, role: self.role }
    }

    pub(crate) fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote, commit: self.log.committed() }
    }
}
