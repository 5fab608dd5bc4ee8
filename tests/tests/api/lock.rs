//! Lock and Unlock: who gets it, in which order, and what becomes of a waiter whose client, lease or patience ends.
//!
//! Must pass against etcd as well, but for what says so (see `claims`).

use crate::claims::{
    claims, granted_ttl, is_foreign, lease, lock, name, on_either, outcome, revoke, unlock, until_claims, waiting,
};
use api::etcdserverpb::CompactionRequest;
use api::v3lockpb::{LockRequest, UnlockRequest};
use harness::request::{bytes, get};
use harness::{Stubs, expect_status};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::{Code, Request};

#[test]
fn the_first_one_gets_it_at_once() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("first"));
        let lease = lease(&stubs, 100).await;
        let before = stubs.revision().await;
        let got = lock(&stubs, &name, lease).await.expect("the lock");
        assert_eq!(got.key, format!("{name}/{lease:x}"));
        let header = got.header.expect("a header");
        assert_eq!(header.revision, before + 1);
        assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0);
        let kv = stubs.range(get(&got.key)).await.expect("range").kvs.remove(0);
        assert_eq!((kv.lease, kv.value.len(), kv.create_revision), (lease, 0, header.revision));
        // the same lease has it already: nothing is written
        let again = lock(&stubs, &name, lease).await.expect("again");
        assert_eq!((again.key, again.header.expect("a header").revision), (got.key.clone(), header.revision));
        assert_eq!(unlock(&stubs, &got.key).await, before + 2);
        assert_eq!(stubs.range(get(&got.key)).await.expect("range").count, 0);
        // what is not there can be unlocked
        assert_eq!(unlock(&stubs, &got.key).await, before + 2);
    });
}

#[test]
fn a_call_without_a_lease_gets_one_for_a_minute() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("sessionless"));
        let got = lock(&stubs, &name, 0).await.expect("the lock");
        let (lease, _) = claims(&stubs, &name).await[0];
        assert_eq!(got.key, format!("{name}/{lease:x}"));
        assert_eq!(granted_ttl(&stubs, lease).await, 60);
        let second = waiting(&stubs, &name, 0).await;
        unlock(&stubs, &got.key).await;
        let got = outcome(second).await.expect("the second one");
        let (other, _) = claims(&stubs, &name).await[0];
        assert_ne!(lease, other, "each call has a lease of its own");
        assert_eq!(got.key, format!("{name}/{other:x}"));
    });
}

#[test]
fn turns_come_in_the_order_of_arrival() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("order"));
        let mut leases = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..6 {
            let (own, lease) = (door.connect().await, lease(&stubs, 100).await);
            calls.push(waiting(&own, &name, lease).await);
            leases.push(lease);
        }
        // one in the middle goes: the one behind it must not come before its turn
        revoke(&stubs, leases.remove(2)).await;
        let lost = calls.remove(2);
        let mut last = 0;
        for (at, call) in calls.into_iter().enumerate() {
            let got = outcome(call).await.expect("a turn");
            assert_eq!(got.key, format!("{name}/{:x}", leases[at]));
            let standing: Vec<i64> = claims(&stubs, &name).await.into_iter().map(|(lease, _)| lease).collect();
            assert_eq!(standing, leases[at..], "all that came later still wait");
            let revision = got.header.expect("a header").revision;
            assert!(revision > last, "revisions of owners grow: {revision} after {last}");
            last = revision;
            unlock(&stubs, &got.key).await;
        }
        expect_status("its lease is gone", outcome(lost).await, Code::Unknown, "mutex: session is expired");
    });
}

#[test]
fn a_waiter_ends_at_once_when_its_own_lease_is_revoked() {
    on_either(async |door| {
        let stubs = door.connect().await;
        let name = name("own-lease");
        let holder = lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        let own = lease(&stubs, 100).await;
        let waiter = waiting(&stubs, &name, own).await;
        let behind = waiting(&stubs, &name, lease(&stubs, 100).await).await;
        revoke(&stubs, own).await;
        if is_foreign() {
            // etcd lets it wait until the holder leaves
            unlock(&stubs, &holder.key).await;
        }
        expect_status("its lease is gone", outcome(waiter).await, Code::Unknown, "mutex: session is expired");
        if !is_foreign() {
            assert!(!behind.is_finished(), "the holder still has it");
            unlock(&stubs, &holder.key).await;
        }
        outcome(behind).await.expect("the one behind it");
    });
}

#[test]
fn a_waiter_in_a_long_queue_ends_at_once_when_its_key_is_deleted() {
    if is_foreign() {
        return;
    }
    on_either(async |door| {
        let stubs = door.connect().await;
        let name = name("long-queue");
        lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        // more keys than a connection thread reads by itself
        let mut waiters = Vec::new();
        for _ in 0..80 {
            waiters.push(waiting(&stubs, &name, lease(&stubs, 100).await).await);
        }
        let own = lease(&stubs, 100).await;
        let waiter = waiting(&stubs, &name, own).await;
        stubs.delete(format!("{name}/{own:x}"), "").await;
        expect_status("its key is gone", outcome(waiter).await, Code::Unknown, "mutex: session is expired");
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()), "the others go on waiting");
        waiters.iter().for_each(JoinHandle::abort);
    });
}

#[test]
fn what_cannot_be_locked_is_refused() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("refused"));
        let not_found = "etcdserver: requested lease not found";
        for lease in [99, -1, i64::MIN] {
            expect_status("no such lease", lock(&stubs, &name, lease).await, Code::Unknown, not_found);
        }
        assert_eq!(claims(&stubs, &name).await, []);
        let empty = stubs.lock.clone().unlock(UnlockRequest { key: bytes("") }).await;
        expect_status("no key", empty, Code::Unknown, "etcdserver: key is not provided");
        let lease = lease(&stubs, 100).await;
        let long = "x".repeat(1_600_000);
        expect_status("long", lock(&stubs, &long, lease).await, Code::Unknown, "etcdserver: request is too large");
    });
}

#[test]
fn a_negative_lease_is_written_with_its_sign() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("negative"));
        let id = -i64::from(std::process::id()) - 7_000_000;
        let grant = api::etcdserverpb::LeaseGrantRequest { ttl: 100, id };
        stubs.lease.clone().lease_grant(grant).await.expect("grant");
        let got = lock(&stubs, &name, id).await.expect("the lock");
        assert_eq!(got.key, format!("{name}/-{:x}", id.unsigned_abs()));
        revoke(&stubs, id).await;
    });
}

#[test]
fn giving_up_leaves_no_key_behind() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("cancel"));
        let holder = lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        let (first, second) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        let cancelled = waiting(&stubs, &name, first).await;
        let behind = waiting(&stubs, &name, second).await;
        cancelled.abort();
        until_claims(&stubs, &name, 2).await;
        assert!(!behind.is_finished(), "the holder still has it");
        // a client's own deadline
        let mut request = Request::new(LockRequest { name: bytes(&name), lease: first });
        request.set_timeout(Duration::from_millis(300));
        let late = stubs.lock.clone().lock(request).await.expect_err("it is held");
        assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late:?}");
        until_claims(&stubs, &name, 2).await;
        unlock(&stubs, &holder.key).await;
        let got = outcome(behind).await.expect("the lock");
        assert_eq!(got.key, format!("{name}/{second:x}"));
    });
}

#[test]
fn a_waiter_that_dies_makes_way() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("death"));
        let holder = lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        let (first, second) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        // a client on a runtime of its own, which is torn down with all its connections
        let dying =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let address = door.address().to_owned();
        let (whose, before) = (name.clone(), claims(&stubs, &name).await.len());
        dying.spawn(async move {
            let own = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect");
            let _ = lock(&own, &whose, first).await;
        });
        until_claims(&stubs, &name, before + 1).await;
        let behind = waiting(&stubs, &name, second).await;
        dying.shutdown_background();
        until_claims(&stubs, &name, 2).await;
        unlock(&stubs, &holder.key).await;
        assert_eq!(outcome(behind).await.expect("the lock").key, format!("{name}/{second:x}"));
    });
}

#[test]
fn a_holder_that_dies_keeps_it_until_its_lease_ends() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("expiry"));
        let (short, long) = (lease(&stubs, 2).await, lease(&stubs, 100).await);
        let dead = door.connect().await;
        lock(&dead, &name, short).await.expect("the lock");
        drop(dead);
        let behind = waiting(&stubs, &name, long).await;
        assert!(!behind.is_finished(), "its lease still lives");
        let got = outcome(behind).await.expect("the lock");
        assert_eq!(got.key, format!("{name}/{long:x}"));
        assert_eq!(claims(&stubs, &name).await.len(), 1);
    });
}

#[test]
fn a_waiter_keeps_its_place_when_it_comes_back() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("again"));
        let holder = lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        let (first, second) = (lease(&stubs, 100).await, lease(&stubs, 100).await);
        let one = waiting(&stubs, &name, first).await;
        let two = waiting(&stubs, &name, second).await;
        // the same lease asks twice: both calls are about one key
        let (own, whose) = (stubs.clone(), name.clone());
        let one_again = tokio::spawn(async move { lock(&own, &whose, first).await });
        unlock(&stubs, &holder.key).await;
        let (a, b) = (outcome(one).await.expect("first"), outcome(one_again).await.expect("first again"));
        assert_eq!(a.key, b.key);
        assert_eq!(claims(&stubs, &name).await.len(), 2);
        assert!(!two.is_finished());
        unlock(&stubs, &a.key).await;
        assert_eq!(outcome(two).await.expect("second").key, format!("{name}/{second:x}"));
    });
}

#[test]
fn any_older_key_under_the_name_is_waited_for() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("foreign"));
        let inner = format!("{name}/inner");
        stubs.put(format!("{name}/by-hand"), "x").await;
        let nested = lock(&stubs, &inner, lease(&stubs, 100).await).await.expect("the inner lock is another one");
        let outer = waiting(&stubs, &name, lease(&stubs, 100).await).await;
        // changed, not deleted: still there
        stubs.put(format!("{name}/by-hand"), "y").await;
        stubs.put(format!("{name}/late"), "younger keys do not matter").await;
        unlock(&stubs, &nested.key).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!outer.is_finished());
        stubs.delete(format!("{name}/by-hand"), "").await;
        outcome(outer).await.expect("the lock");
    });
}

#[test]
fn a_compaction_does_not_disturb_waiters() {
    if is_foreign() {
        // etcd answers "required revision has been compacted" when the compaction overtakes the watch it is about to open
        return;
    }
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("compaction"));
        let holder = lock(&stubs, &name, lease(&stubs, 100).await).await.expect("the lock");
        let behind = waiting(&stubs, &name, lease(&stubs, 100).await).await;
        for _ in 0..3 {
            let revision = stubs.put(format!("{name}-other"), "x").await.header.expect("a header").revision;
            stubs.kv.clone().compact(CompactionRequest { revision, physical: true }).await.expect("compact");
        }
        unlock(&stubs, &holder.key).await;
        outcome(behind).await.expect("the lock");
    });
}

#[test]
fn a_thousand_waiters_each_get_their_turn() {
    on_either(async |door| {
        const WAITERS: usize = 1_000;
        let (stubs, name) = (door.connect().await, name("crowd"));
        let holder = lock(&stubs, &name, lease(&stubs, 1000).await).await.expect("the lock");
        let (sender, mut turns) = tokio::sync::mpsc::unbounded_channel();
        for connection in 0..10 {
            let own = door.connect().await;
            for _ in 0..WAITERS / 10 {
                let (own, name, sender) = (own.clone(), name.clone(), sender.clone());
                tokio::spawn(async move {
                    let got = lock(&own, &name, 0).await;
                    sender.send((connection, got)).expect("the test waits");
                });
            }
        }
        until_claims(&stubs, &name, WAITERS + 1).await;
        let order = claims(&stubs, &name).await;
        unlock(&stubs, &holder.key).await;
        for (lease, _) in &order[1..] {
            let (_, got) = harness::soon("a turn", turns.recv()).await.expect("waiters");
            let got = got.expect("the lock");
            assert_eq!(got.key, format!("{name}/{lease:x}"), "in the order of creation");
            unlock(&stubs, &got.key).await;
        }
        assert_eq!(claims(&stubs, &name).await, []);
    });
}

#[test]
fn a_stop_ends_waiters_and_takes_their_keys_along() {
    if is_foreign() {
        return;
    }
    harness::server::in_system(async {
        let server = harness::Server::start(|_| ()).await;
        let stubs = server.stubs.clone();
        let holder = lease(&stubs, 1000).await;
        lock(&stubs, "stop", holder).await.expect("the lock");
        let waiter = waiting(&stubs, "stop", lease(&stubs, 1000).await).await;
        let dir = server.stop().await;
        let refused = outcome(waiter).await;
        expect_status("stopped", refused, Code::Unavailable, "etcdserver: server stopped");
        let server = harness::Server::start_in(dir, |_| ()).await;
        let left: Vec<i64> = claims(&server.stubs, "stop").await.into_iter().map(|(lease, _)| lease).collect();
        assert_eq!(left, [holder], "whoever got an error is in no queue");
        server.stop().await;
    });
}

#[test]
fn what_waiters_may_keep_is_bounded() {
    if is_foreign() {
        return;
    }
    // half of what the door's one loop admits of requests
    let one_loop = |config: &mut embed::Config| config.connection_threads = 1;
    harness::server::on_server_with(one_loop, async |server| {
        // a call keeps its name twice: as key and as prefix
        const NAME: usize = 400_000;
        const FIT: usize = (16 << 20) / (2 * NAME + 256);
        let (stubs, name) = (&server.stubs, "n".repeat(NAME));
        let holder = lock(stubs, &name, lease(stubs, 1000).await).await.expect("the lock");
        let mut waiters = Vec::new();
        for _ in 0..FIT + 3 {
            let (own, name) = (stubs.clone(), name.clone());
            waiters.push(tokio::spawn(async move { lock(&own, &name, 0).await }));
        }
        until_claims(stubs, &name, FIT + 1).await;
        let mut refused = 0;
        harness::until("the refusals", async || {
            refused = waiters.iter().filter(|waiter| waiter.is_finished()).count();
            (refused == 3).then_some(())
        })
        .await;
        for waiter in waiters.extract_if(.., |waiter| waiter.is_finished()) {
            expect_status("one more", outcome(waiter).await, Code::Unknown, "etcdserver: too many requests");
        }
        // others are served meanwhile, and what is given back is there again
        stubs.put("k", "v").await;
        waiters.iter().for_each(JoinHandle::abort);
        until_claims(stubs, &name, 1).await;
        let next = waiting(stubs, &name, 0).await;
        unlock(stubs, &holder.key).await;
        outcome(next).await.expect("the lock");
    });
}

#[test]
fn giving_up_a_second_call_leaves_the_holder_alone() {
    on_either(async |door| {
        let (stubs, name) = (door.connect().await, name("twice"));
        let holder = lease(&stubs, 100).await;
        let got = lock(&stubs, &name, holder).await.expect("the lock");
        // a long queue: looking at it takes a while
        for at in 0..200 {
            stubs.put(format!("{name}/z{at}"), "younger").await;
        }
        for pause in 0..60 {
            let (own, whose) = (stubs.clone(), name.clone());
            let second = tokio::spawn(async move { lock(&own, &whose, holder).await });
            tokio::time::sleep(Duration::from_micros(pause * 25)).await;
            second.abort();
        }
        assert_eq!(lock(&stubs, &name, holder).await.expect("still ours").key, got.key);
        let kv = stubs.range(get(&got.key)).await.expect("range").kvs.remove(0);
        assert_eq!(kv.create_revision, got.header.expect("a header").revision, "it was never let go");
    });
}
