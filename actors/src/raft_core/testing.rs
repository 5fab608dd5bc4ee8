//! A raft core on a bench: its queues are filled and emptied by a test, nothing runs by itself.

use super::inbox::{Inbox, InnerPort};
use super::log_tail::LogTail;
use super::runner::CoreRunner;
use super::{CoreConfig, CoreParts, RaftCore};
use crate::calls::kinds::Introduce;
use crate::calls::{CallKind, PeerCalls};
use crate::death_watch::DeathWatch;
use crate::mailbox::Mailbox;
use crate::peers::Connections;
use crate::wiring::advance::{Advance, AppliedUpTo, Durable, Persisted};
use crate::wiring::apply::{ApplyBatch, ToApplier};
use crate::wiring::leases::RoleChanged;
use crate::wiring::log::{LogRead, ReadLog};
use crate::wiring::peers::PeerReport;
use crate::wiring::snapshots::ToSnapshotter;
use crate::wiring::tick::Tick;
use crate::wiring::wal::{AppendBatch, ToWal};
use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded, unbounded};
use messages::admin::Control;
use messages::peer::{CallDone, CallError, Held, Parcel, PeerAddress, PeerSender, Peers, Question, Transport, Vitals};
use messages::ports::CorePort;
use messages::propose::{Proposal, Propose};
use messages::read::ReadIndex;
use messages::receive::Receive;
use messages::{Gauges, Reply, ReplyBody, ReplySink, RequestError, SinkId, Sinks, Token};
use model::{Applied, ApplyError, MemberChange, Outcome};
use raft::{Body, ConfChangeV2, ConfState, Entry, HardState, LogId, Message, Role, VoteRequest};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Release;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use storage::apply::{ConfVerdict, MemberContext, MemberRow, Membership};
use storage::boot::LogStart;

/// What one answer said.
pub type Answer = (Token, Option<RequestError>);

struct Collected<T>(Mutex<Vec<T>>);

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Collected<T> {
    fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().expect("not poisoned"))
    }
}

impl PeerSender for Collected<Message> {
    fn send(&self, messages: Vec<Message>) {
        self.0.lock().expect("not poisoned").extend(messages);
    }
}

impl ReplySink for Collected<Answer> {
    fn deliver(&self, replies: Vec<Reply>) {
        for reply in replies {
            let why = match reply.body {
                ReplyBody::Applied(Ok(Applied { result: Err(ApplyError::Member(why)), .. })) => Some(why.into()),
                ReplyBody::Applied(result) => result.err(),
                ReplyBody::ReadGranted(result) => result.err(),
                ReplyBody::JobDone(result) => result.err(),
                _ => continue,
            };
            self.0.lock().expect("not poisoned").push((reply.token, why));
        }
    }
}

/// Members that can be reached, and for how long.
#[derive(Clone, Default)]
struct Reached(Arc<Mutex<BTreeMap<u64, Duration>>>);

impl Connections for Reached {
    fn connected_for(&self, peer: u64) -> Option<Duration> {
        self.0.lock().expect("not poisoned").get(&peer).copied()
    }
    fn introduce(&self, peer: PeerAddress) {
        self.0.lock().expect("not poisoned").insert(peer.member, Duration::ZERO);
    }
}

/// Keeps the calls that are made. Nobody answers them.
impl PeerSender for Collected<(u64, Question)> {
    fn send(&self, _: Vec<Message>) {}
}

impl Transport for Collected<(u64, Question)> {
    fn set_vitals(&self, _: Vitals) {}
    fn set_peers(&self, _: Peers) {}
    fn introduce(&self, _: PeerAddress) {}
    fn call(&self, to: u64, question: Question, done: CallDone) {
        self.0.lock().expect("not poisoned").push((to, question));
        done(Err(CallError::Unknown));
    }
    fn bulk(&self, _: u64, _: Parcel) {}
    fn active_since(&self, _: u64) -> Option<Instant> {
        None
    }
    fn stop(&self) {}
}

struct NoLeases;

impl Mailbox<RoleChanged> for NoLeases {
    fn send(&self, _: RoleChanged) {}
}

/// See the file header.
pub struct Bench {
    pub core: RaftCore,
    pub inner: InnerPort,
    pub port: CorePort,
    pub wal: Receiver<ToWal>,
    applier: Receiver<ToApplier>,
    log: Receiver<ReadLog>,
    snapshots: Receiver<ToSnapshotter>,
    peers: Arc<Collected<Message>>,
    answers: Arc<Collected<Answer>>,
    reached: Reached,
    /// What the store would hold.
    pub members: Membership,
    calls: Arc<Collected<(u64, Question)>>,
    vitals: Receiver<Vitals>,
}

/// Member 1 of a cluster of these voters, at its first start.
pub fn bench(voters: u64) -> Bench {
    bench_with(voters, |_| {})
}

/// As [`bench`], with another configuration.
pub fn bench_with(voters: u64, adjust: impl Fn(&mut CoreConfig)) -> Bench {
    let conf_state = ConfState { voters: (1..=voters).collect(), ..ConfState::default() };
    bench_of(LogId { term: 1, index: voters }, conf_state, adjust)
}

/// Member 1, with a store at `first` and nothing in its log.
pub fn bench_of(first: LogId, conf_state: ConfState, adjust: impl Fn(&mut CoreConfig)) -> Bench {
    let mut config = config(first);
    adjust(&mut config);
    let hard_state = HardState { term: first.term, vote: 0, commit: first.index };
    let voters = conf_state.voters.len() as u64;
    let row = |id| (id, MemberRow { name: format!("m{id}"), peer_urls: vec![url(id)], ..MemberRow::default() });
    let members =
        Membership { members: (1..=voters).map(row).collect(), conf_state: conf_state.clone(), removed: Vec::new() };
    let reached = Reached::default();
    let long = (2..=voters).map(|id| (id, Duration::from_secs(60)));
    reached.0.lock().expect("not poisoned").extend(long);
    let log = LogStart { hard_state, conf_state, truncated: first, last: first.index, ..LogStart::default() };
    let log = LogTail::new(log);
    let (inbox, port, inner) = Inbox::new();
    let (to_wal, wal) = bounded(crate::limits::WAL_QUEUE);
    let (to_applier, applier) = bounded(crate::limits::APPLIER_QUEUE);
    let (to_log, asked_of_log) = bounded(crate::limits::LOG_READS);
    let (to_snapshots, snapshots) = bounded(crate::limits::SNAPSHOT_ORDERS);
    let peers = Arc::<Collected<Message>>::default();
    let answers = Arc::<Collected<Answer>>::default();
    let calls = Arc::<Collected<(u64, Question)>>::default();
    let peer_calls = PeerCalls::default();
    peer_calls.connect(calls.clone());
    let (to_others, vitals) = unbounded();
    let sinks = Arc::<Sinks>::default();
    sinks.register(vec![answers.clone()]);
    let gauges = Arc::<Gauges>::default();
    gauges.applied.store(first.index, Release);
    let parts = CoreParts {
        inbox,
        wal: to_wal,
        applier: to_applier,
        log: to_log,
        snapshots: to_snapshots,
        peers: peers.clone(),
        calls: peer_calls,
        vitals: Box::new(to_others),
        leases: Box::new(NoLeases),
        connections: Box::new(reached.clone()),
        membership: Arc::new(members.clone()),
        hash: None,
        sinks,
        gauges,
    };
    let mut core = RaftCore::new(config, log, parts).expect("a valid configuration");
    core.start();
    Bench {
        core,
        inner,
        port,
        wal,
        applier,
        log: asked_of_log,
        snapshots,
        peers,
        answers,
        calls,
        vitals,
        reached,
        members,
    }
}

fn config(first: LogId) -> CoreConfig {
    let mut raft = raft::Config::new(1);
    raft.applied = first.index;
    raft.check_quorum = true;
    raft.step_down_on_removal = true;
    raft.tell_probed_of_changes = true;
    CoreConfig {
        raft,
        tick: Duration::from_millis(100),
        epoch: 77,
        request_ticks: 70,
        catch_up_entries: 10,
        tail_bytes: crate::limits::LOG_TAIL_BYTES,
        advance_first_election: false,
        strict_reconfig: true,
        max_learners: 1,
        rebuild: false,
    }
}

/// A core with its own thread, which whoever has work for it may run.
pub struct Running {
    pub port: CorePort,
    answers: Arc<Collected<Answer>>,
    pub thread: JoinHandle<()>,
    /// Ends that the core needs.
    _queues: (Receiver<ToWal>, Receiver<ToApplier>, InnerPort),
}

impl Running {
    /// Answers since the last call.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.take()
    }
}

impl Bench {
    /// From now on it runs by itself.
    pub fn run(self, watch: DeathWatch) -> Running {
        let bell = self.port.bell.clone();
        let core = CoreRunner::new(self.core);
        let thread = std::thread::spawn(move || core.run(&bell, watch));
        Running { port: self.port, answers: self.answers, thread, _queues: (self.wal, self.applier, self.inner) }
    }
}

/// Peer URL of a member.
pub fn url(id: u64) -> String {
    format!("http://m{id}:2380")
}

impl Bench {
    /// A round after `count` ticks.
    pub fn tick(&mut self, count: u32) {
        self.inner.tick(Tick { count }).expect("room for a tick");
        self.core.round();
    }

    /// Another member says something in the present term; nothing happens until the next round.
    pub fn queue(&self, from: u64, body: Body) {
        self.queue_in(from, self.core.node().term(), body);
    }

    fn queue_in(&self, from: u64, term: u64, body: Body) {
        let control = !matches!(body, Body::Append(_) | Body::Snapshot(_));
        let messages = vec![Message { from, to: 1, term, body }];
        assert!(self.inner.receive(Receive { messages, held: Held::default() }, control), "room for a message");
    }

    /// Another member says something in the present term, and the core hears it.
    pub fn hear(&mut self, from: u64, body: Body) {
        self.queue(from, body);
        self.core.round();
    }

    /// As [`Self::hear`], in another term.
    pub fn hear_in(&mut self, from: u64, term: u64, body: Body) {
        self.queue_in(from, term, body);
        self.core.round();
    }

    /// The log writes and syncs everything it was given, which is returned.
    pub fn persist(&mut self) -> Vec<AppendBatch> {
        let appends: Vec<AppendBatch> = self.wal.try_iter().filter_map(append).collect();
        if let Some(last) = appends.last() {
            self.inner.advance(Advance::Persisted(Persisted { sequence: last.sequence }));
            self.core.round();
        }
        appends
    }

    /// The log says that appends up to this number are durable.
    pub fn persisted(&mut self, sequence: u64) {
        self.inner.advance(Advance::Persisted(Persisted { sequence }));
        self.core.round();
    }

    /// What the snapshotter was asked since the last call.
    pub fn snapshot_orders(&self) -> Vec<ToSnapshotter> {
        self.snapshots.try_iter().collect()
    }

    /// The applier applies everything it was given, which is returned.
    pub fn apply(&mut self) -> Vec<ApplyBatch> {
        let applies: Vec<ApplyBatch> = self.applier.try_iter().filter_map(batch).collect();
        if let Some(last) = applies.last() {
            let index = last.entries.last().expect("never empty").entry.index;
            let entries = applies.iter().flat_map(|batch| &batch.entries).map(|committed| &committed.entry);
            let verdicts: Vec<_> = entries.filter_map(|entry| judge(&mut self.members, entry)).collect();
            let membership = verdicts.last().map(|verdict| verdict.membership.clone());
            let done = AppliedUpTo { sequence: last.sequence, index, verdicts, membership, hashes: Vec::new() };
            self.inner.advance(Advance::Applied(done));
            self.core.round();
        }
        applies
    }

    /// A client asks for a change of the membership.
    pub fn change(&mut self, token: Token, change: MemberChange) {
        self.change_for(token, change, false);
    }

    /// As [`Self::change`]; another member may be the one that asks.
    pub fn change_for(&mut self, token: Token, change: MemberChange, forwarded: bool) {
        assert!(self.port.control(Control::ChangeMembership { sink: SinkId(0), token, change, forwarded }));
        self.core.round();
    }

    /// Something about the members has changed in the store, by an entry that was applied.
    pub fn tell_membership(&mut self, membership: Arc<Membership>) {
        let index = self.core.node().applied();
        let hashes = Vec::new();
        let done = AppliedUpTo { sequence: 0, index, verdicts: Vec::new(), membership: Some(membership), hashes };
        self.inner.advance(Advance::Applied(done));
        self.core.round();
    }

    /// Another member can be reached, since so long, or not at all.
    pub fn reach(&self, peer: u64, since: Option<Duration>) {
        let mut reached = self.reached.0.lock().expect("not poisoned");
        match since {
            Some(since) => reached.insert(peer, since),
            None => reached.remove(&peer),
        };
    }

    /// The store has been flushed up to an entry.
    pub fn flushed(&mut self, index: u64) {
        self.inner.durable(Advance::Durable(Durable { index }));
        self.core.round();
    }

    /// Ranges of the log that are asked for; each must be answered by [`Self::loaded`].
    pub fn asked_of_log(&self) -> Vec<ReadLog> {
        self.log.try_iter().collect()
    }

    /// The log reader has read a range.
    pub fn loaded(&mut self, lo: u64, entries: Vec<Entry>) {
        self.inner.log_read(LogRead { lo, entries });
        self.core.round();
    }

    /// The transport reports something.
    pub fn report(&mut self, report: PeerReport) {
        self.inner.report(report);
        self.core.round();
    }

    /// What was sent to other members since the last call.
    pub fn sent(&self) -> Vec<Message> {
        self.peers.take()
    }

    /// The calls to other members since the last call.
    pub fn calls(&self) -> Vec<(u64, Question)> {
        self.calls.take().into_iter().filter(|(_, question)| question.kind != Introduce::KIND).collect()
    }

    /// Whether a member can be reached.
    pub fn reaches(&self, peer: u64) -> bool {
        self.reached.connected_for(peer).is_some()
    }

    /// Whom this member told how it is reached.
    pub fn introduced(&self) -> Vec<u64> {
        let calls = self.calls.take().into_iter().filter(|(_, question)| question.kind == Introduce::KIND);
        calls.map(|(to, _)| to).collect()
    }

    /// What the others were last told about this member.
    pub fn told(&self) -> Option<Vitals> {
        self.vitals.try_iter().last()
    }

    /// Another member says how it is; the core looks at it with the next tick.
    pub fn hear_vitals(&self, from: u64, vitals: Vitals) {
        self.inner.vitals(from, vitals);
    }

    /// What clients were answered since the last call.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.take()
    }

    /// A client proposes something.
    pub fn propose(&mut self, token: Token) {
        self.propose_in_term(token, 0);
    }

    /// An owner proposes something that may only have an effect in a term.
    pub fn propose_in_term(&mut self, token: Token, only_in_term: u64) {
        let command = model::Command::ClusterVersionSet(Default::default()).encode(token);
        let proposals = vec![Proposal { token, command, only_in_term }];
        self.port.propose(Propose { sink: SinkId(0), proposals }).expect("room for a list");
        self.core.round();
    }

    /// A client proposes a list of values of these sizes.
    pub fn propose_sized(&mut self, sizes: &[usize]) {
        let proposal = |(token, size): (usize, &usize)| {
            let put = model::request::PutRequest {
                key: Bytes::from_static(b"k"),
                value: Bytes::from(vec![b'x'; *size]),
                ..Default::default()
            };
            Proposal { token: token as u64, command: model::Command::Put(put).encode(1), only_in_term: 0 }
        };
        let proposals = sizes.iter().enumerate().map(proposal).collect();
        self.port.propose(Propose { sink: SinkId(0), proposals }).expect("room for a list");
        self.core.round();
    }

    /// A client asks for a read.
    pub fn read(&mut self, token: Token) {
        self.port.read(ReadIndex { sink: SinkId(0), tokens: vec![token] }).expect("room for a list");
        self.core.round();
    }

    /// Wins an election with the vote of member 2, and commits and applies the first entry of its term.
    pub fn lead(&mut self) {
        self.win();
        self.persist();
        self.acknowledge();
        self.apply();
        self.sent();
        self.answers();
    }

    /// Is elected. Nothing of its term is committed yet.
    pub fn win(&mut self) {
        for _ in 0..40 {
            self.tick(1);
            self.persist();
            if self.core.node().role() == Role::Candidate {
                self.hear(2, Body::VoteResp { rejected: false });
                break;
            }
        }
        assert_eq!(self.core.node().role(), Role::Leader);
    }

    /// Leads as the only voter, and has applied the first entry of its term.
    pub fn lead_alone(&mut self) {
        // its vote, then its entry
        self.persist();
        self.persist();
        self.apply();
        assert!(self.core.node().committed_in_own_term(), "it is the only voter");
        self.sent();
    }

    /// Follows member 2, in term 2.
    pub fn follow(&mut self) {
        self.follow_in(2, 2);
        self.sent();
    }

    /// Follows a leader of this term.
    pub fn follow_in(&mut self, leader: u64, term: u64) {
        self.hear_in(leader, term, Body::Heartbeat { commit: self.core.node().committed(), read_round: 0 });
        self.persist();
    }

    /// Member 2 holds the whole log.
    pub fn acknowledge(&mut self) {
        let index = self.core.node().last_index();
        self.hear(2, Body::AppendAccepted { index });
    }

    /// Whether a vote, or the promise of one, is asked for among what was sent.
    pub fn campaigned(&self) -> bool {
        self.sent().iter().any(|m| matches!(m.body, Body::Vote(VoteRequest { .. }) | Body::PreVote(_)))
    }
}

fn append(message: ToWal) -> Option<AppendBatch> {
    match message {
        ToWal::Append(batch) => Some(batch),
        _ => None,
    }
}

fn batch(message: ToApplier) -> Option<ApplyBatch> {
    match message {
        ToApplier::Apply(batch) => Some(batch),
        ToApplier::Install(_) | ToApplier::Stop => None,
        ToApplier::Hold | ToApplier::Rebuild(_) | ToApplier::Resume => None,
    }
}

/// What the store says to a conf change.
fn judge(members: &mut Membership, entry: &Entry) -> Option<ConfVerdict> {
    let change = ConfChangeV2::from_entry(entry).expect("whole")?;
    let context = MemberContext::decode(&change.context).ok();
    let verdict = members.judge(&change, context.as_ref());
    if let Ok(conf_state) = &verdict {
        *members = members.clone().after(&change, context.as_ref(), conf_state.clone());
    }
    let done = Outcome::Members { changed: change.changes.first().map_or(0, |c| c.node_id), members: members.infos() };
    let answer = context.map(|context| {
        let result = verdict.as_ref().map(|_| done).map_err(|why| ApplyError::Member(*why));
        (context.origin, Applied { revision: 1, term: entry.term, result })
    });
    let result = verdict.map(drop);
    Some(ConfVerdict { index: entry.index, change, result, answer, membership: Arc::new(members.clone()) })
}
