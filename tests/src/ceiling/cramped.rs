//! A member in a small memory cgroup, under everything at once: full lists that nobody reads, and writers of large values.

use super::data::{PUT, RANGE, all, get, key, load, put};
use super::greedy::{Silent, raw_of, soon};
use super::{Ended, Measure, Outcome, Raw, Scale, Target};
use std::time::Duration;

/// Bytes of a writer's value.
const LARGE: usize = 1 << 20;
/// Lists that each client asks for and does not read.
const LISTS: usize = 6;

/// 300 MiB of data, 200 clients with six lists each, 30 writers of 1 MiB, and one that works beside them.
pub(super) async fn cramped(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let keys = scale.pick(15_000, 75_000);
    let clients = scale.pick(60, 200);
    let writers = scale.pick(10, 30);
    let rounds = scale.pick(2, 6);
    load(target, keys, 4096).await;
    let measure = Measure::begin(target, outcome);
    let mut kept = Vec::new();
    for n in 0..clients {
        let calls: Vec<_> = (0..LISTS).map(|_| (RANGE, raw_of(&all()), true)).collect();
        // closed windows, small ones, and ones so large that only the socket holds the server back
        let window = [65_535, 0, 1 << 30][n % 3];
        match Silent::open(target.address, window, &calls).await {
            Ok(wire) => kept.push(wire),
            Err(why) => outcome.wrong(why),
        }
    }
    let address = target.address;
    let writing: Vec<_> = (0..writers)
        .map(|n| {
            tokio::spawn(async move {
                let mut ends = Vec::new();
                let Ok(mut raw) = Raw::connect(address, 1 << 20).await else { return vec![Ended::default()] };
                for round in 0..rounds {
                    let name = format!("large-{n}-{}", round % 2);
                    ends.push(soon(raw.run(PUT, &put(name.as_bytes(), vec![round as u8; LARGE]))).await);
                }
                ends
            })
        })
        .collect();
    for call in writing {
        for ended in call.await.expect("no panic") {
            outcome.count(&ended, true);
        }
    }
    let mut other = Raw::connect(target.address, 1 << 20).await.expect("connect");
    for n in 0..scale.pick(50, 200) {
        let read = soon(other.run(RANGE, &get(&key(n)))).await;
        outcome.count(&read, read.seen.fields[2] == 1);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    outcome.held = target.memory().now;
    measure.end(target, outcome);
    drop(kept);
}
