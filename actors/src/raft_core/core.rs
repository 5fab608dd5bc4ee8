//! The round: what waits in the queues, in their order, each with its handler; then `drive_ready`, and nothing else dispatches.
//!
//! Time is counted in ticks that arrive as messages. Must never read a clock.

use super::agreement::{Agreement, Divergence};
use super::health::{PeerHealth, Stall};
use super::held::HeldProposals;
use super::in_flight::InFlight;
use super::inbox::Inbox;
use super::incoming::Incoming;
use super::log_tail::LogTail;
use super::pending::PendingProposals;
use super::pending_changes::{ChangeRequest, MembershipChanges};
use super::pending_reads::{PendingReads, ServiceStart};
use super::pending_rebuild::Rebuild;
use super::pending_transfers::PendingTransfers;
use crate::calls::PeerCalls;
use crate::limits::{LOG_READS, LONE_TAIL_BYTES};
use crate::mailbox::Mailbox;
use crate::peers::Connections;
use crate::wiring::advance::{Advance, AppliedUpTo};
use crate::wiring::apply::ToApplier;
use crate::wiring::leases::RoleChanged;
use crate::wiring::log::{LogRead, ReadLog};
use crate::wiring::snapshots::ToSnapshotter;
use crate::wiring::wal::ToWal;
use crossbeam_channel::Sender;
use messages::admin::Control;
use messages::peer::{PeerSender, Vitals};
use messages::reply::Outbox;
use messages::{Gauges, Reply, ReplyBody, RequestError, Sinks};
use model::mutant::{self, Mutant};
use raft::{AppliedToken, Index, Node, PersistedToken, Role, Storage};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;
use storage::apply::Membership;

/// What the core must know besides raft's own configuration.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// Raft's configuration.
    pub raft: raft::Config,
    /// Length of a tick.
    pub tick: Duration,
    /// Random number of this run, part of every proposal's origin.
    pub epoch: u64,
    /// Ticks after which a proposal or read is answered "timed out".
    pub request_ticks: u64,
    /// Entries kept in the log behind what is durable in the store, for followers that lag.
    pub catch_up_entries: u64,
    /// Bytes of applied entries kept in memory for followers.
    pub tail_bytes: u64,
    /// Skip most of the first election timeout once a quorum is reached.
    pub advance_first_election: bool,
    /// Refuse changes of the membership that could cost the quorum.
    pub strict_reconfig: bool,
    /// Most learners that there may be.
    pub max_learners: u32,
    /// The store is rebuilt from the leader's before anything is applied, and before service.
    pub rebuild: bool,
}

/// Ends the core talks to.
pub struct CoreParts {
    /// Its queues.
    pub inbox: Inbox,
    /// To the WAL writer.
    pub wal: Sender<ToWal>,
    /// To the applier.
    pub applier: Sender<ToApplier>,
    /// To the log reader.
    pub log: Sender<ReadLog>,
    /// To the snapshotter.
    pub snapshots: Sender<ToSnapshotter>,
    /// To the peer transport.
    pub peers: Arc<dyn PeerSender>,
    /// Asks and tells other members.
    pub calls: PeerCalls,
    /// Where other members are told how this one is.
    pub vitals: Box<dyn Mailbox<Vitals>>,
    /// To the lease manager.
    pub leases: Box<dyn Mailbox<RoleChanged>>,
    /// How long connections to other members have stood.
    pub connections: Box<dyn Connections>,
    /// The membership as the store has it.
    pub membership: Arc<Membership>,
    /// Index and running hash of the store, when it is known.
    pub hash: Option<(Index, u64)>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The raft core.
pub struct RaftCore {
    pub(super) node: Node<LogTail>,
    pub(super) config: CoreConfig,
    pub(super) parts: CoreParts,
    pub(super) proposals: PendingProposals,
    /// Wait for a leader.
    pub(super) held: HeldProposals,
    /// Tick at which this member last became leader.
    pub(super) led_at: u64,
    pub(super) reads: PendingReads,
    pub(super) changes: MembershipChanges,
    pub(super) out: Outbox,
    pub(super) appends: InFlight<PersistedToken>,
    pub(super) applies: InFlight<AppliedToken>,
    pub(super) health: PeerHealth,
    pub(super) stall: Stall,
    pub(super) agreement: Agreement,
    pub(super) divergence: Divergence,
    pub(super) rebuild: Rebuild,
    pub(super) transfers: PendingTransfers,
    /// Ticks since start.
    pub(super) now: u64,
    /// The same, but a stall of this process counts for half an election timeout at most: what waited meanwhile was not slow.
    pub(super) beats: u64,
    pub(super) next_tag: u64,
    pub(super) service_start: ServiceStart,
    /// Term and id of the leader that open read rounds were asked of.
    pub(super) asked_of: (u64, u64),
    /// The round of reads that was under way half an election timeout ago.
    pub(super) slow_round: Option<u64>,
    pub(super) was_leading: bool,
    pub(super) last_leader: u64,
    /// The store holds everything up to here for good.
    pub(super) durable: Index,
    pub(super) released: Index,
    /// The damaged entry for which the log was told to let go of its segments.
    pub(super) let_go_for: Index,
    stopping: bool,
    /// Snapshots of other members.
    pub(super) incoming: Incoming,
    /// Ranges of the log that are being read.
    pub(super) log_reads: usize,
    /// Tick at which a member that was removed leaves.
    pub(super) leaves_at: Option<u64>,
    /// It has left.
    pub(super) has_left: bool,
    /// Why this member must not go on.
    pub(super) failure: Option<String>,
}

impl RaftCore {
    /// Builds the core from the recovered log.
    ///
    /// # Errors
    /// When raft refuses its configuration.
    pub fn new(config: CoreConfig, log: LogTail, parts: CoreParts) -> Result<Self, raft::ConfigError> {
        let mut raft = config.raft.clone();
        if mutant::on(Mutant::StaleRead) {
            raft.read_only = raft::ReadOnly::LeaseBased;
        }
        let node = Node::new(raft, log, raft::NoTrace)?;
        let changes = MembershipChanges::new(parts.membership.clone());
        let agreement = Agreement::new(parts.hash);
        Ok(Self {
            node,
            changes,
            // tags of this run start at its epoch, so that an answer to a read of a former run matches nothing
            next_tag: config.epoch << 20,
            config,
            parts,
            proposals: PendingProposals::default(),
            held: HeldProposals::default(),
            led_at: 0,
            reads: PendingReads::default(),
            out: Outbox::default(),
            appends: InFlight::default(),
            applies: InFlight::default(),
            health: PeerHealth::default(),
            stall: Stall::default(),
            agreement,
            divergence: Divergence::default(),
            rebuild: Rebuild::default(),
            transfers: PendingTransfers::default(),
            now: 0,
            beats: 0,
            service_start: ServiceStart::NoLeader,
            asked_of: (0, 0),
            slow_round: None,
            was_leading: false,
            last_leader: 0,
            durable: 0,
            released: 0,
            let_go_for: 0,
            stopping: false,
            incoming: Incoming::default(),
            log_reads: 0,
            leaves_at: None,
            has_left: false,
            failure: None,
        })
    }

    /// True once nothing more is to be done but [`Self::end`].
    pub(super) fn is_over(&self) -> bool {
        self.stopping || self.has_left || self.failure.is_some()
    }

    /// What comes before the first round: a sole voter asks nobody.
    pub fn start(&mut self) {
        // a member that was stopped before it could leave
        self.leave_when_removed(&self.parts.membership.clone());
        if self.config.rebuild {
            self.begin_required_rebuild();
        }
        if self.is_sole_voter() {
            self.node.campaign();
        }
        self.drive_ready();
    }

    /// Takes what waits in the queues, in their order, and dispatches what follows from it. Never waits.
    pub fn round(&mut self) {
        while let Ok(completion) = self.parts.inbox.advance.try_recv() {
            self.on_advance(completion);
        }
        while let Ok(notice) = self.parts.inbox.durable.try_recv() {
            self.on_advance(notice);
        }
        while let Ok(read) = self.parts.inbox.log.try_recv() {
            self.on_log_read(read);
        }
        self.on_reports();
        self.on_snapshots();
        let ticks = self.parts.inbox.tick.try_iter().map(|tick| tick.count).sum();
        while let Ok(order) = self.parts.inbox.control.try_recv() {
            self.on_control(order);
        }
        self.on_peers(ticks);
        if ticks > 0 {
            self.on_tick(ticks);
        }
        if self.failure.is_some() {
            return;
        }
        let reads: Vec<_> = Inbox::take(&self.parts.inbox.read).collect();
        self.on_reads(reads.into_iter());
        let lists: Vec<_> = Inbox::take(&self.parts.inbox.propose).collect();
        self.on_proposals(lists);
        self.drive_ready();
    }

    /// The consensus state, for who checks it.
    pub fn node(&self) -> &Node<LogTail> {
        &self.node
    }

    /// Shared counters, for who checks them.
    pub fn gauges(&self) -> &Gauges {
        &self.parts.gauges
    }

    /// This member was removed, and has done what it still could for the others.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Why this member must not go on, once it must not.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn on_advance(&mut self, completion: Advance) {
        match completion {
            Advance::Persisted(done) => {
                while let Some(token) = self.appends.pop_up_to(done.sequence) {
                    self.node.on_persisted(token);
                }
                self.finish_install(done.sequence);
                self.changes.persisted(done.sequence);
            }
            Advance::Applied(done) => self.on_applied(done),
            Advance::Rebuilt(done) => self.on_rebuilt(done),
            Advance::Durable(done) => {
                self.durable = done.index;
                self.release_log();
            }
        }
    }

    fn on_applied(&mut self, done: AppliedUpTo) {
        self.agreement.applied(done.hashes);
        let mut verdicts = done.verdicts.into_iter().peekable();
        while let Some(token) = self.applies.pop_up_to(done.sequence) {
            while let Some(verdict) = verdicts.next_if(|verdict| verdict.index <= token.index()) {
                self.on_verdict(verdict);
            }
            self.node.on_applied(token);
        }
        if let Some(membership) = done.membership {
            self.on_membership(membership);
        }
        self.parts.gauges.applied.store(done.index, Release);
        let most = self.config.tail_bytes;
        let tail = if self.is_alone() { most.min(LONE_TAIL_BYTES) } else { most };
        self.node.storage_mut().trim(done.index, tail);
        self.reads.applied(done.index, &mut self.out);
        // a sole voter asks nobody; at its start a change of the membership may have had to be applied first
        if self.node.leader() == 0 && self.node.role() == Role::Follower && self.is_sole_voter() {
            self.node.campaign();
        }
    }

    /// Entries for a follower that lags were read back, or cannot be any more: raft looks again.
    fn on_log_read(&mut self, read: LogRead) {
        self.log_reads -= 1;
        self.node.storage_mut().loaded(read.lo, read.entries);
        self.node.on_entries_loaded();
    }

    /// Asks the log reader for what raft found missing in memory.
    pub(super) fn ask_for_log(&mut self) {
        let last = self.node.storage().last_index();
        for lo in self.node.storage_mut().take_wanted() {
            if self.log_reads < LOG_READS && self.parts.log.try_send(ReadLog { lo, last }).is_ok() {
                self.log_reads += 1;
            } else {
                // raft asks again when it next hears from the follower
                self.node.storage_mut().not_loaded(lo);
            }
        }
    }

    fn on_tick(&mut self, count: u32) {
        let half_election = u64::from(self.config.raft.election_tick).div_ceil(2);
        let round = self.now / half_election;
        if self.wants_room() {
            self.release_log();
        }
        self.note_late_heartbeats(count);
        self.now += u64::from(count);
        self.beats += u64::from(count).min(half_election);
        self.look_at_health();
        self.advance_first_election();
        // Whoever was paused has heard nobody meanwhile, and must not take that for silence of the others.
        for _ in 0..u64::from(count).min(half_election) {
            self.node.tick();
        }
        self.expire_proposals();
        let refused = self.reads.expire(self.now, RequestError::Timeout, &mut self.out);
        self.parts.gauges.measured.failed_read_indexes.fetch_add(refused, Relaxed);
        let why = if self.node.leader() == 0 { RequestError::TimeoutLeaderLost } else { RequestError::Timeout };
        self.expire_snapshots();
        self.expire_changes(self.now, why);
        self.expire_transfers(self.now, RequestError::TransferTimeout);
        self.tend_rebuild();
        self.leave_if_removed();
        // twice per election timeout, also when ticks come in lumps
        if self.now / half_election != round {
            self.ask_again_for_slow_reads();
            self.introduce_itself();
        }
    }

    fn on_control(&mut self, order: Control) {
        match order {
            Control::ChangeMembership { sink, token, change, forwarded } => {
                self.on_change(ChangeRequest { sink, token, change, forwarded });
            }
            Control::MoveLeader { sink, token, target } => self.on_move_leader(sink, token, target),
            Control::Rebuild { sink, token } => self.on_rebuild(sink, token),
            Control::Describe { sink, token } => self.describe(sink, token),
            Control::HandOver { preferred, left } => self.on_hand_over(&preferred, left),
            Control::Stop => self.stopping = true,
        }
    }

    /// Whether the last round has left something behind.
    pub(super) fn has_more(&self) -> bool {
        self.parts.inbox.has_more()
    }

    /// Whether anything waits in the queues.
    pub fn has_work(&self) -> bool {
        self.parts.inbox.has_work()
    }

    /// The node stops: everything that waits is answered.
    pub fn end(&mut self) {
        self.proposals.expire(u64::MAX, |_| RequestError::Stopped, &mut self.out);
        for (sink, token) in self.held.expired(u64::MAX) {
            self.out.push(sink, Reply { token, body: ReplyBody::Applied(Err(RequestError::Stopped)) });
        }
        self.reads.expire(u64::MAX, RequestError::Stopped, &mut self.out);
        self.expire_changes(u64::MAX, RequestError::Stopped);
        while let Ok(order) = self.parts.inbox.control.try_recv() {
            if let Control::ChangeMembership { sink, token, .. } = order {
                self.refuse(sink, token, RequestError::Stopped);
            }
        }
        self.expire_transfers(u64::MAX, RequestError::Stopped);
        self.answer_rebuild(Err(RequestError::Stopped));
        for list in self.parts.inbox.propose.try_iter() {
            for proposal in list.proposals {
                self.out.push(
                    list.sink,
                    Reply { token: proposal.token, body: ReplyBody::Applied(Err(RequestError::Stopped)) },
                );
            }
        }
        for list in self.parts.inbox.read.try_iter() {
            for token in list.tokens {
                self.out.push(list.sink, Reply { token, body: ReplyBody::ReadGranted(Err(RequestError::Stopped)) });
            }
        }
        self.out.flush(&self.parts.sinks);
    }

    /// This member is the only voter.
    pub(super) fn is_sole_voter(&self) -> bool {
        let members = self.node.membership();
        members.voters == [self.config.raft.id] && members.voters_outgoing.is_empty()
    }

    /// This member is all there is: nobody will ask it for entries.
    pub(super) fn is_alone(&self) -> bool {
        let members = self.node.membership();
        self.is_sole_voter() && members.learners.is_empty() && members.learners_next.is_empty()
    }

    /// Leads, and has applied an entry of its own term: knows everything that was committed before it.
    pub(super) fn is_settled_leader(&self) -> bool {
        self.node.role() == Role::Leader
            && self.node.committed_in_own_term()
            && self.parts.gauges.applied.load(Acquire) >= self.node.storage().first_of_last_term()
    }
}
