//! Members of a test: a transport each, and a recorder that takes what it delivers.

use crate::peer::config::{PathTuning, PeerConfig, PeerLimits, PeerListen};
use crate::peer::http::Pages;
use crate::peer::metrics::{PeerCounters, PeerMetrics};
use crate::peer::port::{
    BulkHeader, BulkSink, Call, Held, Inbound, PeerAddress, PeerSender, Peers, Responder, Transport, Vitals,
};
use crate::peer::tls::{PeerTls, Trust};
use crate::peer::transport::{PeerTransport, StartError};
use crate::server::LoopGuard;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::read::MemberInfo;
use raft::message::Append;
use raft::{Body, Entry, EntryKind, Message, NodeId, Proposal};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const CLUSTER: u64 = 0xc1;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test inside an actix system, as a host does.
pub fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

/// Waits for what must come.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type OnCall = Box<dyn Fn(NodeId, Call, Responder) + Send>;
type OnBulk = Box<dyn Fn(&BulkHeader) -> Result<Box<dyn BulkSink>, String> + Send>;

/// Takes what a transport delivers.
#[derive(Default)]
pub struct Recorder {
    pub control: Mutex<Vec<Message>>,
    pub data: Mutex<Vec<Message>>,
    /// While it is true, `held` is kept with the messages, as by a core that does not come to take them.
    pub hold: Mutex<bool>,
    pub held: Mutex<Vec<Held>>,
    pub vitals: Mutex<Vec<(NodeId, Vitals)>>,
    pub unreachable: Mutex<Vec<(NodeId, Vec<Message>)>>,
    pub told_removed: Mutex<Vec<(NodeId, bool)>>,
    pub on_call: Mutex<Option<OnCall>>,
    pub on_bulk: Mutex<Option<OnBulk>>,
}

impl Recorder {
    /// Numbers of the proposals that came, in order.
    pub fn proposals(&self) -> Vec<u64> {
        lock(&self.data).iter().flat_map(numbers).collect()
    }

    /// Numbers of the proposals that were told to have never left.
    pub fn never_left(&self) -> Vec<u64> {
        lock(&self.unreachable).iter().flat_map(|(_, list)| list.iter().flat_map(numbers)).collect()
    }

    /// Commit indexes of the heartbeats that came, in order.
    pub fn heartbeats(&self) -> Vec<u64> {
        let commit = |message: &Message| match message.body {
            Body::Heartbeat { commit, .. } => Some(commit),
            _ => None,
        };
        lock(&self.control).iter().filter_map(commit).collect()
    }
}

fn numbers(message: &Message) -> Vec<u64> {
    let number = |data: &Bytes| u64::from_le_bytes(*data.first_chunk().expect("a number"));
    match &message.body {
        Body::Propose(list) => list.iter().map(|proposal| number(&proposal.data)).collect(),
        _ => Vec::new(),
    }
}

impl Inbound for Recorder {
    fn control(&self, messages: Vec<Message>) -> bool {
        lock(&self.control).extend(messages);
        true
    }

    fn data(&self, messages: Vec<Message>, held: Held) -> bool {
        if *lock(&self.hold) {
            lock(&self.held).push(held);
        }
        lock(&self.data).extend(messages);
        true
    }

    fn vitals(&self, from: NodeId, vitals: Vitals) {
        lock(&self.vitals).push((from, vitals));
    }

    fn call(&self, from: NodeId, call: Call, respond: Responder) {
        if let Some(answer) = &*lock(&self.on_call) {
            answer(from, call, respond);
        }
    }

    fn unreachable(&self, peer: NodeId, never_left: Vec<Message>) {
        lock(&self.unreachable).push((peer, never_left));
    }

    fn bulk(&self, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String> {
        match &*lock(&self.on_bulk) {
            Some(open) => open(header),
            None => Err("nobody wants it".into()),
        }
    }

    fn told_removed(&self, by: NodeId, authenticated: bool) {
        lock(&self.told_removed).push((by, authenticated));
    }
}

struct TestPages;

impl Pages for TestPages {
    fn cluster(&self) -> u64 {
        CLUSTER
    }

    fn members(&self) -> Vec<MemberInfo> {
        vec![MemberInfo { id: 1, name: "one".into(), ..MemberInfo::default() }]
    }

    fn version(&self) -> String {
        "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\"}".into()
    }

    fn is_downgrading(&self) -> bool {
        false
    }

    fn health(&self, query: &str) -> BoxFuture<'static, (bool, String)> {
        let healthy = query != "sick";
        async move { (healthy, format!("{{\"health\":\"{healthy}\"}}")) }.boxed()
    }
}

struct NoGuard;

impl LoopGuard for NoGuard {
    fn finished(self: Box<Self>) {}
}

/// A member: its settings stay when it is restarted.
pub struct Member {
    pub config: PeerConfig,
    pub recorder: Arc<Recorder>,
    pub transport: PeerTransport,
}

/// Settings of the member `own`, on a free port of the loopback.
pub fn config(own: NodeId) -> PeerConfig {
    PeerConfig {
        cluster: CLUSTER,
        own,
        boot_epoch: 1,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        listen: vec![PeerListen { address: ([127, 0, 0, 1], 0).into(), secure: false }],
        listen_unix: Vec::new(),
        secret: [own as u8; 32],
        tls: PeerTls::new(None).expect("self-made certificates"),
        limits: PeerLimits::default(),
        path: PathTuning::default(),
    }
}

impl Member {
    pub fn start(mut config: PeerConfig) -> Self {
        let recorder = Arc::new(Recorder::default());
        let transport = launch(&config, &recorder);
        for (listen, address) in config.listen.iter_mut().zip(transport.addresses()) {
            listen.address = *address;
        }
        Self { config, recorder, transport }
    }

    pub fn id(&self) -> NodeId {
        self.config.own
    }

    pub fn address(&self) -> SocketAddr {
        self.config.listen[0].address
    }

    pub fn url(&self) -> String {
        let scheme = if self.config.listen[0].secure { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    pub fn peer(&self) -> PeerAddress {
        PeerAddress { member: self.id(), urls: vec![self.url()] }
    }

    /// Starts its next run on the same port.
    pub fn restart(&mut self) {
        self.config.boot_epoch += 1;
        self.transport = launch(&self.config, &self.recorder);
    }

    pub fn counters(&self, of: &Member) -> Arc<PeerCounters> {
        self.transport.metrics().of(of.id())
    }

    /// Waits until it can send to `to`.
    pub async fn reaches(&self, to: &Member) {
        until("no connection", || self.transport.active_since(to.id()).is_some()).await;
    }

    pub fn propose(&self, to: &Member, number: u64, padding: usize) {
        let mut data = number.to_le_bytes().to_vec();
        data.resize(8 + padding, 7);
        let proposal = Proposal { kind: EntryKind::Normal, data: data.into() };
        let body = Body::Propose(vec![proposal]);
        self.transport.send(vec![Message { from: self.id(), to: to.id(), term: 0, body }]);
    }

    pub fn heartbeat(&self, to: &Member, commit: u64) {
        let body = Body::Heartbeat { commit, read_round: 0 };
        self.transport.send(vec![Message { from: self.id(), to: to.id(), term: 3, body }]);
    }

    pub fn append(&self, to: &Member, index: u64, bytes: usize) {
        let entry = Entry { term: 2, index, kind: EntryKind::Normal, data: Bytes::from(vec![index as u8; bytes]) };
        let append = Append { prev_index: index - 1, prev_term: 2, commit: 0, entries: vec![entry] };
        self.transport.send(vec![Message { from: self.id(), to: to.id(), term: 3, body: Body::Append(append) }]);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.transport.join();
    }
}

fn launch(config: &PeerConfig, recorder: &Arc<Recorder>) -> PeerTransport {
    try_launch(config, recorder).expect("the loopback has free ports")
}

pub fn try_launch(config: &PeerConfig, recorder: &Arc<Recorder>) -> Result<PeerTransport, StartError> {
    let inbound: Arc<dyn Inbound> = recorder.clone();
    PeerTransport::start(config.clone(), inbound, Arc::new(TestPages), PeerMetrics::default(), Box::new(NoGuard))
}

/// Tells all of them who the members are.
pub fn introduce(members: &[&Member]) {
    let peers = Peers { members: members.iter().map(|member| member.peer()).collect(), removed: Vec::new() };
    members.iter().for_each(|member| member.transport.set_peers(peers.clone()));
}

/// Two members that reach each other.
pub async fn pair() -> (Member, Member) {
    pair_of(config(1), config(2)).await
}

/// Two members that reach each other, with these settings.
pub async fn pair_of(one: PeerConfig, two: PeerConfig) -> (Member, Member) {
    let one = Member::start(one);
    let two = Member::start(two);
    introduce(&[&one, &two]);
    one.reaches(&two).await;
    two.reaches(&one).await;
    (one, two)
}

/// `config` that listens and dials with these certificates.
pub fn secured(mut config: PeerConfig, trust: Trust) -> PeerConfig {
    config.tls = PeerTls::new(Some(trust)).expect("self-made certificates");
    config.listen[0].secure = true;
    config
}
