//! Three nodes in one actix system: nothing is shared, any order of stops, restarts on the same folders.

use embed::{Config, Node, NodeExit};
use harness::server::{in_system, quick_config};
use harness::{Stubs, soon};
use model::Command;
use model::request::PutRequest;
use std::path::Path;
use tempfile::TempDir;

async fn start(dir: &Path, name: &str) -> Node {
    let config = Config { initial_cluster_token: name.into(), ..quick_config(name, &dir.join(name)) };
    Node::start(config).await.unwrap_or_else(|why| panic!("{name} does not start: {why}"))
}

async fn put(node: &Node, key: &str, value: &str) -> i64 {
    let request = PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..PutRequest::default() };
    node.client().execute(Command::Put(request)).await.expect("put").0
}

async fn get(node: &Node, key: &str) -> Option<String> {
    let kv = node.client().get(key.to_owned()).await.expect("get")?;
    Some(String::from_utf8_lossy(&kv.value).into_owned())
}

#[test]
fn three_nodes_live_side_by_side_and_stop_in_any_order() {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let orders = [[0, 1, 2], [2, 0, 1], [1, 2, 0]];
        for (round, order) in orders.iter().enumerate() {
            let mut nodes = Vec::new();
            for name in NAMES {
                nodes.push(Some(start(dir.path(), name).await));
            }
            for (node, name) in nodes.iter().flatten().zip(NAMES) {
                if round > 0 {
                    assert_eq!(get(node, "who").await.as_deref(), Some(name), "each kept its own");
                    assert_eq!(get(node, "round").await, Some((round - 1).to_string()));
                }
                assert_eq!(put(node, "who", name).await, 2 + 2 * round as i64, "revisions are each node's own");
                put(node, "round", &round.to_string()).await;
            }
            for (place, which) in order.iter().enumerate() {
                let node = nodes[*which].take().expect("still running");
                let exit = node.exit();
                assert_eq!(exit.get(), None);
                soon("the stop", node.stop()).await;
                assert_eq!(exit.get(), Some(NodeExit::Stopped));
                for rest in &order[place + 1..] {
                    let other = nodes[*rest].as_ref().expect("still running");
                    assert_eq!(get(other, "who").await.as_deref(), Some(NAMES[*rest]), "the others go on");
                }
            }
        }
    });
}

#[test]
fn ids_differ_by_token_and_stay_over_restarts() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let mut before = Vec::new();
        for round in 0..2 {
            for (i, name) in ["one", "two"].into_iter().enumerate() {
                let node = start(dir.path(), name).await;
                let id = (node.client().ports().identity.cluster_id, node.client().ports().identity.member_id);
                if round == 0 {
                    assert!(!before.contains(&id));
                    before.push(id);
                }
                assert_eq!(before[i], id);
                node.stop().await;
            }
        }
    });
}

#[test]
fn in_process_and_remote_clients_see_the_same_store() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = start(dir.path(), "one").await;
        let stubs = Stubs::connect(&node.addresses()[0].to_string(), harness::PATIENCE).await.expect("connect");
        let revision = put(&node, "inside", "1").await;
        assert_eq!(stubs.range(harness::request::get("inside")).await.expect("get").kvs[0].mod_revision, revision);
        stubs.put("outside", "2").await;
        assert_eq!(get(&node, "outside").await.as_deref(), Some("2"));
        node.stop().await;
    });
}

#[test]
fn a_node_without_sockets_serves_its_host() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let config = Config { client_urls: Vec::new(), ..quick_config("mute", dir.path()) };
        let node = Node::start(config).await.expect("start");
        assert!(node.addresses().is_empty());
        put(&node, "k", "v").await;
        assert_eq!(get(&node, "k").await.as_deref(), Some("v"));
        node.stop().await;
    });
}

#[test]
fn many_starts_and_stops_leave_no_threads_and_no_descriptors() {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).map_or(0, Iterator::count);
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        start(dir.path(), "one").await.stop().await;
        let (threads, files) = (count("task"), count("fd"));
        for _ in 0..8 {
            let node = start(dir.path(), "one").await;
            put(&node, "k", "v").await;
            node.stop().await;
        }
        // other tests of this binary start and stop nodes at the same time: only a leak of every round would reach this
        assert!(count("task") < threads + 8 * 8, "threads: {} after {threads}", count("task"));
        assert!(count("fd") < files + 8 * 20, "descriptors: {} after {files}", count("fd"));
    });
}

#[test]
fn the_log_may_lie_in_another_folder() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let wal = dir.path().join("on another disk");
        let config = || Config { wal_dir: Some(wal.clone()), ..quick_config("apart", &dir.path().join("data")) };
        let node = Node::start(config()).await.expect("start");
        put(&node, "k", "v").await;
        node.stop().await;
        assert!(std::fs::read_dir(&wal).expect("the log's folder").count() > 0);
        assert!(!dir.path().join("data/member/wal").exists());
        let node = Node::start(config()).await.expect("start again");
        assert_eq!(get(&node, "k").await.as_deref(), Some("v"));
        node.stop().await;
        let without = quick_config("apart", &dir.path().join("data"));
        assert!(Node::start(without).await.is_err(), "a forgotten log folder is no new log");
        Node::start(config()).await.expect("nothing was harmed").stop().await;
    });
}
