//! `kill -9` with a lock held and waited for: keys and leases are as they were, and nobody holds it twice.
//!
//! Must never depend on what a client was told after the kill: it was told nothing.

use api::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest};
use api::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use harness::daemon::Settings;
use harness::request::{bytes, prefix};
use harness::{Daemon, PATIENCE, Stubs, soon};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Status;

async fn lease(stubs: &Stubs, ttl: i64) -> i64 {
    stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl, id: 0 }).await.expect("grant").into_inner().id
}

/// A lock call on its way.
fn lock(stubs: &Stubs, lease: i64) -> JoinHandle<Result<LockResponse, Status>> {
    let mut own = stubs.lock.clone();
    tokio::spawn(
        async move { own.lock(LockRequest { name: bytes("l"), lease }).await.map(tonic::Response::into_inner) },
    )
}

async fn outcome(call: JoinHandle<Result<LockResponse, Status>>) -> Result<LockResponse, Status> {
    tokio::time::timeout(PATIENCE, call).await.expect("an answer in time").expect("the call's task")
}

/// Leases of the lock's keys, oldest first, with the revisions that created them.
async fn queue(stubs: &Stubs) -> Vec<(i64, i64)> {
    let answer = stubs.range(prefix("l/")).await.expect("range");
    let mut all: Vec<_> = answer.kvs.into_iter().map(|kv| (kv.create_revision, kv.lease)).collect();
    all.sort_unstable();
    all
}

async fn until_queue(stubs: &Stubs, length: usize) {
    let what = format!("{length} keys");
    harness::until(&what, async || (queue(stubs).await.len() == length).then_some(())).await;
}

#[tokio::test]
async fn a_killed_server_keeps_the_queue_as_it_was() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    // the second one's lease is short: its client dies with the server
    let mut leases = Vec::new();
    for ttl in [1000, 4, 1000, 1000] {
        leases.push(lease(&stubs, ttl).await);
    }
    let held = outcome(lock(&stubs, leases[0])).await.expect("the lock");
    let mut waiters = Vec::new();
    for (at, lease) in leases.iter().enumerate().skip(1) {
        waiters.push(lock(&stubs, *lease));
        until_queue(&stubs, at + 1).await;
    }
    let before = queue(&stubs).await;
    assert_eq!(before.iter().map(|(_, lease)| *lease).collect::<Vec<_>>(), leases);
    let settings = daemon.kill();
    for waiter in waiters {
        outcome(waiter).await.expect_err("nobody got it");
    }

    let (daemon, stubs) = Daemon::start(settings).await;
    let after = queue(&stubs).await;
    assert!(after == before || after.iter().all(|entry| before.contains(entry)), "{after:?} instead of {before:?}");
    assert_eq!(after[0], before[0], "the holder still holds it");
    for lease in [leases[0], leases[2], leases[3]] {
        let request = LeaseTimeToLiveRequest { id: lease, keys: true };
        let answer = stubs.lease.clone().lease_time_to_live(request).await.expect("time to live").into_inner();
        assert_eq!((answer.granted_ttl, answer.keys), (1000, vec![bytes(format!("l/{lease:x}"))]));
    }
    // those that come back have their old places, in whatever order they ask
    let last = lock(&stubs, leases[3]);
    let middle = lock(&stubs, leases[2]);
    until_queue(&stubs, 3).await;
    assert_eq!(
        queue(&stubs).await,
        [before[0], before[2], before[3]],
        "the short lease has ended, nothing else changed"
    );
    assert!(!last.is_finished() && !middle.is_finished());
    for (held, next) in [(held.key, middle), (bytes(format!("l/{:x}", leases[2])), last)] {
        stubs.lock.clone().unlock(UnlockRequest { key: held }).await.expect("unlock");
        soon("the next turn", outcome(next)).await.expect("the lock");
    }
    drop(daemon);
}
