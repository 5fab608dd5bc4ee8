//! What the cluster sees of many clients: few watches, few renewals.

use crate::program::{Program, in_runtime};
use api::etcdserverpb as pb;
use harness::daemon::Settings;
use harness::watch::{Watching, create};
use harness::{Daemon, request, until};
use std::net::SocketAddr;
use tempfile::TempDir;

/// A number of a member's metrics.
async fn metric(member: SocketAddr, name: &str) -> f64 {
    let page = harness::http::get(member, "/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}

#[test]
fn watchers_of_one_range_share_one_watch_of_the_cluster() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
        let member = daemon.settings.address();
        let proxy = Program::start("grpc-proxy", &[member], &[]).await;
        let through = proxy.stubs().await;
        let from = through.put("k/0", "before").await.header.unwrap().revision;
        let mut watchers = Vec::new();
        for number in 0..40 {
            // some begin now, some with a revision of the past
            let start = if number % 2 == 0 { 0 } else { from };
            watchers.push((number, Watching::open(&through, create("k/", "k0", start)).await));
        }
        direct.put("k/1", "first").await;
        for (number, watching) in &mut watchers {
            let count = if *number % 2 == 0 { 1 } else { 2 };
            let events = watching.events(count).await;
            assert_eq!(events.len(), count, "watcher {number}");
            assert_eq!(events.last().unwrap().kv.as_ref().unwrap().key, "k/1");
        }
        until("one watch for all", async || {
            // another write lets those meet that could not before
            direct.put("k/2", "again").await;
            (metric(member, "etcd_debugging_mvcc_watcher_total").await <= 1.0).then_some(())
        })
        .await;
        let page = harness::http::get(proxy.address, "/proxy/metrics").await.body;
        assert!(page.contains("etcd_grpc_proxy_watchers_coalescing_total 39\n"), "{page}");
        drop(watchers);
        until("no watch for nobody", async || {
            (metric(member, "etcd_debugging_mvcc_watcher_total").await == 0.0).then_some(())
        })
        .await;
    });
}

#[test]
fn a_watch_behaves_as_at_a_member() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
        let proxy = Program::start("grpc-proxy", &[daemon.settings.address()], &[]).await;
        let through = proxy.stubs().await;
        for number in 0..5 {
            direct.put("k", number.to_string()).await;
        }
        let mut watching = Watching::open(&through, create("k", "", 3)).await;
        assert_eq!(watching.events(4).await.len(), 4);
        // ids: the next free one, one that was asked for, and one twice
        watching.create(create("k", "", 0));
        let second = watching.next().await;
        assert_eq!((second.watch_id, second.created), (1, true));
        watching.create(pb::WatchCreateRequest { watch_id: 7, ..create("k", "", 0) });
        assert_eq!(watching.next().await.watch_id, 7);
        watching.create(pb::WatchCreateRequest { watch_id: 7, ..create("k", "", 0) });
        let twice = watching.next().await;
        assert!(twice.canceled && twice.watch_id == -1);
        assert_eq!(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
        watching.create(create("k", "a", 0));
        assert_eq!(watching.next().await.cancel_reason, "mvcc: watcher range is empty");
        watching.cancel(7);
        let cancelled = watching.next().await;
        assert!(cancelled.canceled && cancelled.watch_id == 7 && !cancelled.created);
        // what was compacted away
        let compact = pb::CompactionRequest { revision: 5, physical: true };
        through.kv.clone().compact(compact).await.unwrap();
        watching.create(create("k", "", 2));
        let mut answer = watching.next().await;
        if !answer.canceled {
            answer = watching.next().await;
        }
        assert!(answer.canceled && answer.compact_revision == 5, "{answer:?}");
    });
}

#[test]
fn renewals_of_one_lease_share_a_call() {
    in_runtime(async {
        let dir = TempDir::new().unwrap();
        let (daemon, _direct) = Daemon::start(Settings::new(dir.path().join("m"))).await;
        let member = daemon.settings.address();
        let proxy = Program::start("grpc-proxy", &[member], &["--namespace", "n/"]).await;
        let through = proxy.stubs().await;
        let mut lease = through.lease.clone();
        let grant = pb::LeaseGrantRequest { ttl: 60, id: 0 };
        let id = lease.lease_grant(grant).await.unwrap().into_inner().id;
        let put = pb::PutRequest { lease: id, ..request::put("k", "v") };
        through.kv.clone().put(put).await.unwrap();
        let before = metric(member, "etcd_debugging_lease_renewed_total").await;
        for _ in 0..10 {
            let five = futures_util::stream::iter((0..5).map(move |_| pb::LeaseKeepAliveRequest { id }));
            let mut answers = lease.lease_keep_alive(five).await.unwrap().into_inner();
            for _ in 0..5 {
                let answer = answers.message().await.unwrap().expect("an answer for each request");
                assert!(answer.id == id && (50..=60).contains(&answer.ttl), "{answer:?}");
            }
            assert!(answers.message().await.unwrap().is_none(), "it ends behind the last one");
        }
        let calls = metric(member, "etcd_debugging_lease_renewed_total").await - before;
        assert!(calls <= 12.0, "{calls} calls for 50 renewals");
        let ask = pb::LeaseTimeToLiveRequest { id, keys: true };
        assert_eq!(lease.lease_time_to_live(ask).await.unwrap().into_inner().keys, ["k"]);
        lease.lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
        let one = futures_util::stream::iter([pb::LeaseKeepAliveRequest { id }]);
        let answer = lease.lease_keep_alive(one).await.unwrap().into_inner().message().await.unwrap().unwrap();
        assert_eq!(answer.ttl, 0, "a lease that was revoked is not renewed from memory");
    });
}
