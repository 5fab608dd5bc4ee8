//! Locks, elections, queues and transactions among many, against one member.
//!
//! Must never share keys between tests: each has a member of its own.

use conclave_client::{
    Client, Compare, Delete, DoubleBarrier, Election, Error, EventKind, Get, Isolation, LeasingCache, Mutex,
    PriorityQueue, Put, Queue, Reason, RecipeError, Semaphore, Session, StmError, Transaction, Txn, WatchError,
};
use harness::examples::on_member;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

const TEN: Duration = Duration::from_secs(10);

#[test]
fn a_lock_is_handed_on_in_the_order_of_asking_and_a_place_that_is_left_holds_up_nobody() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let sessions = [Session::open(&client, TEN).await?, Session::open(&client, TEN).await?];
        let other = Session::open(&client, TEN).await?;
        let first = Mutex::new(&sessions[0], "m").lock().await?;
        assert!(Mutex::new(&other, "m").try_lock().await?.is_none());
        // waits for a moment, and leaves the line
        let impatient = Mutex::new(&sessions[1], "m");
        assert!(timeout(Duration::from_millis(200), impatient.lock()).await.is_err());
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { Mutex::new(&other, "m").lock().await }
        });
        sleep(Duration::from_millis(100)).await;
        let token = first.fencing_token();
        first.unlock().await?;
        let second = timeout(TEN, waiting).await???;
        assert!(second.fencing_token() > token);
        // whoever loses its session loses the lock
        other.close().await?;
        let done = client.txn().when(second.held()).then(Put::new("k", "v")).await?;
        assert!(!done.succeeded);
        Mutex::new(&sessions[0], "m").lock().await?;
        Ok(())
    });
}

#[test]
fn no_more_than_the_permits_are_held_at_once() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let local = LocalSet::new();
        let mut tasks = Vec::new();
        for _ in 0..6 {
            let (client, inside, most) = (client.clone(), inside.clone(), most.clone());
            tasks.push(local.spawn_local(async move {
                let session = Session::open(&client, TEN).await?;
                for _ in 0..5 {
                    let permit = Semaphore::new(&session, "s", 2).acquire().await?;
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    sleep(Duration::from_millis(2)).await;
                    inside.set(inside.get() - 1);
                    permit.release().await?;
                }
                Ok::<_, RecipeError>(())
            }));
        }
        local.await;
        for task in tasks {
            task.await??;
        }
        assert_eq!(most.get(), 2, "both permits are used, and no third");
        Ok(())
    });
}

#[test]
fn an_observer_sees_who_leads_and_what_they_proclaim() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let (a, b) = (Session::open(&client, TEN).await?, Session::open(&client, TEN).await?);
        let election = Election::new("e");
        let mut observer = election.observe(&client);
        let won = election.campaign(&a, "a").await?;
        assert_eq!(observer.next().await?.value, "a");
        won.proclaim("a2").await?;
        assert_eq!(observer.next().await?.value, "a2");
        let next = tokio::spawn({
            let (election, b) = (election.clone(), b.clone());
            async move { election.campaign(&b, "b").await }
        });
        sleep(Duration::from_millis(100)).await;
        assert_eq!(election.leader(&client).await?.expect("a leader").value, "a2");
        won.resign().await?;
        let next = timeout(TEN, next).await???;
        assert_eq!(timeout(TEN, observer.next()).await??.value, "b");
        b.close().await?;
        assert!(matches!(next.proclaim("late").await, Err(RecipeError::PlaceLost)));
        Ok(())
    });
}

#[test]
fn queues_hand_each_element_to_one_in_their_order() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let queue = Queue::new(&client, "q");
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    while let Ok(Ok(element)) = timeout(Duration::from_millis(700), queue.dequeue()).await {
                        taken.push(element);
                    }
                    taken
                })
            })
            .collect();
        for number in 0..100 {
            queue.enqueue(number.to_string()).await?;
        }
        let mut all = Vec::new();
        for taker in takers {
            all.extend(taker.await?);
        }
        assert_eq!(all.len(), 100);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 100, "none twice");

        let queue = PriorityQueue::new(&client, "p");
        for (value, priority) in [("c", 7), ("a", 1), ("d", 7), ("b", 2)] {
            queue.enqueue(value, priority).await?;
        }
        for wanted in ["a", "b", "c", "d"] {
            assert_eq!(queue.dequeue().await?, wanted);
        }
        Ok(())
    });
}

#[test]
fn nobody_enters_a_full_double_barrier_and_all_leave_together() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let mut sessions = Vec::new();
        for _ in 0..4 {
            sessions.push(Session::open(&client, TEN).await?);
        }
        for round in 0..3 {
            let key = format!("d{round}");
            let enter = |at: usize| {
                let mut barrier = DoubleBarrier::new(&sessions[at], &key, 3);
                tokio::spawn(async move { barrier.enter().await.map(|()| barrier) })
            };
            let (a, b) = (enter(0), enter(1));
            sleep(Duration::from_millis(100)).await;
            assert!(!a.is_finished() && !b.is_finished(), "two of three wait");
            let mut inside = vec![timeout(TEN, enter(2)).await???];
            inside.extend([timeout(TEN, a).await???, timeout(TEN, b).await???]);
            let mut late = DoubleBarrier::new(&sessions[3], &key, 3);
            assert!(matches!(late.enter().await, Err(RecipeError::TooMany(3))));
            let leaving: Vec<_> =
                inside.into_iter().map(|mut one| tokio::spawn(async move { one.leave().await })).collect();
            for one in leaving {
                timeout(TEN, one).await???;
            }
            assert_eq!(client.get(&key).prefix().count_only().await?.count, 0, "nothing is left behind");
        }
        Ok(())
    });
}

#[test]
fn transactions_in_memory_add_up_whoever_runs_beside_them() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        for isolation in [Isolation::SerializableSnapshot, Isolation::Serializable, Isolation::RepeatableReads] {
            client.put("n", "0").await?;
            let add = |client: Client| async move {
                for _ in 0..20 {
                    let done = client.transaction(isolation, async |tx: &mut Transaction| {
                        let number: u32 = std::str::from_utf8(&tx.get("n").await?.unwrap_or_default())
                            .map_or(0, |n| n.parse().unwrap_or(0));
                        tx.put("n", (number + 1).to_string());
                        assert_eq!(tx.get("n").await?, Some((number + 1).to_string().into()), "own writes are seen");
                        Ok::<_, Error>(())
                    });
                    done.await.expect("a commit");
                }
            };
            let local = LocalSet::new();
            for _ in 0..4 {
                local.spawn_local(add(client.clone()));
            }
            local.await;
            assert_eq!(client.get("n").await?.value(), Some(&b"80"[..]), "{isolation:?}");
        }
        let aborted = client.transaction(Isolation::default(), async |tx: &mut Transaction| {
            tx.put("n", "lost");
            Err::<(), _>("no")
        });
        assert!(matches!(aborted.await, Err(StmError::Aborted("no"))));
        assert_eq!(client.get("n").await?.value(), Some(&b"80"[..]), "nothing was written");
        Ok(())
    });
}

#[test]
fn a_snapshot_isolated_transaction_sees_no_mixture() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        client.txn().then(Put::new("x", "0")).then(Put::new("y", "0")).await?;
        let (writer, local) = (client.clone(), LocalSet::new());
        local
            .run_until(async move {
                let writing = spawn_local(async move {
                    for number in 1..200 {
                        let both = writer
                            .txn()
                            .then(Put::new("x", number.to_string()))
                            .then(Put::new("y", number.to_string()));
                        both.await.expect("a write");
                    }
                });
                while !writing.is_finished() {
                    let both = client.transaction(Isolation::default(), async |tx: &mut Transaction| {
                        Ok::<_, Error>((tx.get("x").await?, tx.get("y").await?))
                    });
                    let (x, y) = both.await?.value;
                    assert_eq!(x, y);
                }
                Ok::<_, StmError<Error>>(())
            })
            .await?;
        Ok(())
    });
}

#[test]
fn cached_keys_are_never_stale() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let caches = [
            Rc::new(LeasingCache::open(&client, "l/", TEN).await?),
            Rc::new(LeasingCache::open(&client, "l/", TEN).await?),
            Rc::new(LeasingCache::open(&client, "l/", TEN).await?),
        ];
        caches[0].put("k", "0").await?;
        assert_eq!(caches[0].get("k").await?.expect("a key").value, "0");
        assert!(caches[0].owns("k"));
        let newest = Rc::new(Cell::new(0));
        let local = LocalSet::new();
        let mut tasks = Vec::new();
        for (at, cache) in caches.iter().enumerate() {
            let (cache, newest) = (cache.clone(), newest.clone());
            tasks.push(local.spawn_local(async move {
                for number in 0..40 {
                    if (number + at) % 3 == 0 {
                        let revision = cache.put("k", number.to_string()).await?;
                        newest.set(newest.get().max(revision));
                    }
                    let least = newest.get();
                    let found = cache.get("k").await?.expect("a key");
                    assert!(found.mod_revision >= least, "read {} after {least} was acknowledged", found.mod_revision);
                }
                Ok::<_, RecipeError>(())
            }));
        }
        timeout(Duration::from_secs(60), local).await?;
        for task in tasks {
            task.await??;
        }
        let deleted = caches[1].delete("k").await?;
        assert!(deleted > newest.get());
        assert_eq!(caches[2].get("k").await?, None);
        Ok(())
    });
}

#[test]
fn a_namespace_holds_for_every_kind_of_call() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let app = client.namespace("app/");
        client.put("outside", "x").await?;
        let mut watcher = app.watch("").prefix().await?;
        let inner = Txn::new().then(Put::new("b", "2")).then(Get::new("a").from_key());
        let done = app.txn().when(Compare::is_missing("a")).then(Put::new("a", "1")).then(inner).await?;
        assert!(done.succeeded);
        let changes = watcher.next().await.expect("it goes on")?;
        let keys: Vec<_> = changes.events.iter().map(|event| event.kv.key.clone()).collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(app.get("").from_key().await?.count, 2, "no range leaves it");
        assert_eq!(client.get("app/").prefix().await?.kvs[0].key, "app/a");
        assert_eq!(app.delete("").from_key().and_before().await?.before[0].key, "a");
        let changes = watcher.next().await.expect("it goes on")?;
        assert!(changes.events.iter().all(|event| event.kind == EventKind::Delete));
        assert_eq!(client.get("outside").await?.count, 1);
        Ok(())
    });
}

#[test]
fn a_watch_says_what_it_cannot_show() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint]).await?;
        let first = client.put("k", "1").await?.revision;
        let big = "x".repeat(600 << 10);
        let mut txn = client.txn();
        for part in 0..2 {
            txn = txn.then(Put::new(format!("big{part}"), &big));
        }
        let last = txn.then(Delete::new("k")).await?.revision;
        let mut watcher = client.watch("").prefix().since(first).and_before().await?;
        let mut kinds = Vec::new();
        while kinds.len() < 4 {
            kinds.extend(watcher.next().await.expect("it goes on")?.events.into_iter().map(|event| event.kind));
        }
        assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Put).count(), 3);
        watcher.request_progress();
        let progress = timeout(TEN, watcher.next()).await?.expect("it goes on")?;
        assert!(progress.is_progress() && progress.revision >= last);
        assert_eq!(watcher.next_revision(), progress.revision + 1);
        client.compact(last, true).await?;
        let mut late = client.watch("k").since(first).await?;
        assert!(matches!(late.next().await, Some(Err(WatchError::Compacted { oldest })) if oldest == last));
        assert!(late.next().await.is_none(), "it is over");
        let refused = client.get("k").at(first).await.expect_err("it is compacted");
        assert_eq!((refused.reason(), refused.is_uncertain()), (Some(Reason::Compacted), false));
        Ok(())
    });
}

#[test]
fn a_login_is_renewed_when_its_token_is_too_old() {
    on_member(async |endpoint| {
        let client = Client::connect([endpoint.clone()]).await?;
        let auth = client.auth();
        auth.add_user("root", Some("secret")).await?;
        auth.grant_role("root", "root").await?;
        auth.add_role("reader").await?;
        auth.add_user("anna", Some("pw")).await?;
        auth.grant_role("anna", "reader").await?;
        auth.allow("reader", conclave_client::Access::ReadWrite, "a/").await?;
        auth.enable().await?;
        let root = Client::builder([endpoint.clone()]).user("root", "secret").connect().await?;
        let anna = Client::builder([endpoint.clone()]).user("anna", "pw").connect().await?;
        anna.put("a/k", "v").await?;
        let refused = anna.put("b/k", "v").await.expect_err("not allowed");
        assert_eq!((refused.reason(), refused.is_uncertain()), (Some(Reason::PermissionDenied), false));
        // every change of users makes older tokens too old
        root.auth().add_role("other").await?;
        anna.put("a/k", "w").await?;
        let mut watcher = anna.watch("a/").prefix().await?;
        root.auth().add_role("another").await?;
        anna.put("a/k", "x").await?;
        assert_eq!(timeout(TEN, watcher.next()).await?.expect("it goes on")?.events[0].kv.value, "x");
        assert!(matches!(anna.watch("b/").prefix().await, Err(WatchError::Refused(_))));
        let wrong = Client::builder([endpoint.clone()]).user("anna", "wrong").connect().await;
        assert_eq!(wrong.err().and_then(|why| why.reason()), Some(Reason::AuthenticationFailed));
        root.auth().disable().await?;
        Ok(())
    });
}
