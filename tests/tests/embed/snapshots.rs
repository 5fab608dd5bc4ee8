//! A member that was away for longer than the others keep their log comes back by a snapshot, on real disks: RocksDB, files, and both
//! kinds of transport.

use embed::{Config, InitialState, Node};
use harness::members::{Over, configs, start};
use harness::server::in_system;
use harness::{Stubs, soon, until};
use messages::watch::{CreateWatch, WatchFrame};
use model::request::{LeaseGrantRequest, PutRequest};
use model::{Command, KeyRange, MemberChange};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use tempfile::TempDir;

const VALUE: usize = 64 << 10;

async fn put(node: &Node, key: &str) -> i64 {
    let put = PutRequest { key: key.to_owned().into(), value: vec![b'x'; VALUE].into(), ..PutRequest::default() };
    soon("the put", node.client().execute(Command::Put(put))).await.expect("put").0
}

/// So many values under a few keys, so that most of them are history.
async fn fill(node: &Node, count: usize) {
    for n in 0..count {
        put(node, &format!("key-{}", n % 20)).await;
    }
}

fn applied(node: &Node) -> u64 {
    node.client().ports().gauges.applied.load(Relaxed)
}

fn log_released(node: &Node) -> u64 {
    node.client().ports().gauges.log_released.load(Relaxed)
}

async fn stubs(node: &Node) -> Stubs {
    Stubs::connect(&node.addresses()[0].to_string(), harness::PATIENCE).await.expect("connect")
}

/// Stores of a member, as folders.
fn stores(dir: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join(name).join("member")).expect("a member's folder");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut stores: Vec<String> = names.filter(|name| name.starts_with("store")).collect();
    stores.sort_unstable();
    stores
}

async fn same_everywhere(nodes: &[Node]) {
    let revision = put(&nodes[0], "last").await;
    let mut hashes = Vec::new();
    for node in nodes {
        let stubs = stubs(node).await;
        until("the revision", async || (stubs.revision().await >= revision).then_some(())).await;
        hashes.push(stubs.hash_kv(revision).await.expect("hash").hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// A watch of everything from the beginning sees every revision.
async fn watch_everything(node: &Node, from: i64, to: i64) {
    let create = CreateWatch { start_revision: from, ..CreateWatch::new(KeyRange::new("key".into(), "kez".into())) };
    let mut watch = node.client().watch(create);
    let mut events = 0;
    while events <= to - from {
        for frame in soon("events", watch.next()).await.expect("frames") {
            if let WatchFrame::Events { events: more, .. } = frame {
                events += more.len() as i64;
            }
        }
    }
}

fn comes_back_by_a_snapshot(over: Over) {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = configs(dir.path(), 3, over);
        configs.iter_mut().for_each(|config| config.catch_up_entries = 10);
        let mut nodes = start(&configs).await;
        fill(&nodes[0], 20).await;
        let away = nodes.pop().expect("three");
        let before = away.client().ports().reads.status().revision;
        soon("the stop", away.stop()).await;
        let writer = until("somebody who leads", async || {
            nodes.iter().position(|node| {
                let ports = node.client();
                let ports = ports.ports();
                ports.gauges.leader_id() == Some(ports.identity.member_id)
            })
        })
        .await;
        let grant = Command::LeaseGrant(LeaseGrantRequest { id: 77, ttl: 3_600 });
        soon("the grant", nodes[writer].client().execute(grant)).await.expect("grant");
        fill(&nodes[writer], 250).await;
        let missing = applied(&nodes[writer]);
        fill(&nodes[writer], 50).await;
        // the log goes as far as the store is durable, and a defragmentation flushes it
        for node in &nodes {
            let defragment = api::etcdserverpb::DefragmentRequest {};
            stubs(node).await.maintenance.clone().defragment(defragment).await.expect("defragment");
            until("the log to go", async || (log_released(node) > missing).then_some(())).await;
        }
        fill(&nodes[writer], 250).await;

        let back = soon("the start", start(&configs[2..])).await.remove(0);
        until("the snapshot", async || (stores(dir.path(), "m3") != ["store"]).then_some(())).await;
        until("the old store to go", async || (stores(dir.path(), "m3").len() == 1).then_some(())).await;
        let revision = back.client().ports().reads.status().revision;
        watch_everything(&back, before + 1, revision.min(before + 550)).await;
        nodes.push(back);
        same_everywhere(&nodes).await;

        // it is a member like the others, and finds its store again
        soon("the stop", nodes.pop().expect("three").stop()).await;
        nodes.extend(start(&configs[2..]).await);
        assert_eq!(stores(dir.path(), "m3").len(), 1);
        same_everywhere(&nodes).await;
        for node in nodes {
            soon("the stop", node.stop()).await;
        }
    });
}

/// Adds the next member, and starts it.
async fn join(nodes: &mut Vec<Node>, configs: &[Config], learner: bool) -> u64 {
    let at = nodes.len();
    let peer_urls = configs[at].peer_urls.clone();
    let add = MemberChange::Add { peer_urls, learner, unix_seconds: 7 };
    let (id, _) = soon("the change", nodes[0].client().change_membership(add)).await.expect("added");
    let config = Config {
        initial_state: InitialState::Existing,
        initial_cluster: configs[at].initial_cluster[..=at].to_vec(),
        ..configs[at].clone()
    };
    nodes.push(soon("the start", start(&[config])).await.remove(0));
    id
}

/// A lone member keeps no log, so whoever joins it begins with a snapshot.
#[test]
fn a_cluster_grows_from_one_member_to_three() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut configs = configs(dir.path(), 3, Over::Sockets);
        configs.iter_mut().for_each(|config| config.strict_reconfig = false);
        let alone = Config { initial_cluster: configs[0].initial_cluster[..1].to_vec(), ..configs[0].clone() };
        let mut nodes = start(&[alone]).await;
        fill(&nodes[0], 100).await;
        join(&mut nodes, &configs, false).await;
        assert_ne!(stores(dir.path(), "m2"), ["store"], "it began with a snapshot");
        same_everywhere(&nodes).await;
        let learner = join(&mut nodes, &configs, true).await;
        assert_ne!(stores(dir.path(), "m3"), ["store"]);
        until("the promotion", async || {
            nodes[1].client().change_membership(MemberChange::Promote { id: learner }).await.ok()
        })
        .await;
        same_everywhere(&nodes).await;
        // two of them are enough, whoever goes
        soon("the stop", nodes.remove(0).stop()).await;
        until("a write", async || {
            let put = PutRequest { key: "k".into(), ..PutRequest::default() };
            nodes[0].client().execute(Command::Put(put)).await.ok()
        })
        .await;
        for node in nodes {
            soon("the stop", node.stop()).await;
        }
    });
}

#[test]
fn a_member_of_this_process_comes_back_by_a_snapshot() {
    comes_back_by_a_snapshot(Over::Queues);
}

#[test]
fn a_member_comes_back_by_a_snapshot_over_quic() {
    comes_back_by_a_snapshot(Over::Sockets);
}
