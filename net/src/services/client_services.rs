//! What the services of one connection thread share: the way to the owners, and the way of their replies to the calls.
//!
//! Requests of a round leave as one list per owner in [`ClientServices::end_of_round`]; replies come back as lists in
//! [`ClientServices::on_replies`]. Must never know a service, the store, the actors or HTTP.

use super::config::ServiceConfig;
use super::deferred::{DeferredCall, DeferredCalls, StreamCall};
use super::encode::{self, Header};
use super::leader_required::LeaderRequired;
use super::requests::RoundRequests;
use super::status;
use super::v2_watchers::V2Watchers;
use crate::door::{Answer, Call, CallToken, LoopHandle, Status};
use crate::spans;
use crate::tokens::verified::VerifiedTokens;
use bytes::Bytes;
use messages::admin::{Control, MaintenanceJob, RunJob};
use messages::auth::{PasswordJob, RunPassword};
use messages::lease::LeaseAsk;
use messages::propose::Proposal;
use messages::read::{ChunkSource, INLINE_BYTES, RunQuery, Work};
use messages::watch::{StreamKey, ToHub};
use messages::{Ports, Reply, ReplyBody, RequestError, SinkId, Token};
use model::{Applied, Caller, Command, MemberChange};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

/// How soon a list that the core could not take is offered again.
const RETRY: Duration = Duration::from_millis(1);

/// Bytes of an answer that are read at once although many large answers wait for their clients.
const INLINE_BYTES_WHEN_CROWDED: usize = 4 << 10;

/// What the services of one connection thread share. A cheap handle: its clones are the same services.
#[derive(Clone)]
pub struct ClientServices(Rc<Shared>);

struct Shared {
    handle: LoopHandle,
    ports: Ports,
    sink: SinkId,
    config: Arc<ServiceConfig>,
    requests: RefCell<RoundRequests>,
    deferred: DeferredCalls<ClientServices>,
    next_request_id: Cell<u64>,
    last_internal_token: Cell<u64>,
    /// When this thread last proposed an alarm about space.
    alarm_proposed: Cell<Option<tokio::time::Instant>>,
    /// A task offers the core a list that it could not take.
    retrying: Cell<bool>,
    leader_required: LeaderRequired,
    verified_tokens: VerifiedTokens,
    v2_watchers: V2Watchers,
    /// When what is being replied to was applied; known while calls are traced.
    applied_between: Cell<Option<(Instant, Duration)>>,
    /// Calls that wait until the entry that gave their token is applied.
    waiting_for_tokens: Rc<Cell<usize>>,
}

impl ClientServices {
    /// Services whose replies come back through `sink`.
    pub fn new(handle: LoopHandle, ports: Ports, sink: SinkId, config: Arc<ServiceConfig>) -> Self {
        let first_request_id = config.request_id_seed.wrapping_add((handle.index() as u64) << 40);
        Self(Rc::new(Shared {
            handle,
            ports,
            sink,
            config,
            requests: RefCell::default(),
            deferred: DeferredCalls::default(),
            next_request_id: Cell::new(first_request_id),
            last_internal_token: Cell::new(0),
            alarm_proposed: Cell::new(None),
            retrying: Cell::new(false),
            leader_required: LeaderRequired::default(),
            verified_tokens: VerifiedTokens::default(),
            v2_watchers: V2Watchers::default(),
            applied_between: Cell::new(None),
            waiting_for_tokens: Rc::default(),
        }))
    }

    /// The loop that the calls come from.
    pub(crate) fn handle(&self) -> &LoopHandle {
        &self.0.handle
    }

    /// Where replies come in.
    pub(super) fn sink(&self) -> SinkId {
        self.0.sink
    }

    /// The ways to the owners, the published views and the counters.
    pub(crate) fn ports(&self) -> &Ports {
        &self.0.ports
    }

    /// Settings.
    pub(crate) fn config(&self) -> &ServiceConfig {
        &self.0.config
    }

    /// The streams that end without a leader.
    pub(super) fn leader_required(&self) -> &LeaderRequired {
        &self.0.leader_required
    }

    /// Signed tokens that were verified a moment ago.
    pub(super) fn verified_tokens(&self) -> &VerifiedTokens {
        &self.0.verified_tokens
    }

    /// The watchers of the v2 tree.
    pub(super) fn v2_watchers(&self) -> &V2Watchers {
        &self.0.v2_watchers
    }

    /// How many calls wait until the entry that gave their token is applied.
    pub(super) fn waiting_for_tokens(&self) -> &Rc<Cell<usize>> {
        &self.0.waiting_for_tokens
    }

    /// When this thread last proposed an alarm about space.
    pub(super) fn alarm_proposed(&self) -> &Cell<Option<tokio::time::Instant>> {
        &self.0.alarm_proposed
    }

    /// Sends what this round collected: one list per receiver. What a receiver cannot take now is offered again soon.
    pub fn end_of_round(&self) {
        self.send_requests();
        if self.has_backlog() && !self.0.retrying.replace(true) {
            let services = self.clone();
            actix_rt::spawn(async move {
                while services.has_backlog() {
                    actix_rt::time::sleep(RETRY).await;
                    services.send_requests();
                }
                services.0.retrying.set(false);
            });
        }
    }

    fn send_requests(&self) {
        let refused = self.0.requests.borrow_mut().send(&self.0.ports, self.0.sink);
        self.on_replies(refused);
    }

    fn has_backlog(&self) -> bool {
        self.0.requests.borrow().has_backlog()
    }

    /// Takes replies of the owners.
    pub fn on_replies(&self, replies: Vec<Reply>) {
        for reply in replies {
            self.on_reply(reply);
        }
        self.0.applied_between.set(None);
    }

    fn on_reply(&self, reply: Reply) {
        let token = reply.token;
        match reply.body {
            ReplyBody::Applied(result) => self.on_applied(token, result),
            ReplyBody::ReadGranted(result) => {
                self.note(token, |trace| trace.event(spans::GRANTED));
                self.resume(token, result.map_err(status::of_request), |call, ()| call.read_granted(self, token));
            }
            ReplyBody::RangePlanned(result) => {
                let result = result.map_err(|why| status::of_read(&why));
                self.resume(token, result, |call, plan| call.range_planned(self, token, plan));
            }
            ReplyBody::TxnRead(result) => {
                let result = result.map_err(|why| status::of_read(&why));
                self.resume(token, result, |call, plan| call.txn_read(self, token, plan));
            }
            ReplyBody::LeasesChecked(result) => {
                let result = result.map_err(|why| status::of_read(&why));
                self.resume(token, result, |call, ()| call.leases_checked(self, token));
            }
            ReplyBody::Password(answer) => {
                self.resume(token, Ok(answer), |call, answer| call.password_done(self, token, answer));
            }
            ReplyBody::Hash(result) => {
                let result = result.map_err(|why| status::of_read(&why));
                self.resume(token, result, |call, hash| call.hashed(self, token, hash));
            }
            ReplyBody::SnapshotOpened(result) => {
                let result = result.map_err(status::of_request);
                self.resume(token, result, |call, snapshot| call.snapshot_opened(self, token, snapshot));
            }
            ReplyBody::JobDone(result) => {
                self.resume(token, result.map_err(status::of_request), |call, ()| call.job_done(self, token));
            }
            ReplyBody::RaftDescribed(view) => {
                self.resume(token, Ok(view), |call, view| call.raft_described(self, token, view));
            }
            ReplyBody::AppliedBetween(began, took) => self.0.applied_between.set(Some((began, took))),
            ReplyBody::Lease(result) => {
                let result = result.map_err(status::of_request);
                self.resume(token, result, |call, reply| call.lease_replied(self, token, reply));
            }
            ReplyBody::V2Listed(result) => {
                let result = result.map_err(|why| status::of_read(&why));
                self.resume(token, result, |call, listing| call.v2_listed(self, token, listing));
            }
            ReplyBody::V2Changed => self.v2_changed(),
            ReplyBody::Chunk { source, chunk } => {
                if let Some(stream) = self.0.deferred.stream(token) {
                    stream.chunk(self, token, source, chunk);
                }
            }
            ReplyBody::Watch(frames) => {
                if let Some(stream) = self.0.deferred.stream(token) {
                    stream.frames(self, token, frames);
                }
            }
        }
    }

    /// Goes on with the call that a reply is for. One that is over has left nothing behind.
    fn resume<T>(&self, token: Token, result: Result<T, Status>, go_on: impl FnOnce(Box<dyn DeferredCall<Self>>, T)) {
        let Some(call) = self.0.deferred.take(token) else { return };
        match result {
            Ok(value) => go_on(call, value),
            Err(why) => call.failed(self, token, why),
        }
    }

    /// A command was applied, certainly was not, or its outcome is unknown. A call that did nothing but propose it left no
    /// entry among the deferred calls: it is answered with the outcome.
    fn on_applied(&self, token: Token, result: Result<Applied, RequestError>) {
        let applied = self.0.applied_between.get();
        self.note(token, |trace| trace.applied(applied));
        let outcome = result.map_err(status::of_request).and_then(|applied| {
            let outcome = applied.result.map_err(status::of_apply)?;
            Ok((applied.revision, outcome))
        });
        match (self.0.deferred.take(token), outcome) {
            (Some(call), Ok((revision, outcome))) => call.applied(self, token, revision, outcome),
            (Some(call), Err(why)) => call.failed(self, token, why),
            (None, Ok((revision, outcome))) => {
                self.complete(token, Answer::message(encode::applied(self.header(revision), &outcome)));
            }
            (None, Err(why)) => self.complete(token, why),
        }
    }

    /// The member stops: streams may say a last word before the door ends them.
    pub fn stopping(&self) {
        for (token, stream) in self.0.deferred.all_streams() {
            stream.stopping(self, token);
        }
        self.v2_watchers().end_all();
    }

    /// Answers a deferred call. One that is over already (client gone, deadline passed) needs no answer any more.
    pub(super) fn complete(&self, token: Token, answer: impl Into<Answer>) {
        self.handle().complete(CallToken::from_u64(token), answer);
    }

    /// Keeps a deferred call until the reply for its token comes.
    pub(super) fn defer(&self, token: Token, call: impl DeferredCall<Self> + 'static) {
        self.0.deferred.insert(token, Box::new(call));
    }

    /// Forgets a deferred call whose stream is over.
    pub(super) fn forget(&self, token: Token) {
        drop(self.0.deferred.take(token));
    }

    /// Has frames and chunks for a token delivered to `stream`, until [`Self::remove_stream`].
    pub(super) fn insert_stream(&self, token: Token, stream: Rc<dyn StreamCall<Self>>) {
        self.0.deferred.insert_stream(token, stream);
    }

    /// Ends [`Self::insert_stream`].
    pub(super) fn remove_stream(&self, token: Token) {
        self.0.deferred.remove_stream(token);
    }

    /// Header of an answer at `revision`.
    pub(super) fn header(&self, revision: i64) -> Header {
        let identity = &self.ports().identity;
        Header {
            cluster_id: identity.cluster_id,
            member_id: identity.member_id,
            revision,
            term: self.ports().gauges.term.load(Relaxed),
        }
    }

    /// The same as a protobuf message.
    pub(super) fn pb_header(&self, revision: i64) -> Option<api::etcdserverpb::ResponseHeader> {
        let Header { cluster_id, member_id, revision, term } = self.header(revision);
        Some(api::etcdserverpb::ResponseHeader { cluster_id, member_id, revision, raft_term: term })
    }

    /// Header at the newest view.
    pub(super) fn pb_header_now(&self) -> Option<api::etcdserverpb::ResponseHeader> {
        self.pb_header(self.ports().reads.position().0)
    }

    /// Proposes a checked command on behalf of `caller` for a call, which is answered with the outcome.
    pub(super) fn propose_as(&self, caller: Caller, call: Call, command: Command) {
        match self.encode(caller, command) {
            Ok(command) => self.add_proposal(call.defer().as_u64(), command),
            Err(why) => call.reply(why),
        }
    }

    /// Proposes a checked command on behalf of `caller` for a deferred call that goes on with the outcome. A command that is too large
    /// fails it.
    pub(super) fn propose_for(
        &self,
        caller: Caller,
        token: Token,
        command: Command,
        call: impl DeferredCall<Self> + 'static,
    ) {
        match self.encode(caller, command) {
            Ok(command) => {
                self.add_proposal(token, command);
                self.defer(token, call);
            }
            Err(why) => Box::new(call).failed(self, token, why),
        }
    }

    /// As [`Self::propose_as`], for a call that is deferred already.
    pub(super) fn propose_deferred(&self, caller: Caller, token: Token, command: Command) {
        match self.encode(caller, command) {
            Ok(command) => self.add_proposal(token, command),
            Err(why) => self.complete(token, why),
        }
    }

    /// Proposes a command on behalf of `caller` that nobody waits for.
    pub(super) fn propose_quietly(&self, caller: Caller, command: Command) {
        let command = command.encode_for(caller, self.new_request_id());
        self.add_proposal(Token::MAX, command);
    }

    fn add_proposal(&self, token: Token, command: Bytes) {
        self.note(token, |trace| trace.event(spans::SENT));
        self.0.requests.borrow_mut().proposals.push(Proposal { token, command, only_in_term: 0 });
    }

    /// Canonical bytes of a command, under a new request id.
    fn encode(&self, caller: Caller, command: Command) -> Result<Bytes, Status> {
        if command.touches_data() && self.ports().gauges.fenced.load(Acquire) {
            return Err(status::CORRUPT);
        }
        let command = command.encode_for(caller, self.new_request_id());
        if command.len() > self.config().max_request_bytes { Err(status::TOO_LARGE) } else { Ok(command) }
    }

    fn new_request_id(&self) -> u64 {
        let id = self.0.next_request_id.get();
        self.0.next_request_id.set(id.wrapping_add(1));
        id
    }

    /// True while this member may serve linearizable reads without asking anybody.
    pub(crate) fn reads_are_free(&self) -> bool {
        self.ports().gauges.sole_member.load(Acquire)
    }

    /// Asks the core for a read index; the call goes on when it is granted.
    pub(super) fn request_read_index(&self, token: Token, call: impl DeferredCall<Self> + 'static) {
        self.note(token, |trace| trace.event(spans::ASKED));
        self.defer(token, call);
        self.0.requests.borrow_mut().reads.push(token);
    }

    /// Asks the core for a read index on behalf of a health check, which learns whether it was granted.
    pub(crate) fn probe_read_index(&self, granted: tokio::sync::oneshot::Sender<Result<(), Status>>) {
        self.request_read_index(self.internal_token(), Probe(granted));
        self.end_of_round();
    }

    /// Bytes of an answer that may be read at once: little while many large answers wait for their clients.
    pub(super) fn inline_bytes(&self) -> usize {
        if self.handle().is_crowded() { INLINE_BYTES_WHEN_CROWDED } else { INLINE_BYTES }
    }

    /// A token that names no call: for replies to requests that the services make on their own behalf.
    pub(super) fn internal_token(&self) -> Token {
        let next = self.0.last_internal_token.get() + 1;
        self.0.last_internal_token.set(next);
        1 << 63 | next
    }

    /// Asks the lease manager; the call goes on with its reply.
    pub(super) fn ask_lease(&self, token: Token, ask: LeaseAsk, call: impl DeferredCall<Self> + 'static) {
        self.defer(token, call);
        self.0.requests.borrow_mut().leases.push((token, ask));
    }

    /// The name of a watch stream in the hub.
    pub(super) fn stream_key(&self, token: Token) -> StreamKey {
        StreamKey { sink: self.0.sink, token }
    }

    /// Tells the watch hub something.
    pub(super) fn tell_hub(&self, message: ToHub) {
        self.0.requests.borrow_mut().watch.push(message);
    }

    /// Hands work to the reader pool for a deferred call. A pool that cannot take more now fails it.
    pub(super) fn query(&self, token: Token, work: Work, call: impl DeferredCall<Self> + 'static) {
        if self.send_query(token, work) {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }

    /// As [`Self::query`]; false, and nothing is kept, when the pool cannot take more now.
    pub(super) fn try_query(&self, token: Token, work: Work, call: impl DeferredCall<Self> + 'static) -> bool {
        let sent = self.send_query(token, work);
        if sent {
            self.defer(token, call);
        }
        sent
    }

    /// Has the reader pool read the next chunk for a stream; false when it cannot take more now.
    pub(super) fn read_chunk(&self, token: Token, source: Box<dyn ChunkSource>, max_bytes: usize) -> bool {
        self.send_query(token, Work::NextChunk { source, max_bytes })
    }

    fn send_query(&self, token: Token, work: Work) -> bool {
        self.ports().query.try_send(RunQuery { sink: self.0.sink, token, work }).is_ok()
    }

    /// Has the password pool compute something for a deferred call. When too much waits there, the call fails.
    pub(super) fn run_password(&self, token: Token, job: PasswordJob, call: impl DeferredCall<Self> + 'static) {
        let run = RunPassword { sink: self.0.sink, token, job };
        if self.ports().passwords.try_send(run).is_ok() {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }

    /// Orders a job that may take minutes, for a deferred call. When too many wait, the call fails.
    pub(super) fn run_job(&self, token: Token, job: MaintenanceJob, call: impl DeferredCall<Self> + 'static) {
        if self.ports().run_job(RunJob { sink: self.0.sink, token, job }) {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }

    /// Asks the core to change the membership, for a deferred call. A core that is busy fails it.
    pub(super) fn change_membership(
        &self,
        token: Token,
        change: MemberChange,
        call: impl DeferredCall<Self> + 'static,
    ) {
        let order = Control::ChangeMembership { sink: self.0.sink, token, change, forwarded: false };
        if self.ports().core.control(order) {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }

    /// Asks the core to have the store of this member rebuilt, for a deferred call. A core that is busy fails it.
    pub(super) fn rebuild(&self, token: Token, call: impl DeferredCall<Self> + 'static) {
        if self.ports().core.control(Control::Rebuild { sink: self.0.sink, token }) {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }

    /// Asks the core to give leadership to `target`, for a deferred call. A core that is busy fails it.
    pub(super) fn move_leader(&self, token: Token, target: u64, call: impl DeferredCall<Self> + 'static) {
        if self.ports().core.control(Control::MoveLeader { sink: self.0.sink, token, target }) {
            self.defer(token, call);
        } else {
            Box::new(call).failed(self, token, status::TOO_MANY_REQUESTS);
        }
    }
}

/// A health check that only wants to know whether it could read.
struct Probe(tokio::sync::oneshot::Sender<Result<(), Status>>);

impl DeferredCall<ClientServices> for Probe {
    fn read_granted(self: Box<Self>, _: &ClientServices, _: Token) {
        // a check that gave up has dropped its end
        let _ = self.0.send(Ok(()));
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        let _ = self.0.send(Err(why));
    }
}
