//! A member whose data went its own way: found by the running hashes with the next entry, fenced, named in the alarm, and rebuilt from the
//! leader while its watches go on.

use api::etcdserverpb::{AlarmAction, AlarmType, RangeRequest};
use embed::{Config, Node};
use harness::members::{Over, configs, start};
use harness::request::{get, put};
use harness::server::in_system;
use harness::watch::{create_all, short};
use harness::{Stubs, Watching, expect_status, soon, until};
use model::AlarmMember;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::engine::{Engine, Family, Op, Snapshot};
use tempfile::TempDir;
use tonic::Code;

const CORRUPT: (Code, &str) = (Code::DataLoss, "etcdserver: corrupt cluster");

/// A member and a connection to it.
struct Member {
    node: Node,
    stubs: Stubs,
}

impl Member {
    async fn new(node: Node) -> Self {
        let address = node.addresses()[0].to_string();
        let stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
        Self { node, stubs }
    }

    fn id(&self) -> u64 {
        self.node.client().ports().identity.member_id
    }

    fn is_fenced(&self) -> bool {
        self.node.client().ports().gauges.fenced.load(Relaxed)
    }

    fn corrupt(&self) -> Vec<AlarmMember> {
        self.node.client().ports().reads.status().alarms.to_vec()
    }

    async fn hash(&self) -> (u32, i64) {
        let hash = self.node.client().hash_kv(0).await.expect("hash");
        (hash.hash, hash.revision)
    }
}

/// The store says another version of this key than it has, as after a flipped bit: what the next write of the key does differs.
fn damage(data_dir: &Path, key: &'static str) {
    let engine = RocksEngine::open(&data_dir.join("member/store"), &RocksOptions::default()).expect("the store opens");
    let row = engine.snapshot().get(Family::Cur, key.as_bytes()).expect("it reads").expect("the key is there");
    let mut row = row.to_vec();
    row[31] ^= 4;
    engine.write(vec![Op::Put { family: Family::Cur, key: key.into(), value: row.into() }]).expect("written");
    engine.flush().expect("flushed");
}

async fn stop(members: Vec<Member>) {
    for member in members {
        soon("the stop", member.node.stop()).await;
    }
}

/// Runs members, writes, stops them, damages the last one, and runs them again.
async fn damaged(dir: &Path, count: usize) -> (Vec<Config>, Vec<Member>) {
    let configs = configs(dir, count, Over::Sockets);
    let members = run(&configs).await;
    for n in 0..20 {
        members[0].stubs.put(format!("k{n}"), "before").await;
    }
    for member in &members {
        until("all applied", async || (member.node.client().ports().reads.position().0 == 21).then_some(())).await;
    }
    stop(members).await;
    damage(&configs.last().expect("members").data_dir, "k7");
    let members = run(&configs).await;
    (configs, members)
}

async fn run(configs: &[Config]) -> Vec<Member> {
    let mut members = Vec::new();
    for node in start(configs).await {
        members.push(Member::new(node).await);
    }
    members
}

fn serializable(key: &str) -> RangeRequest {
    RangeRequest { serializable: true, ..get(key) }
}

#[test]
fn a_member_that_parts_is_found_with_the_next_entry_fenced_named_and_rebuilt_and_its_watches_go_on() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let (configs, mut members) = damaged(dir.path(), 3).await;
        let wrong = members[2].id();
        let mut watching = Watching::open(&members[2].stubs, create_all(2)).await;
        assert_eq!(watching.events(20).await.len(), 20);
        members[0].stubs.put("k3", "says nothing yet").await;
        assert!(members.iter().all(|member| !member.is_fenced()), "the damage has had no effect");
        let before = members[0].node.client().ports().reads.applied_index();
        members[0].stubs.put("k7", "parts").await;
        until("the fence", async || members[2].is_fenced().then_some(())).await;
        for member in &members[..2] {
            let named = [AlarmMember { member_id: wrong, alarm: AlarmType::Corrupt }];
            until("the alarm", async || (member.corrupt() == named).then_some(())).await;
            assert!(!member.is_fenced());
        }
        for member in &members {
            let gauges = member.node.client().ports().gauges.clone();
            let first = &gauges.first_difference;
            until("the first entry", async || (first.load(Relaxed) != 0).then_some(())).await;
            assert_eq!(first.load(Relaxed), before + 1);
        }
        let refused = &members[2].stubs;
        for request in [get("k7"), serializable("k7")] {
            expect_status("a read", refused.range(request).await, CORRUPT.0, CORRUPT.1);
        }
        expect_status("a write", refused.kv.clone().put(put("k1", "v")).await, CORRUPT.0, CORRUPT.1);
        assert!(Watching::try_open(refused, create_all(1)).await.is_err(), "a watch");
        assert!(refused.snapshot().await.is_err(), "a snapshot of the wrong data");
        assert_eq!(members[0].stubs.range(get("k7")).await.expect("a read").kvs[0].value, "parts");

        soon("the rebuild", members[2].node.client().rebuild()).await.expect("rebuilt");
        until("the end of the fence", async || (!members[2].is_fenced()).then_some(())).await;
        members[0].stubs.alarm(AlarmAction::Deactivate, wrong, AlarmType::Corrupt).await;
        members[1].stubs.put("k7", "goes on").await;
        until("it follows", async || (members[2].hash().await == members[0].hash().await).then_some(())).await;
        let seen: Vec<_> = watching.events(3).await.iter().map(short).map(|(_, key, value, _)| (key, value)).collect();
        let wanted =
            [("k3", "says nothing yet"), ("k7", "parts"), ("k7", "goes on")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(seen, wanted);
        assert_eq!(members[2].stubs.range(get("k7")).await.expect("a read").kvs[0].version, 3);

        // and over a restart
        soon("the stop", members.pop().expect("three").node.stop()).await;
        members[0].stubs.put("k8", "meanwhile").await;
        members.push(Member::new(soon("the start", Node::start(configs[2].clone())).await.expect("starts")).await);
        members[1].stubs.put("k7", "and on").await;
        until("it follows", async || (members[2].hash().await == members[0].hash().await).then_some(())).await;
        assert!(members.iter().all(|member| !member.is_fenced() && member.corrupt().is_empty()));
        stop(members).await;
    });
}

#[test]
fn a_start_that_is_told_to_rebuild_serves_the_right_data() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let (mut configs, mut members) = damaged(dir.path(), 3).await;
        soon("the stop", members.pop().expect("three").node.stop()).await;
        members[0].stubs.put("k7", "parts").await;
        configs[2].rebuild = true;
        members.push(Member::new(soon("the start", Node::start(configs[2].clone())).await.expect("starts")).await);
        assert_eq!(members[2].stubs.range(get("k7")).await.expect("a read").kvs[0].version, 2);
        members[0].stubs.put("k7", "goes on").await;
        until("it follows", async || (members[2].hash().await == members[0].hash().await).then_some(())).await;
        assert!(members.iter().all(|member| !member.is_fenced() && member.corrupt().is_empty()));
        stop(members).await;
    });
}

#[test]
fn two_members_that_differ_name_nobody_and_fence_nobody() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let (_, members) = damaged(dir.path(), 2).await;
        members[0].stubs.put("k7", "parts").await;
        for member in &members {
            let named = [AlarmMember { member_id: 0, alarm: AlarmType::Corrupt }];
            until("the alarm", async || (member.corrupt() == named).then_some(())).await;
            assert!(!member.is_fenced());
        }
        stop(members).await;
    });
}

#[test]
fn a_sole_member_cannot_be_rebuilt() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let members = run(&configs(dir.path(), 1, Over::Sockets)).await;
        let refused = members[0].node.client().rebuild().await.expect_err("there is nobody");
        assert_eq!(refused.to_string(), "there is no other member");
        stop(members).await;
    });
}
