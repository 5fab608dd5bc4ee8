//! Members whose data differ: found before service, by a leader that compares, and at compactions.

use embed::{Config, CorruptionChecks, Node};
use harness::members::{Over, configs, start};
use harness::server::in_system;
use harness::{soon, until};
use model::request::{AlarmType, CompactionRequest, PutRequest};
use model::{AlarmMember, Command};
use std::path::Path;
use std::time::Duration;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use tempfile::TempDir;

async fn put(node: &Node, key: &str) {
    let request = PutRequest { key: key.to_owned().into(), value: "value".into(), ..PutRequest::default() };
    soon("the put", node.client().execute(Command::Put(request))).await.expect("put");
}

fn id(node: &Node) -> u64 {
    node.client().ports().identity.member_id
}

/// Changes one byte of the newest value in the store of a member that does not run, as a bug or bad memory would.
fn damage(data_dir: &Path) {
    let engine = RocksEngine::open(&data_dir.join("member/store"), &RocksOptions::default()).expect("the store opens");
    let row = {
        let snapshot = engine.snapshot();
        let mut rows = snapshot.scan(Family::Log, &[], None, Direction::Backward);
        let (key, row) = rows.next().expect("it reads").expect("there are rows");
        (key.to_vec(), row.to_vec())
    };
    let (key, mut value) = row;
    *value.last_mut().expect("a row is not empty") ^= 1;
    engine.write(vec![Op::Put { family: Family::Log, key: key.into(), value: value.into() }]).expect("written");
    engine.flush().expect("flushed");
}

/// Three members, stopped, the last of which has other data.
async fn with_a_damaged_one(dir: &Path) -> Vec<Config> {
    let configs = configs(dir, 3, Over::Sockets);
    let nodes = start(&configs).await;
    for n in 0..20 {
        put(&nodes[0], &format!("k{n}")).await;
    }
    for node in &nodes {
        until("all applied", async || (node.client().ports().reads.position().0 == 21).then_some(())).await;
    }
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
    damage(&configs[2].data_dir);
    configs
}

fn corrupt(node: &Node) -> Vec<u64> {
    let alarms = node.client().ports().reads.status().alarms;
    let corrupt = |alarm: &&AlarmMember| alarm.alarm == AlarmType::Corrupt;
    alarms.iter().filter(corrupt).map(|alarm| alarm.member_id).collect()
}

#[test]
fn a_member_with_other_data_does_not_begin_to_serve() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = with_a_damaged_one(dir.path()).await;
        configs.iter_mut().for_each(|config| config.corruption_checks.initial = true);
        let nodes = start(&configs[..2]).await;
        let refused = soon("the refusal", Node::start(configs[2].clone())).await.err().expect("it is damaged");
        assert!(refused.to_string().contains("found data inconsistency with peers"), "{refused}");
        put(&nodes[1], "goes on").await;
        for node in nodes {
            soon("the stop", node.stop()).await;
        }
    });
}

/// What a leader with these checks says of the damaged member, which joined after the others had elected it.
async fn found_by(checks: CorruptionChecks, compact: bool) {
    let dir = TempDir::new().expect("a folder");
    let mut configs = with_a_damaged_one(dir.path()).await;
    configs.iter_mut().for_each(|config| config.corruption_checks = checks);
    let mut nodes = start(&configs[..2]).await;
    nodes.extend(start(&configs[2..]).await);
    if compact {
        let compaction = CompactionRequest { revision: 21, physical: true };
        soon("the compaction", nodes[0].client().execute(Command::Compaction(compaction))).await.expect("compacted");
    }
    let damaged = id(&nodes[2]);
    for node in &nodes {
        until("the alarm", async || (corrupt(node) == [damaged]).then_some(())).await;
    }
    let request = PutRequest { key: "refused".into(), ..PutRequest::default() };
    assert!(nodes[0].client().execute(Command::Put(request)).await.is_err(), "nobody writes while it stands");
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
}

#[test]
fn a_leader_that_compares_finds_the_member_with_other_data() {
    let checks = CorruptionChecks { periodic: Some(Duration::from_millis(200)), ..CorruptionChecks::default() };
    in_system(found_by(checks, false));
}

#[test]
fn hashes_of_compactions_show_the_member_with_other_data() {
    let checks = CorruptionChecks { compaction: Some(Duration::from_millis(200)), ..CorruptionChecks::default() };
    in_system(found_by(checks, true));
}
