//! Simulated groups under loss, reordering, doubling, partitions, crashes, slow disks and membership changes.
//!
//! Everything follows from a seed. A failure prints it; `RAFT_SIM_SEED=<seed>` runs that one alone,
//! `RAFT_SIM_SEEDS=<n>` runs more of them, `RAFT_SIM_STEPS=<n>` longer ones.

mod disk;
mod member;
mod oracle;
mod rng;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Tally, World};

/// Steps of chaos per seed, unless said otherwise.
const STEPS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn safety_and_progress() {
    let seeds = match number("RAFT_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("RAFT_SIM_SEEDS").unwrap_or(300),
    };
    let count = seeds.end - seeds.start;
    let steps = number("RAFT_SIM_STEPS").unwrap_or(STEPS);
    let mut total = Tally::default();
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| World::new(seed).run(steps)));
        let Ok(tally) = run else {
            panic!("seed {seed} failed; repeat it with RAFT_SIM_SEED={seed}");
        };
        total.applied += tally.applied;
        total.reads += tally.reads;
        total.crashes += tally.crashes;
        total.changes += tally.changes;
        total.stuck += tally.stuck;
    }
    println!("{count} seeds: {total:?}");
    assert!(total.stuck * 20 <= count, "getting stuck is rare: {total:?}");
    assert!(total.applied > 20 * count, "the simulation makes progress: {total:?}");
}
