//! Members of one process without sockets, behind the same trait: messages go straight into the other member's queues.
//!
//! The promises are those of the transport over a network: in order per lane, bounded, never twice, drops are told. What arrives was made
//! by the same build in the same process, so nothing is encoded.

use crate::peer::codec::lane::Lane;
use crate::peer::codec::talk::Call;
use crate::peer::lanes::queue::Weigh;
use crate::peer::port::{
    BulkError, BulkHeader, BulkSource, CallDone, CallError, Held, Inbound, Parcel, PeerAddress, PeerSender, Peers,
    Question, Responder, Transport, Vitals,
};
use raft::{Message, NodeId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Bytes that one member may have in flight towards another.
const RECEIVE: usize = 32 << 20;
/// Bytes of a bulk transfer that are read at once.
const CHUNK: usize = 256 << 10;
/// Precision of deadlines.
const LOOK: Duration = Duration::from_millis(20);

/// Where the members of a process find each other.
#[derive(Clone, Default)]
pub struct LocalNetwork(Arc<Mutex<HashMap<NodeId, Arc<Node>>>>);

struct Node {
    inbound: Arc<dyn Inbound>,
    peers: Mutex<HashSet<NodeId>>,
    removed: Mutex<HashSet<NodeId>>,
    receive: Mutex<HashMap<NodeId, Arc<Semaphore>>>,
    since: Instant,
}

/// One member's transport in a [`LocalNetwork`].
pub struct LocalTransport {
    own: NodeId,
    network: LocalNetwork,
    node: Arc<Node>,
    deadlines: Arc<Deadlines>,
    stopped: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalNetwork {
    /// The member `own` joins. Whoever was there under the same id is replaced.
    pub fn join(&self, own: NodeId, inbound: Arc<dyn Inbound>) -> LocalTransport {
        let node = Arc::new(Node {
            inbound,
            peers: Mutex::default(),
            removed: Mutex::default(),
            receive: Mutex::default(),
            since: Instant::now(),
        });
        lock(&self.0).insert(own, node.clone());
        LocalTransport { own, network: self.clone(), node, deadlines: Deadlines::start(), stopped: Arc::default() }
    }

    fn node(&self, member: NodeId) -> Option<Arc<Node>> {
        lock(&self.0).get(&member).cloned()
    }
}

impl LocalTransport {
    /// The other member, while both know each other.
    fn other(&self, to: NodeId) -> Option<Arc<Node>> {
        if self.stopped.load(Ordering::Acquire) || !lock(&self.node.peers).contains(&to) {
            return None;
        }
        let other = self.network.node(to)?;
        let removed = lock(&other.removed).contains(&self.own);
        if removed {
            self.node.inbound.told_removed(to, true);
            return None;
        }
        Some(other)
    }

    fn deliver(&self, to: NodeId, lane: Lane, messages: Vec<Message>) -> Result<(), Vec<Message>> {
        let Some(other) = self.other(to) else { return Err(messages) };
        if lane == Lane::Control {
            // a full queue drops them, as the network would
            let _ = other.inbound.control(messages);
            return Ok(());
        }
        let weight = messages.iter().map(Weigh::weight).sum::<usize>().min(RECEIVE) as u32;
        let share = lock(&other.receive).entry(self.own).or_insert_with(|| Arc::new(Semaphore::new(RECEIVE))).clone();
        let Ok(permit) = share.try_acquire_many_owned(weight) else { return Err(messages) };
        // as above
        let _ = other.inbound.data(messages, Held::new(permit));
        Ok(())
    }
}

impl PeerSender for LocalTransport {
    fn send(&self, messages: Vec<Message>) {
        let mut lists: BTreeMap<(NodeId, bool), Vec<Message>> = BTreeMap::new();
        for message in messages {
            let data = Lane::of(&message.body) == Lane::Append;
            lists.entry((message.to, data)).or_default().push(message);
        }
        for ((to, data), list) in lists {
            let lane = if data { Lane::Append } else { Lane::Control };
            if let Err(never_left) = self.deliver(to, lane, list) {
                self.node.inbound.unreachable(to, never_left);
            }
        }
    }
}

impl Transport for LocalTransport {
    fn set_vitals(&self, vitals: Vitals) {
        let peers: Vec<NodeId> = lock(&self.node.peers).iter().copied().collect();
        for peer in peers {
            if let Some(other) = self.other(peer) {
                other.inbound.vitals(self.own, vitals.clone());
            }
        }
    }

    fn set_peers(&self, peers: Peers) {
        let others = peers.members.into_iter().map(|peer| peer.member).filter(|member| *member != self.own);
        *lock(&self.node.peers) = others.collect();
        lock(&self.node.removed).extend(peers.removed);
    }

    fn introduce(&self, peer: PeerAddress) {
        if peer.member != self.own {
            lock(&self.node.peers).insert(peer.member);
        }
    }

    fn call(&self, to: NodeId, question: Question, done: CallDone) {
        let Some(other) = self.other(to) else { return done(Err(CallError::Unreachable)) };
        let Question { kind, body, deadline } = question;
        let id = self.deadlines.wait(Instant::now() + deadline, done);
        let deadline_millis = deadline.as_millis().min(u32::MAX.into()) as u32;
        let waiting = Arc::downgrade(&self.deadlines);
        let respond = Responder::new(id, move |answer| {
            if let Some(waiting) = waiting.upgrade() {
                waiting.finish(answer.id, answer.result.map_err(CallError::from));
            }
        });
        other.inbound.call(self.own, Call { id, kind, deadline_millis, body }, respond);
    }

    fn bulk(&self, to: NodeId, parcel: Parcel) {
        let other = self.other(to);
        let from = self.own;
        let stopped = self.stopped.clone();
        let Parcel { transfer, about, source, done } = parcel;
        let Some(other) = other else { return done(Err(BulkError::Unreachable)) };
        let header = BulkHeader { from, transfer, length: source.length(), about };
        let started = std::thread::Builder::new().name("local-bulk".into()).spawn(move || {
            done(copy(&*other.inbound, &header, source, &stopped));
        });
        if let Err(why) = started {
            tracing::error!(error = %why, "a snapshot to a member of this process was not sent");
        }
    }

    fn active_since(&self, peer: NodeId) -> Option<Instant> {
        self.other(peer).map(|other| other.since.max(self.node.since))
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let mut nodes = lock(&self.network.0);
        if nodes.get(&self.own).is_some_and(|node| Arc::ptr_eq(node, &self.node)) {
            nodes.remove(&self.own);
        }
        drop(nodes);
        self.deadlines.end();
    }
}

impl Drop for LocalTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(
    to: &dyn Inbound,
    header: &BulkHeader,
    mut source: Box<dyn BulkSource>,
    stopped: &AtomicBool,
) -> Result<(), BulkError> {
    let refused = |why: std::io::Error| BulkError::Refused(why.to_string());
    let mut sink = to.bulk(header).map_err(BulkError::Refused)?;
    let (held, _) = sink.progress().map_err(refused)?;
    if held > 0 {
        sink.restart().map_err(refused)?;
    }
    let mut at = 0;
    while at < header.length {
        if stopped.load(Ordering::Acquire) {
            return Err(BulkError::Stopped);
        }
        let most = CHUNK.min(usize::try_from(header.length - at).unwrap_or(CHUNK));
        let bytes = source.read_at(at, most).map_err(|why| BulkError::Source(why.to_string()))?;
        if bytes.is_empty() {
            return Err(BulkError::Source("it has become shorter than it said".into()));
        }
        sink.write(&bytes).map_err(refused)?;
        at += bytes.len() as u64;
    }
    sink.finish().map_err(refused)
}

/// Calls that wait for their answer, and a thread that ends the patience of those that wait for too long.
#[derive(Default)]
struct Deadlines {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, (Instant, CallDone)>>,
}

impl Deadlines {
    fn start() -> Arc<Self> {
        let deadlines = Arc::new(Self::default());
        let weak = Arc::downgrade(&deadlines);
        let started = std::thread::Builder::new().name("local-calls".into()).spawn(move || Self::watch(&weak));
        if let Err(why) = started {
            tracing::error!(error = %why, "calls to members of this process have no deadline");
        }
        deadlines
    }

    fn watch(weak: &Weak<Self>) {
        while let Some(deadlines) = weak.upgrade() {
            let now = Instant::now();
            let ended: Vec<u64> =
                lock(&deadlines.waiting).iter().filter(|(_, (at, _))| *at <= now).map(|(id, _)| *id).collect();
            ended.into_iter().for_each(|id| deadlines.finish(id, Err(CallError::Unknown)));
            drop(deadlines);
            std::thread::sleep(LOOK);
        }
    }

    fn wait(&self, expires: Instant, done: CallDone) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.waiting).insert(id, (expires, done));
        id
    }

    fn finish(&self, id: u64, result: Result<bytes::Bytes, CallError>) {
        let waiting = lock(&self.waiting).remove(&id);
        if let Some((_, done)) = waiting {
            done(result);
        }
    }

    fn end(&self) {
        let all: Vec<u64> = lock(&self.waiting).keys().copied().collect();
        all.into_iter().for_each(|id| self.finish(id, Err(CallError::Unknown)));
    }
}
