//! Writers go on while source, destination and the tool are killed in turn. Every change must arrive once, in order.

use super::sides::{Sides, content, history};
use conclave_client::{Client, Put, Txn};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;

const WRITERS: usize = 4;
const ROUNDS: usize = 3;
/// Small transactions: copying takes long enough to be killed in.
const SMALL: &str = "--max-txn-ops=5";

/// Acknowledged keys, and writes whose outcome is not known.
async fn write(client: Client, writer: usize, lease: i64, stop: Arc<AtomicBool>) -> (Vec<String>, usize) {
    let (mut acknowledged, mut uncertain) = (Vec::new(), 0);
    for number in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let key = format!("w{writer}/{number:06}");
        let done = match number % 7 {
            // overwritten by every round, deleted by some
            0 => client
                .txn()
                .then(Put::new(&key, "v"))
                .then(Put::new(format!("count{writer}"), number.to_string()))
                .await
                .map(drop),
            1 => client.put(&key, "with a lease").lease(lease).await.map(drop),
            2 => client.delete(format!("w{writer}/{:06}", number - 2)).await.map(drop),
            _ => client.put(&key, "v".repeat(number % 300)).await.map(drop),
        };
        match done {
            Ok(()) if number % 7 != 2 => acknowledged.push(key),
            Ok(()) => {}
            Err(_) => uncertain += 1,
        }
    }
    (acknowledged, uncertain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_once_and_in_order_whoever_is_killed() {
    let mut sides = Sides::start().await;
    let from = sides.source.client().await;
    let lease = from.grant(Duration::from_secs(600)).await.expect("a lease").id();
    for number in 0..600 {
        from.put(format!("before/{number:04}"), "x").await.expect("a put");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(sides.source.client().await, writer, lease, stop.clone())));
    }
    let flags = [SMALL, "--report-every=1s"];
    for _ in 0..ROUNDS {
        let mut run = sides.tool("migrate", &flags);
        sleep(Duration::from_millis(400)).await;
        drop(run);
        run = sides.tool("migrate", &flags);
        sleep(Duration::from_millis(300)).await;
        sides.destination.kill(Duration::from_millis(200)).await;
        sleep(Duration::from_millis(500)).await;
        sides.source.kill(Duration::from_millis(200)).await;
        sleep(Duration::from_millis(500)).await;
        assert!(run.is_running(), "it waits for both sides:\n{}", run.said());
    }
    stop.store(true, Relaxed);
    let (mut acknowledged, mut uncertain) = (BTreeSet::new(), 0);
    for writer in writers {
        let (keys, unknown) = writer.await.expect("a writer");
        acknowledged.extend(keys);
        uncertain += unknown;
    }
    let said = sides.finish(&[SMALL]);
    assert!(said.contains("writers may be switched"), "{said}");
    let to = sides.destination.client().await;
    assert_eq!(content(&from).await, content(&to).await);
    let (sent, came) = (history(&from).await, history(&to).await);
    let first = sent.iter().zip(&came).position(|(sent, came)| sent != came);
    assert!(
        sent == came,
        "{} changes of the source, {} of the destination, the first that differs is {first:?}",
        sent.len(),
        came.len()
    );
    let written: BTreeSet<_> = came.iter().map(|(_, key, _)| key.clone()).collect();
    let lost: Vec<_> = acknowledged.difference(&written).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    println!(
        "{} acknowledged writes, {uncertain} uncertain, {} changes, each once and in order",
        acknowledged.len(),
        came.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_is_copied_once_whoever_is_killed_meanwhile() {
    const KEYS: usize = 4_000;
    let mut sides = Sides::start().await;
    let from = sides.source.client().await;
    for first in (0..KEYS).step_by(100) {
        let put = |number: usize| Put::new(format!("k/{:05}", number * 7919 % KEYS), "v".repeat(number % 50));
        let txn = (first..first + 100).fold(Txn::new(), |txn, number| txn.then(put(number)));
        from.txn().then(txn).await.expect("a transaction");
    }
    let revision = from.get("none").await.expect("an answer").revision;
    from.compact(revision, true).await.expect("a compaction");
    let flags = ["--max-txn-ops=3", "--report-every=20ms"];
    let mut interrupted = 0;
    for round in 0..4 {
        let mut run = sides.tool("migrate", &flags);
        run.says("copying: ").await;
        match round {
            0 | 3 => {}
            1 => sides.destination.kill(Duration::from_millis(200)).await,
            _ => sides.source.kill(Duration::from_millis(200)).await,
        }
        sleep(Duration::from_millis(200)).await;
        interrupted += usize::from(!run.said().contains("copied"));
    }
    assert!(interrupted > 1, "it was killed while it copied");
    // the rest in large transactions: a loaded machine is slow enough
    let said = sides.finish(&[]);
    assert!(said.contains("going on behind") && said.contains("copied 4000 keys"), "{said}");
    let to = sides.destination.client().await;
    assert_eq!(content(&from).await, content(&to).await);
    let there = to.get("").prefix().await.expect("every key");
    let again: Vec<_> = there.kvs.iter().filter(|kv| kv.version != 1).collect();
    assert!(again.is_empty(), "written more than once: {again:?}");
}
