//! How a node ends: everybody who waits hears of it, and its folder is free.

use crate::{AutoCompaction, Client, ClientError, Config, Node, NodeExit, StartError};
use messages::RequestError;
use messages::lease::LeaseAsk;
use messages::watch::CreateWatch;
use model::request::PutRequest;
use model::{Command, KeyRange};
use std::future::Future;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;
use tempfile::TempDir;

fn quick(dir: &TempDir) -> Config {
    Config {
        heartbeat: Duration::from_millis(10),
        election: Duration::from_millis(100),
        connection_threads: 1,
        ..Config::new("a", dir.path())
    }
}

fn in_system<T>(test: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(async { soon(test).await })
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("within a minute")
}

async fn put(client: &Client, key: &'static str) -> Result<(), ClientError> {
    put_value(client, key, b"v".to_vec()).await
}

async fn put_value(client: &Client, key: &'static str, value: Vec<u8>) -> Result<(), ClientError> {
    let put = PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
    client.execute(Command::Put(put)).await.map(|_| ())
}

const STOPPED: ClientError = ClientError::Request(RequestError::Stopped);

#[test]
fn callers_and_watches_hear_that_the_node_stopped() {
    let dir = TempDir::new().expect("a folder");
    in_system(async {
        let node = Node::start(quick(&dir)).await.expect("start");
        let client = node.client();
        put(&client, "k").await.expect("put");
        let create = CreateWatch::new(KeyRange::new("k".into(), "".into()));
        let mut watch = client.watch(create.clone());
        node.stop().await;
        while soon(watch.next()).await.is_some() {}
        assert_eq!(soon(put(&client, "k")).await, Err(STOPPED));
        assert_eq!(soon(client.get("k")).await, Err(STOPPED));
        assert_eq!(soon(client.lease(LeaseAsk::List)).await.err(), Some(RequestError::Stopped));
        assert!(soon(client.watch(create).next()).await.is_none(), "a watch of a stopped node ends at once");
        let again = Node::start(quick(&dir)).await.expect("clients and watches that are kept do not lock the folder");
        assert!(again.client().get("k").await.expect("get").is_some());
        assert!(client.ports().reads.status().revision > 1, "numbers stay");
        again.stop().await;
    });
}

/// Starts a node as soon as its folder is free.
async fn start_when_free(config: Config) -> Node {
    loop {
        match Node::start(config.clone()).await {
            Ok(node) => return node,
            Err(StartError::Bootstrap(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(why) => panic!("{why}"),
        }
    }
}

#[test]
fn a_node_that_is_dropped_ends_and_frees_its_folder() {
    let dir = TempDir::new().expect("a folder");
    in_system(async {
        let config = Config { auto_compaction: Some(AutoCompaction::Revision(10)), ..quick(&dir) };
        let node = Node::start(config.clone()).await.expect("start");
        put(&node.client(), "k").await.expect("put");
        let exit = node.exit();
        drop(node);
        assert_eq!(soon(exit.wait()).await, NodeExit::Stopped);
        for patience in [0, 1, 3, 10, 30, 100] {
            // given up at some point of its start
            let started = tokio::time::timeout(Duration::from_millis(patience), Node::start(config.clone())).await;
            drop(started);
        }
        let node = start_when_free(config).await;
        assert!(node.client().get("k").await.expect("get").is_some());
        node.stop().await;
    });
}

#[test]
fn a_failed_node_is_not_healthy_and_answers_nobody_late() {
    let dir = TempDir::new().expect("a folder");
    in_system(async {
        let node = Node::start(quick(&dir)).await.expect("start");
        let client = node.client();
        let why = NodeExit::Failed { actor: "test", why: "on purpose".into() };
        node.exit().set(why.clone());
        assert_eq!(soon(node.stopped()).await, why);
        while client.ports().gauges.serving.load(Acquire) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(soon(put(&client, "k")).await, Err(STOPPED));
        node.stop().await;
    });
}

#[test]
fn automatic_compaction_does_not_hold_the_folder() {
    let dir = TempDir::new().expect("a folder");
    in_system(async {
        for _ in 0..2 {
            let config = Config { auto_compaction: Some(AutoCompaction::Revision(10)), ..quick(&dir) };
            let node = Node::start(config).await.expect("the folder is free");
            put(&node.client(), "k").await.expect("put");
            node.stop().await;
        }
    });
}

/// A node with the least memory does what any other one does.
#[test]
fn the_least_memory_budget_serves() {
    let dir = TempDir::new().expect("a folder");
    in_system(async {
        let config = Config { memory_budget: 0, ..quick(&dir) };
        let largest = config.max_request_bytes - 1024;
        let node = Node::start(config).await.expect("it starts");
        let client = node.client();
        for round in 0..8 {
            let value = vec![round; largest];
            put_value(&client, "a large value", value).await.expect("the largest request finds room");
        }
        node.stop().await;
    });
}
