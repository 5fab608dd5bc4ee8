//! The services behind the doors: plain functions from decoded requests to answers, over messages.
//!
//! One [`Loop`] per connection thread holds what its calls wait for. Requests of a round leave as lists in
//! [`Loop::end_of_round`]; answers come back as lists in [`Loop::on_replies`]. Must never know the store, the actors or HTTP.
//!
//! | file | service |
//! |---|---|
//! | [`kv`], [`range_stream`] | KV |
//! | [`watch`] | Watch |
//! | [`lease`] | Lease |
//! | [`maintenance`] | Maintenance |
//! | [`cluster`] | Cluster, health |
//! | [`lock`] | Lock |
//! | [`election`], [`observe`] | Election |
//! | [`claim`], `turn`, [`step`] | what locks and elections share: the queue, whose turn it is, short calls |
//! | [`check`] | the checked door from protobuf to commands |
//! | [`encode`], [`pulled`] | answers spliced from stored bytes, large ones read while they are sent |
//! | [`status`] | errors to gRPC codes and etcd's texts |

pub mod check;
pub mod claim;
pub mod cluster;
pub mod config;
pub mod election;
pub mod encode;
pub mod kv;
pub mod lease;
pub mod lock;
pub mod maintenance;
pub mod observe;
pub mod pulled;
pub mod range_stream;
pub mod status;
pub mod step;
mod turn;
pub mod unoffered;
pub mod waiting;
pub mod watch;

pub use config::ServiceConfig;

use crate::door::{Answer, Call, CallMeta, CallToken, LoopHandle, MethodTable, Status};
use crossbeam_channel::TrySendError;
use encode::Header;
use messages::lease::{LeaseAsk, LeaseRequests};
use messages::propose::{Proposal, Propose};
use messages::read::{INLINE_BYTES, ReadIndex, RunQuery, Work};
use messages::watch::{ToHub, WatchRequests};
use messages::{Ports, Reply, ReplyBody, RequestError, SinkId, Token};
use model::Command;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;
use waiting::Waiting;

/// How soon a list that the core could not take is offered again.
const RETRY: Duration = Duration::from_millis(1);

/// Bytes that are always read at once.
const INLINE_CROWDED: usize = 4 << 10;

/// What one connection thread's services share.
pub struct Loop {
    pub(crate) handle: LoopHandle,
    pub(crate) ports: Ports,
    pub(crate) sink: SinkId,
    pub(crate) config: Arc<ServiceConfig>,
    outgoing: RefCell<Outgoing>,
    pub(crate) waiting: RefCell<HashMap<Token, Waiting>>,
    pub(crate) streams: RefCell<HashMap<Token, watch::WatchStream>>,
    pub(crate) renewals: RefCell<lease::Renewals>,
    pub(crate) snapshots: RefCell<maintenance::Snapshots>,
    pub(crate) flows: RefCell<HashMap<Token, range_stream::Flow>>,
    pub(crate) claims: claim::Claims,
    pub(crate) observers: RefCell<HashMap<Token, observe::Observer>>,
    next_request: Cell<u64>,
    next_pull: Cell<u64>,
    /// When an alarm about space was last proposed.
    pub(crate) alarmed: Cell<Option<tokio::time::Instant>>,
    /// A list waits for room in the core's queue, and is offered again soon.
    retrying: Cell<bool>,
}

/// Requests of this round, by receiver.
#[derive(Default)]
struct Outgoing {
    proposals: Vec<Proposal>,
    reads: Vec<Token>,
    watch: Vec<ToHub>,
    leases: Vec<(Token, LeaseAsk)>,
}

impl Loop {
    /// Services of a loop whose answers come back through `sink`.
    pub fn new(handle: LoopHandle, ports: Ports, sink: SinkId, config: Arc<ServiceConfig>) -> Rc<Self> {
        let first_request = config.request_id_seed.wrapping_add((handle.index() as u64) << 40);
        Rc::new(Self {
            handle,
            ports,
            sink,
            config,
            outgoing: RefCell::default(),
            waiting: RefCell::default(),
            streams: RefCell::default(),
            renewals: RefCell::default(),
            snapshots: RefCell::default(),
            flows: RefCell::default(),
            claims: claim::Claims::default(),
            observers: RefCell::default(),
            next_request: Cell::new(first_request),
            next_pull: Cell::new(0),
            alarmed: Cell::new(None),
            retrying: Cell::new(false),
        })
    }

    /// All methods of all services.
    pub fn methods(self: &Rc<Self>) -> MethodTable {
        let mut table = MethodTable::new();
        kv::register(self, &mut table);
        range_stream::register(self, &mut table);
        watch::register(self, &mut table);
        lease::register(self, &mut table);
        maintenance::register(self, &mut table);
        cluster::register(self, &mut table);
        lock::register(self, &mut table);
        election::register(self, &mut table);
        observe::register(self, &mut table);
        unoffered::register(self, &mut table);
        table
    }

    /// Hands on what this round collected: one list per receiver. What a receiver cannot take now stays for the next round.
    pub fn end_of_round(self: &Rc<Self>) {
        let refused = self.hand_over();
        self.on_replies(refused);
        if self.has_backlog() && !self.retrying.replace(true) {
            let this = self.clone();
            actix_rt::spawn(async move {
                while this.has_backlog() {
                    actix_rt::time::sleep(RETRY).await;
                    let refused = this.hand_over();
                    this.on_replies(refused);
                }
                this.retrying.set(false);
            });
        }
    }

    /// Sends the lists; answers for those calls whose receiver has ended.
    fn hand_over(&self) -> Vec<Reply> {
        let mut refused = Vec::new();
        let mut out = self.outgoing.borrow_mut();
        if !out.proposals.is_empty() {
            let list = Propose { sink: self.sink, proposals: std::mem::take(&mut out.proposals) };
            match self.ports.core.propose(list) {
                Ok(()) => {}
                Err(TrySendError::Full(list)) => out.proposals = list.proposals,
                Err(TrySendError::Disconnected(list)) => {
                    let stopped =
                        |p: Proposal| Reply { token: p.token, body: ReplyBody::Applied(Err(RequestError::Stopped)) };
                    refused.extend(list.proposals.into_iter().map(stopped));
                }
            }
        }
        if !out.reads.is_empty() {
            let list = ReadIndex { sink: self.sink, tokens: std::mem::take(&mut out.reads) };
            match self.ports.core.read(list) {
                Ok(()) => {}
                Err(TrySendError::Full(list)) => out.reads = list.tokens,
                Err(TrySendError::Disconnected(list)) => {
                    let stopped = |token| Reply { token, body: ReplyBody::ReadGranted(Err(RequestError::Stopped)) };
                    refused.extend(list.tokens.into_iter().map(stopped));
                }
            }
        }
        if !out.watch.is_empty() {
            self.ports.hub.do_send(WatchRequests(std::mem::take(&mut out.watch)));
        }
        if !out.leases.is_empty() {
            self.ports.leases.do_send(LeaseRequests { sink: self.sink, asks: std::mem::take(&mut out.leases) });
        }
        refused
    }

    /// True while a list could not be handed on.
    fn has_backlog(&self) -> bool {
        let out = self.outgoing.borrow();
        !out.proposals.is_empty() || !out.reads.is_empty()
    }

    /// Answers from the owners.
    pub fn on_replies(self: &Rc<Self>, replies: Vec<Reply>) {
        for reply in replies {
            self.on_reply(reply);
        }
    }

    fn on_reply(self: &Rc<Self>, reply: Reply) {
        let Reply { token, body } = reply;
        match body {
            ReplyBody::Applied(result) => waiting::applied(self, token, result),
            ReplyBody::ReadGranted(result) => waiting::read_granted(self, token, result),
            ReplyBody::RangePlanned(result) => kv::range_planned(self, token, result),
            ReplyBody::TxnRead(result) => waiting::txn_planned(self, token, result),
            ReplyBody::Chunk { source, chunk } => waiting::chunk(self, token, source, chunk),
            ReplyBody::Hash(result) => maintenance::hashed(self, token, result),
            ReplyBody::SnapshotOpened(result) => maintenance::snapshot_opened(self, token, result),
            ReplyBody::JobDone(result) => maintenance::job_done(self, token, result),
            ReplyBody::Lease(result) => lease::answered(self, token, result),
            ReplyBody::Watch(frames) if self.claims.stream.get() == Some(token) => turn::frames(self, token, frames),
            ReplyBody::Watch(frames) if self.observers.borrow().contains_key(&token) => {
                observe::frames(self, token, frames);
            }
            ReplyBody::Watch(frames) => watch::frames(self, token, frames),
        }
    }

    pub(crate) fn complete(&self, token: Token, answer: impl Into<Answer>) {
        // a call that is over already (client gone, deadline passed) is none of our business any more
        self.handle.complete(CallToken::from_u64(token), answer);
    }

    /// Header of an answer at `revision`.
    pub(crate) fn header(&self, revision: i64) -> Header {
        let identity = &self.ports.identity;
        Header {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            revision,
            term: self.ports.gauges.term.load(Relaxed),
        }
    }

    /// The same as a protobuf message.
    pub(crate) fn pb_header(&self, revision: i64) -> Option<api::etcdserverpb::ResponseHeader> {
        let Header { cluster_id, member_id, revision, term } = self.header(revision);
        Some(api::etcdserverpb::ResponseHeader { cluster_id, member_id, revision, raft_term: term })
    }

    /// Header at the newest view.
    pub(crate) fn pb_header_now(&self) -> Option<api::etcdserverpb::ResponseHeader> {
        self.pb_header(self.ports.reads.position().0)
    }

    /// Rules that hold for every call: valid API version, a leader where one is required.
    ///
    /// # Errors
    /// etcd's answer.
    pub(crate) fn admit(&self, meta: &CallMeta) -> Result<(), Status> {
        if meta.get("client-api-version").is_some_and(|v| std::str::from_utf8(v).is_err()) {
            return Err(status::INVALID_CLIENT_API_VERSION);
        }
        if meta.get("hasleader") == Some(b"true") && self.ports.gauges.leader_id().is_none() {
            return Err(status::NO_LEADER);
        }
        Ok(())
    }

    /// Proposes a checked command for a call. The answer is written when the outcome comes back.
    pub(crate) fn propose(&self, call: Call, command: Command) {
        match self.encode(command) {
            Ok(command) => {
                let token = call.defer().as_u64();
                self.outgoing.borrow_mut().proposals.push(Proposal { token, command, only_in_term: 0 });
            }
            Err(why) => call.reply(why),
        }
    }

    /// As [`Self::propose`], for a call that was deferred before.
    ///
    /// # Errors
    /// Larger than a request may be.
    pub(crate) fn propose_for(&self, token: Token, command: Command) -> Result<(), Status> {
        let command = self.encode(command)?;
        self.outgoing.borrow_mut().proposals.push(Proposal { token, command, only_in_term: 0 });
        Ok(())
    }

    /// Canonical bytes of a command, under a new request id.
    fn encode(&self, command: Command) -> Result<bytes::Bytes, Status> {
        let id = self.next_request.get();
        self.next_request.set(id.wrapping_add(1));
        let command = command.encode(id);
        if command.len() > self.config.max_request_bytes { Err(status::TOO_LARGE) } else { Ok(command) }
    }

    /// Proposes a command nobody waits for.
    pub(crate) fn propose_quietly(&self, command: Command) {
        let id = self.next_request.get();
        self.next_request.set(id.wrapping_add(1));
        let proposal = Proposal { token: Token::MAX, command: command.encode(id), only_in_term: 0 };
        self.outgoing.borrow_mut().proposals.push(proposal);
    }

    /// True while this member needs nobody's leave to read linearizably.
    pub(crate) fn reads_are_free(&self) -> bool {
        self.ports.gauges.sole_voter.load(Acquire)
    }

    /// Serves `what` as soon as a linearizable read is allowed.
    pub(crate) fn when_readable(self: &Rc<Self>, call: Call, what: Waiting) {
        if self.reads_are_free() {
            return waiting::serve(self, call, what);
        }
        self.ask_to_read(call.defer().as_u64(), what);
    }

    /// Asks the core for leave to read, for a health check.
    pub(crate) fn probe_read(self: &Rc<Self>, granted: tokio::sync::oneshot::Sender<Result<(), RequestError>>) {
        self.ask_to_read(self.pull_token(), Waiting::Probe(granted));
        self.end_of_round();
    }

    /// Asks the core for leave to read.
    pub(crate) fn ask_to_read(&self, token: Token, what: Waiting) {
        self.waiting.borrow_mut().insert(token, what);
        self.outgoing.borrow_mut().reads.push(token);
    }

    /// Bytes of an answer that may be read at once: little while many large answers wait for their clients.
    pub(crate) fn inline_bytes(&self) -> usize {
        if self.handle.is_crowded() { INLINE_CROWDED } else { INLINE_BYTES }
    }

    /// A token that names no call: for chunks pulled on behalf of an answer that is on its way.
    pub(crate) fn pull_token(&self) -> Token {
        let next = self.next_pull.get() + 1;
        self.next_pull.set(next);
        1 << 63 | next
    }

    pub(crate) fn ask_lease(&self, token: Token, ask: LeaseAsk) {
        self.outgoing.borrow_mut().leases.push((token, ask));
    }

    pub(crate) fn ask_hub(&self, message: ToHub) {
        self.outgoing.borrow_mut().watch.push(message);
    }

    /// Hands work to the reader pool; false when it cannot take more now.
    pub(crate) fn query(&self, token: Token, work: Work) -> bool {
        self.ports.query.try_send(RunQuery { sink: self.sink, token, work }).is_ok()
    }
}
