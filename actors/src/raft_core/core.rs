//! One handler per inbound message; every round ends in `turn`, and nothing else dispatches.
//!
//! Time is counted in ticks that arrive as messages. Must never read a clock.

use super::inbox::Inbox;
use super::log_tail::LogTail;
use super::pending::{PendingProposals, PendingReads};
use crate::death_watch::DeathWatch;
use crate::limits::{LONE_TAIL_BYTES, UNAPPLIED_ENTRIES};
use crate::mailbox::Mailbox;
use crate::peers::PeerPort;
use crate::wiring::advance::Advance;
use crate::wiring::apply::ToApplier;
use crate::wiring::leases::RoleChanged;
use crate::wiring::wal::ToWal;
use crossbeam_channel::Sender;
use messages::admin::Control;
use messages::propose::Propose;
use messages::read::ReadIndex;
use messages::reply::Outbox;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId, Sinks, Token};
use model::{Envelope, Origin};
use raft::{AppliedToken, Index, LogId, Node, PersistedToken, ProposalDropped, Proposed, Role, Storage};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// What the core must know besides raft's own configuration.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// Raft's configuration.
    pub raft: raft::Config,
    /// Random number of this run, part of every proposal's origin.
    pub epoch: u64,
    /// Ticks after which a proposal or read is answered "timed out".
    pub request_ticks: u64,
    /// Entries kept in the log behind what is durable in the store, for followers that lag.
    pub catch_up_entries: u64,
    /// Bytes of applied entries kept in memory for followers.
    pub tail_bytes: u64,
    /// How long to spin for a completion before sleeping, while exactly one append is out.
    pub spin: Duration,
}

/// Ends the core talks to.
pub struct CoreParts {
    /// Its queues.
    pub inbox: Inbox,
    /// To the WAL writer.
    pub wal: Sender<ToWal>,
    /// To the applier.
    pub applier: Sender<ToApplier>,
    /// To the peer transport.
    pub peers: Arc<dyn PeerPort>,
    /// To the lease manager.
    pub leases: Box<dyn Mailbox<RoleChanged>>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// The way to the start of service: no read is granted before this member knows what was committed before it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// No leader was seen yet.
    NoLeader,
    /// A read index was asked for.
    Asked { tag: u64 },
    /// It is this index, which must be applied.
    Granted { index: Index },
    /// Service is open, for good.
    Open,
}

/// The raft core.
pub struct RaftCore {
    pub(super) node: Node<LogTail>,
    pub(super) config: CoreConfig,
    pub(super) parts: CoreParts,
    pub(super) proposals: PendingProposals,
    pub(super) reads: PendingReads,
    pub(super) out: Outbox,
    pub(super) appends: VecDeque<(u64, PersistedToken)>,
    pub(super) next_append: u64,
    pub(super) applies: VecDeque<(u64, AppliedToken)>,
    pub(super) next_apply: u64,
    /// Ticks since start.
    pub(super) now: u64,
    next_tag: u64,
    pub(super) opening: Opening,
    pub(super) was_leading: bool,
    pub(super) last_leader: u64,
    /// The store holds everything up to here for good.
    durable: Index,
    released: Index,
    stopping: bool,
}

impl RaftCore {
    /// Builds the core from the recovered log.
    ///
    /// # Errors
    /// When raft refuses its configuration.
    pub fn new(config: CoreConfig, log: LogTail, parts: CoreParts) -> Result<Self, raft::ConfigError> {
        let node = Node::new(config.raft.clone(), log, raft::NoTrace)?;
        Ok(Self {
            node,
            // tags of this run start at its epoch, so that an answer to a read of a former run matches nothing
            next_tag: config.epoch << 20,
            config,
            parts,
            proposals: PendingProposals::default(),
            reads: PendingReads::default(),
            out: Outbox::default(),
            appends: VecDeque::new(),
            next_append: 1,
            applies: VecDeque::new(),
            next_apply: 1,
            now: 0,
            opening: Opening::NoLeader,
            was_leading: false,
            last_leader: 0,
            durable: 0,
            released: 0,
            stopping: false,
        })
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, watch: DeathWatch) {
        self.start();
        while !self.stopping {
            let spin = if self.appends.len() + self.applies.len() == 1 { self.config.spin } else { Duration::ZERO };
            if !self.parts.inbox.has_more() && !self.parts.inbox.wait(spin) {
                break;
            }
            self.round();
        }
        self.end();
        watch.finish();
    }

    /// What comes before the first round: a sole voter asks nobody.
    pub fn start(&mut self) {
        if self.is_sole_voter() {
            self.node.campaign();
        }
        self.turn();
    }

    /// Takes what waits in the queues, in their order, and dispatches what follows from it. Never waits.
    pub fn round(&mut self) {
        while let Ok(completion) = self.parts.inbox.advance.try_recv() {
            self.on_advance(completion);
        }
        while let Ok(notice) = self.parts.inbox.durable.try_recv() {
            self.on_advance(notice);
        }
        while let Ok(tick) = self.parts.inbox.tick.try_recv() {
            self.on_tick(tick.count);
        }
        while let Ok(order) = self.parts.inbox.control.try_recv() {
            self.on_control(order);
        }
        let peers: Vec<_> =
            Inbox::take(&self.parts.inbox.peer_control).chain(Inbox::take(&self.parts.inbox.peer_data)).collect();
        for message in peers.into_iter().flat_map(|list| list.messages) {
            // a message of somebody who is not a member, or a forwarded proposal that cannot be taken: its sender times out
            let _ = self.node.step(message);
        }
        let reads: Vec<_> = Inbox::take(&self.parts.inbox.read).collect();
        self.on_reads(reads);
        let lists: Vec<_> = Inbox::take(&self.parts.inbox.propose).collect();
        self.on_proposals(lists);
        self.turn();
    }

    /// The consensus state, for who checks it.
    pub fn node(&self) -> &Node<LogTail> {
        &self.node
    }

    fn on_advance(&mut self, completion: Advance) {
        match completion {
            Advance::Persisted(done) => {
                while self.appends.front().is_some_and(|(sequence, _)| *sequence <= done.sequence) {
                    let (_, token) = self.appends.pop_front().expect("just seen");
                    self.node.on_persisted(token);
                }
            }
            Advance::Applied(done) => {
                while self.applies.front().is_some_and(|(sequence, _)| *sequence <= done.sequence) {
                    let (_, token) = self.applies.pop_front().expect("just seen");
                    self.node.on_applied(token);
                }
                self.parts.gauges.applied.store(done.index, Release);
                let most = self.config.tail_bytes;
                let tail = if self.is_alone() { most.min(LONE_TAIL_BYTES) } else { most };
                self.node.storage_mut().trim(done.index, tail);
                self.reads.applied(done.index, &mut self.out);
            }
            Advance::Durable(done) => {
                self.durable = done.index;
                self.release_log();
            }
        }
    }

    /// The store holds everything up to `durable` for good: the log before it goes, less what lagging followers may ask for. Nobody
    /// asks a lone member, and on a full disk room is worth more: a follower can be sent a snapshot.
    fn release_log(&mut self) {
        let needless = self.is_alone() || self.parts.gauges.disk_low.load(Relaxed);
        let keep = if needless { 0 } else { self.config.catch_up_entries };
        let index = self.durable.saturating_sub(keep).min(self.node.applied());
        if index <= self.released {
            return;
        }
        let Ok(term) = self.node.storage().term(index) else { return };
        if self.parts.wal.try_send(ToWal::Release { to: LogId { term, index } }).is_ok() {
            self.released = index;
            self.node.storage_mut().compact(index);
        }
    }

    fn on_tick(&mut self, count: u32) {
        let half_election = u64::from(self.config.raft.election_tick).div_ceil(2);
        let round = self.now / half_election;
        if self.parts.gauges.disk_low.load(Relaxed) {
            self.release_log();
        }
        for _ in 0..count {
            self.now += 1;
            self.node.tick();
        }
        let why = if self.node.leader() == 0 { RequestError::TimeoutLeaderLost } else { RequestError::Timeout };
        let failed = self.proposals.expire(self.now, why, &mut self.out);
        self.parts.gauges.proposals_failed.fetch_add(failed, Relaxed);
        self.reads.expire(self.now, why, &mut self.out);
        // a round can be lost with a leader or a message: ask again twice per election timeout, also when ticks come in lumps
        if self.now / half_election != round {
            for tag in self.reads.unconfirmed().collect::<Vec<_>>() {
                self.node.read_index(tag);
            }
            if let Opening::Asked { tag } = self.opening {
                self.node.read_index(tag);
            }
        }
    }

    fn on_control(&mut self, order: Control) {
        match order {
            Control::MoveLeader { sink, token, target } => {
                let voter = self.node.membership().voters.contains(&target);
                let result = if self.node.is_leader() && voter { Ok(()) } else { Err(RequestError::NotLeader) };
                if result.is_ok() {
                    self.node.transfer_leader(target);
                }
                self.out.push(sink, Reply { token, body: ReplyBody::JobDone(result) });
            }
            Control::Stop => self.stopping = true,
        }
    }

    fn on_reads(&mut self, lists: Vec<ReadIndex>) {
        if lists.is_empty() {
            return;
        }
        let tag = self.tag();
        let waiters = lists.into_iter().map(|list| (list.sink, list.tokens)).collect();
        self.reads.open(tag, self.now + self.config.request_ticks, waiters);
        self.node.read_index(tag);
    }

    pub(super) fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    fn on_proposals(&mut self, lists: Vec<Propose>) {
        let unapplied = self.node.committed().saturating_sub(self.node.applied());
        let mut payloads = Vec::with_capacity(lists.iter().map(|l| l.proposals.len()).sum());
        let mut waiters: Vec<(SinkId, Token)> = Vec::with_capacity(payloads.capacity());
        let deadline = self.now + self.config.request_ticks;
        for Propose { sink, proposals } in lists {
            for proposal in proposals {
                if unapplied > UNAPPLIED_ENTRIES {
                    self.refuse(sink, proposal.token, RequestError::TooManyRequests);
                    continue;
                }
                let sequence = self.proposals.add(sink, proposal.token, deadline);
                let origin = Origin { member: self.config.raft.id, epoch: self.config.epoch, sequence };
                let envelope = Envelope { origin, only_in_term: proposal.only_in_term, command: proposal.command };
                payloads.push(envelope.encode());
                waiters.push((sink, sequence));
            }
        }
        if payloads.is_empty() {
            return;
        }
        match self.node.propose(payloads) {
            Ok(Proposed::Appended { term, first, .. }) => self.proposals.placed(first, term, waiters.len()),
            Ok(Proposed::Forwarded { .. }) => {}
            Err(why) => self.refuse_dropped(&waiters, why),
        }
    }

    /// The whole list was not taken: certainly not applied.
    fn refuse_dropped(&mut self, waiters: &[(SinkId, u64)], why: ProposalDropped) {
        let error = match why {
            ProposalDropped::TooMuchUncommitted => RequestError::TooManyRequests,
            ProposalDropped::NoLeader | ProposalDropped::NotForwarding => RequestError::NoLeader,
            ProposalDropped::Transferring | ProposalDropped::NotMember | ProposalDropped::BadConfChange => {
                RequestError::LeaderChanged
            }
        };
        for (_, sequence) in waiters {
            if let Some((sink, token)) = self.proposals.take(*sequence) {
                self.refuse(sink, token, error);
            }
        }
    }

    fn refuse(&mut self, sink: SinkId, token: Token, why: RequestError) {
        self.parts.gauges.proposals_failed.fetch_add(1, Relaxed);
        self.out.push(sink, Reply { token, body: ReplyBody::Applied(Err(why)) });
    }

    /// Whether anything waits in the queues.
    pub fn has_work(&self) -> bool {
        self.parts.inbox.has_work()
    }

    /// The node stops: everything that waits is answered.
    pub fn end(&mut self) {
        self.proposals.expire(u64::MAX, RequestError::Stopped, &mut self.out);
        self.reads.expire(u64::MAX, RequestError::Stopped, &mut self.out);
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
    fn is_alone(&self) -> bool {
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
