//! A host's actix actor that holds a client: writes, watches, and sees the node end.

use actix::prelude::*;
use embed::{Client, Node};
use harness::server::{in_system, quick_config};
use harness::soon;
use messages::watch::{CreateWatch, WatchFrame};
use model::request::PutRequest;
use model::{Command, KeyRange};
use tempfile::TempDir;

/// Counts in the store.
struct Counter {
    store: Client,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "Result<i64, String>")]
struct Add(&'static str);

impl Handler<Add> for Counter {
    type Result = ResponseFuture<Result<i64, String>>;

    fn handle(&mut self, Add(key): Add, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move {
            let version = store.get(key).await.map_err(|e| e.to_string())?.map_or(0, |kv| kv.version);
            let value = (version + 1).to_string().into();
            let put = PutRequest { key: key.into(), value, ..PutRequest::default() };
            store.execute(Command::Put(put)).await.map_err(|e| e.to_string())?;
            Ok(version + 1)
        })
    }
}

fn everything_from(start_revision: i64) -> CreateWatch {
    CreateWatch { start_revision, ..CreateWatch::new(KeyRange::new(vec![0].into(), vec![0].into())) }
}

#[test]
fn an_actor_of_the_host_writes_and_a_watch_follows() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("host", dir.path())).await.expect("start");
        let mut watch = node.client().watch(everything_from(0));
        // a watch of what comes begins where it is made, which is told
        let made = soon("the watch", watch.next()).await.expect("the node runs");
        assert!(matches!(made[..], [WatchFrame::Created { .. }]), "{made:?}");
        let counter = Counter { store: node.client() }.start();
        for round in 1..=20 {
            assert_eq!(counter.send(Add("visits")).await.expect("the actor lives"), Ok(round));
        }
        // several revisions may come in one frame
        let (mut seen, mut newest) = (0, 0);
        while seen < 20 {
            for frame in soon("a frame", watch.next()).await.expect("the node runs") {
                if let WatchFrame::Events { revision, events, .. } = frame {
                    assert!(revision > newest, "{revision} behind {newest}");
                    (seen, newest) = (seen + events.len(), revision);
                }
            }
        }
        assert_eq!((seen, newest), (20, 21));
        drop(watch);
        node.stop().await;
        let after = soon("an answer after the stop", counter.send(Add("visits"))).await.expect("the actor lives");
        assert!(after.is_err(), "a stopped node takes no writes: {after:?}");
    });
}

#[test]
fn the_hosts_loop_stays_free_while_a_node_works() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("host", dir.path())).await.expect("start");
        let client = node.client();
        let writing = async {
            for i in 0..300 {
                let put =
                    PutRequest { key: format!("k{i}").into(), value: vec![0; 10_000].into(), ..Default::default() };
                client.execute(Command::Put(put)).await.expect("put");
            }
        };
        let mut turns = 0_u64;
        let other = async {
            loop {
                tokio::task::yield_now().await;
                turns += 1;
            }
        };
        tokio::select! {
            () = writing => {}
            () = other => {}
        }
        assert!(turns > 300, "{turns} turns of the host's loop");
        node.stop().await;
    });
}

#[test]
fn whoever_waits_inside_the_process_is_told_of_the_stop() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("host", dir.path())).await.expect("start");
        let mut watch = node.client().watch(everything_from(0));
        soon("the created frame", watch.next()).await.expect("the node runs");
        let waiting = actix_rt::spawn(async move { while watch.next().await.is_some() {} });
        let client = node.client();
        let writing = actix_rt::spawn(async move {
            let put = || PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
            while client.execute(Command::Put(put())).await.is_ok() {}
        });
        node.stop().await;
        soon("the end of the watch", waiting).await.expect("a task");
        soon("the end of the writes", writing).await.expect("a task");
    });
}

#[test]
fn a_client_that_is_kept_does_not_keep_the_folder() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("host", dir.path())).await.expect("start");
        let kept = node.client();
        node.stop().await;
        let again = Node::start(quick_config("host", dir.path())).await.expect("the folder is free");
        let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        assert!(soon("a refusal", kept.execute(Command::Put(put))).await.is_err());
        again.stop().await;
    });
}
