//! Leadership as clients see it: moved, handed over by a member that stops, and lost; leases through any member meanwhile.

use api::etcdserverpb::watch_request::RequestUnion;
use api::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, MoveLeaderRequest,
    WatchRequest,
};
use embed::Node;
use futures_util::Stream;
use futures_util::stream::unfold;
use harness::members::{Over, configs, start};
use harness::request::{get, put};
use harness::server::in_system;
use harness::watch::create_all;
use harness::{Stubs, expect_status, soon, until};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::{Code, Request, Streaming};

/// A member and a connection to it.
struct Member {
    node: Node,
    stubs: Stubs,
}

impl Member {
    fn id(&self) -> u64 {
        self.node.client().ports().identity.member_id
    }

    fn term(&self) -> u64 {
        self.node.client().ports().gauges.term.load(Relaxed)
    }

    fn sees(&self) -> Option<u64> {
        self.node.client().ports().gauges.leader_id()
    }
}

async fn three(over: Over) -> (TempDir, Vec<Member>) {
    let dir = TempDir::new().expect("a folder");
    let mut members = Vec::new();
    for node in start(&configs(dir.path(), 3, over)).await {
        let address = node.addresses()[0].to_string();
        let stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
        members.push(Member { node, stubs });
    }
    (dir, members)
}

/// The position of the leader that all members see.
async fn leader(members: &[Member]) -> usize {
    until("a leader that all see", async || {
        let leader = members[0].sees()?;
        let all = members.iter().all(|member| member.sees() == Some(leader));
        members.iter().position(|member| all && member.id() == leader)
    })
    .await
}

async fn stop_all(members: Vec<Member>) {
    for member in members {
        soon("the stop", member.node.stop()).await;
    }
}

async fn grant(stubs: &Stubs, id: i64, ttl: i64) {
    stubs.lease.clone().lease_grant(LeaseGrantRequest { id, ttl }).await.expect("grant");
}

/// Requests of a stream, and where they are given in. The stream is open while that end is kept.
fn requests<T: Send + 'static>() -> (UnboundedSender<T>, impl Stream<Item = T> + Send + 'static) {
    let (ask, receiver) = unbounded_channel();
    let asked = unfold(receiver, |mut receiver| async move {
        let request = receiver.recv().await?;
        Some((request, receiver))
    });
    (ask, asked)
}

/// A keep-alive stream.
struct KeepAlive {
    ask: UnboundedSender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl KeepAlive {
    /// Opens a stream and renews a lease on it.
    async fn open(stubs: &Stubs, id: i64, leader: bool) -> (Self, i64) {
        let (ask, asked) = requests();
        ask.send(LeaseKeepAliveRequest { id }).expect("just opened");
        let mut stub = stubs.lease.clone();
        let asked = if leader { with_leader(asked) } else { Request::new(asked) };
        let answers = soon("a stream", stub.lease_keep_alive(asked)).await.expect("a stream").into_inner();
        let mut keep = Self { ask, answers };
        let ttl = keep.answer(id).await;
        (keep, ttl)
    }

    async fn renew(&mut self, id: i64) -> i64 {
        self.ask.send(LeaseKeepAliveRequest { id }).expect("the stream is open");
        self.answer(id).await
    }

    async fn answer(&mut self, id: i64) -> i64 {
        let answer = soon("a renewal", self.answers.message()).await.expect("no error").expect("an answer");
        assert_eq!(answer.id, id);
        answer.ttl
    }
}

async fn time_to_live(stubs: &Stubs, id: i64, keys: bool) -> (i64, i64, usize) {
    let request = LeaseTimeToLiveRequest { id, keys };
    let answer = stubs.lease.clone().lease_time_to_live(request).await.expect("time to live").into_inner();
    (answer.granted_ttl, answer.ttl, answer.keys.len())
}

fn with_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", "true".parse().expect("ascii"));
    request
}

fn moves_and_leases(over: Over) {
    in_system(async {
        let (_dir, members) = three(over).await;
        let old = leader(&members).await;
        let (new, third) = ((old + 1) % 3, (old + 2) % 3);
        let term = members[old].term();

        grant(&members[new].stubs, 7, 60).await;
        let attached = api::etcdserverpb::PutRequest { lease: 7, ..put("leased", "v") };
        members[third].stubs.kv.clone().put(attached).await.expect("put");
        for member in &members {
            let (mut keep, ttl) = KeepAlive::open(&member.stubs, 7, false).await;
            assert_eq!((ttl, keep.renew(8).await), (60, 0), "through any member");
            let (granted, left, keys) = time_to_live(&member.stubs, 7, true).await;
            assert!(granted == 60 && (58..=60).contains(&left) && keys == 1, "{granted} {left} {keys}");
            assert_eq!(time_to_live(&member.stubs, 8, false).await, (0, -1, 0));
        }

        let move_leader = async |at: usize, target_id: u64| {
            let mut maintenance = members[at].stubs.maintenance.clone();
            soon("the answer", maintenance.move_leader(MoveLeaderRequest { target_id })).await
        };
        let refused = move_leader(third, members[new].id()).await;
        expect_status("move", refused, Code::FailedPrecondition, "etcdserver: not leader");
        let refused = move_leader(old, 12345).await;
        expect_status("move", refused, Code::FailedPrecondition, "etcdserver: bad leader transferee");
        let (mut keep, _) = KeepAlive::open(&members[third].stubs, 7, false).await;
        move_leader(old, members[new].id()).await.expect("moved");
        assert_eq!(members[old].sees(), Some(members[new].id()), "answered when the new leader is known");
        assert_eq!(leader(&members).await, new);
        assert_eq!(members[new].term(), term + 1);
        assert_eq!(keep.renew(7).await, 60, "the stream goes on through the change of leader");
        stop_all(members).await;
    });
}

#[test]
fn leases_are_renewed_through_any_member_and_leadership_moves_over_quic() {
    moves_and_leases(Over::Sockets);
}

#[test]
fn leases_are_renewed_through_any_member_and_leadership_moves_in_one_process() {
    moves_and_leases(Over::Queues);
}

/// What became of puts, one after the other.
#[derive(Debug, Default)]
struct Writes {
    done: u32,
    /// Certainly not applied: the client may try again at once.
    refused: u32,
    slowest: Duration,
}

async fn write_for(members: &[Member], time: Duration) -> Writes {
    let begun = Instant::now();
    let mut writes = Writes::default();
    while begun.elapsed() < time {
        let each = Instant::now();
        let number = writes.done + writes.refused;
        let mut kv = members[number as usize % members.len()].stubs.kv.clone();
        match soon("a put", kv.put(put(format!("k{number}"), "v"))).await {
            Ok(_) => writes.done += 1,
            refused => {
                expect_status("put", refused, Code::Unavailable, "etcdserver: leader changed");
                writes.refused += 1;
            }
        }
        writes.slowest = writes.slowest.max(each.elapsed());
    }
    writes
}

#[test]
fn a_leader_that_stops_hands_over_within_one_term_and_writes_go_on() {
    in_system(async {
        let (_dir, mut members) = three(Over::Sockets).await;
        let old = leader(&members).await;
        let term = members[old].term();
        let stopping = members.remove(old);
        grant(&members[1].stubs, 7, 60).await;
        let (mut keep, _) = KeepAlive::open(&members[0].stubs, 7, false).await;

        let begun = Instant::now();
        let (writes, stop) = tokio::join!(write_for(&members, Duration::from_millis(700)), async {
            stopping.node.stop().await;
            begun.elapsed()
        });
        assert!(stop < Duration::from_millis(1_450), "the stop took {stop:?}");
        let new = leader(&members).await;
        let terms: Vec<u64> = members.iter().map(Member::term).collect();
        assert_eq!(terms, [term + 1; 2], "exactly one election");
        assert_eq!(keep.renew(7).await, 60);
        println!("puts during the stop: {writes:?}; {:x} leads", members[new].id());
        assert!(writes.slowest < Duration::from_millis(200), "less than an election takes: {writes:?}");
        assert!(writes.refused * 10 < writes.done, "only what met the moment of the change: {writes:?}");
        stop_all(members).await;
    });
}

#[test]
fn without_a_quorum_what_requires_a_leader_ends_and_the_rest_waits() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let configs = configs(dir.path(), 3, Over::Sockets);
        let mut nodes = start(&configs).await;
        let survivor = nodes.remove(0);
        let address = survivor.addresses()[0].to_string();
        let mut stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
        stubs.kv.put(put("k", "1")).await.expect("put");

        grant(&stubs, 7, 60).await;
        let (watch, asked) = requests::<WatchRequest>();
        let create = RequestUnion::CreateRequest(create_all(0));
        watch.send(WatchRequest { request_union: Some(create) }).expect("just opened");
        let mut events = stubs.watch.watch(with_leader(asked)).await.expect("a stream").into_inner();
        events.message().await.expect("no error").expect("created");
        let (mut keep, _) = KeepAlive::open(&stubs, 7, true).await;
        let (mut patient, _) = KeepAlive::open(&stubs, 7, false).await;

        for node in nodes {
            soon("the stop", node.stop()).await;
        }
        until("no leader", async || survivor.client().ports().gauges.leader_id().is_none().then_some(())).await;
        let refused = stubs.kv.put(with_leader(put("k", "2"))).await;
        expect_status("put", refused, Code::Unavailable, "etcdserver: no leader");
        let ended = soon("the end of the watch", events.message()).await;
        expect_status("watch", ended, Code::Unavailable, "etcdserver: no leader");
        let ended = soon("the end of the keep-alive", keep.answers.message()).await;
        expect_status("keep-alive", ended, Code::Unavailable, "etcdserver: no leader");
        let serializable = api::etcdserverpb::RangeRequest { serializable: true, ..get("k") };
        let read = stubs.kv.range(serializable).await.expect("a read without leave").into_inner();
        assert_eq!(read.kvs.len(), 1);

        // a write and a renewal wait for a leader, and find one
        let mut kv = stubs.kv.clone();
        let write = async { soon("the put", kv.put(put("k", "3"))).await };
        let back = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            start(&configs[1..]).await
        };
        let (written, renewed, back) = tokio::join!(write, patient.renew(7), back);
        written.expect("put");
        assert_eq!(renewed, 60);
        for node in back {
            soon("the stop", node.stop()).await;
        }
        survivor.stop().await;
    });
}
