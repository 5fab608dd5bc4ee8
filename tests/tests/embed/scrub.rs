//! Damage of data at rest, in real files: found by the scrubber, named, refused, and repaired from the leader.

use api::etcdserverpb::{AlarmAction, AlarmType};
use embed::{Config, Node};
use harness::damage::wrong_count;
use harness::members::{Over, configs, start};
use harness::request::get;
use harness::server::in_system;
use harness::{Stubs, soon, until};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tempfile::TempDir;

/// Enough for a file of each family.
const KEYS: usize = 200;

fn damaged_by(problems: &Node) -> u64 {
    problems.client().ports().gauges.scrub_problems.load(Relaxed)
}

async fn found_and_repaired(damage: fn(&Path)) {
    let dir = TempDir::new().expect("a folder");
    let mut configs: Vec<Config> = configs(dir.path(), 3, Over::Sockets);
    let nodes = start(&configs).await;
    let address = nodes[0].addresses()[0].to_string();
    let stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
    for n in 0..KEYS {
        stubs.put(format!("k{n:04}"), "value").await;
    }
    for node in &nodes {
        until("all applied", async || (node.client().ports().reads.position().0 == KEYS as i64 + 1).then_some(()))
            .await;
    }
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
    damage(&configs[2].data_dir.join("member/store"));
    configs[2].scrub_interval = Duration::from_millis(100);
    let nodes = start(&configs).await;
    let damaged = nodes[2].client();
    let id = damaged.ports().identity.member_id;
    until("the finding", async || (damaged_by(&nodes[2]) > 0).then_some(())).await;
    until("the fence", async || damaged.ports().gauges.fenced.load(Relaxed).then_some(())).await;
    assert!(damaged.get("k0000").await.is_err(), "it answers nothing");
    let address = nodes[0].addresses()[0].to_string();
    let stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
    until("the alarm", async || {
        let alarms = stubs.alarm(AlarmAction::Get, 0, AlarmType::None).await;
        alarms.iter().any(|alarm| alarm.member_id == id && alarm.alarm == AlarmType::Corrupt as i32).then_some(())
    })
    .await;
    soon("the rebuild", damaged.rebuild()).await.expect("rebuilt");
    stubs.alarm(AlarmAction::Deactivate, id, AlarmType::Corrupt).await;
    let scrubs = damaged.ports().gauges.scrubs.load(Relaxed);
    until("more readings", async || (damaged.ports().gauges.scrubs.load(Relaxed) > scrubs + 1).then_some(())).await;
    assert_eq!(damaged_by(&nodes[2]), 0);
    stubs.put("k0000", "after").await;
    let revision = stubs.range(get("k0000")).await.expect("a read").kvs[0].mod_revision;
    until("it follows", async || (damaged.ports().reads.position().0 == revision).then_some(())).await;
    let hashes =
        [damaged.hash_kv(revision).await.expect("hash"), nodes[0].client().hash_kv(revision).await.expect("hash")];
    assert_eq!(hashes[0].hash, hashes[1].hash);
    for node in nodes {
        soon("the stop", node.stop()).await;
    }
}

#[test]
fn a_count_that_is_wrong_is_found_and_repaired() {
    in_system(found_and_repaired(wrong_count));
}
