//! The crash simulator with a fixed budget of seeds: `make sim` runs on from here.
//!
//! Must never depend on a clock: the same seeds, the same events, the same counts.

use harness::sim::{self, Coverage, Doing, Tally, Trouble};

/// Seeds of `make test`.
const SEEDS: u64 = 400;

fn seed(seed: u64) -> Tally {
    sim::run(seed).unwrap_or_else(|violation| panic!("{}", sim::report(seed, &violation)))
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut coverage = Coverage::default();
    let (mut crashes, mut answered) = (0, 0);
    for number in 1..=SEEDS {
        let tally = seed(number);
        coverage.add(&tally.coverage);
        crashes += tally.crashes;
        answered += tally.answered;
    }
    println!("{SEEDS} seeds, {crashes} crashes, {answered} answers\n{coverage}");
    for trouble in Trouble::ALL {
        assert!(coverage.of(trouble) > 0, "{trouble:?} never happened");
    }
    let states = [
        Doing::Idle,
        Doing::Append,
        Doing::Sync,
        Doing::Apply,
        Doing::Chunk,
        Doing::Compact,
        Doing::Flush,
        Doing::Snapshot,
        Doing::Truncate,
        Doing::NoLeader,
        Doing::Replay,
        Doing::Recover,
    ];
    for doing in states {
        assert!(coverage.while_doing(doing) > 0, "nothing went wrong while {doing:?}");
    }
    assert!(crashes > SEEDS && answered > 50 * SEEDS, "the schedules are not empty");
}

#[test]
fn a_seed_repeats_itself() {
    for number in [7, 8, 9] {
        assert_eq!(seed(number), seed(number), "seed {number}");
    }
}
