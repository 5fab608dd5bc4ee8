//! The crash simulator with a fixed budget of seeds: `make sim` runs on from here.
//!
//! Must never depend on a clock: the same seeds, the same events, the same counts.

use harness::sim::{self, Coverage, Doing, Role, Shape, Tally, Trouble};

/// Seeds of `make test`.
const SEEDS: u64 = 3_000;
/// Of them with several members.
const CLUSTERS: u64 = 150;

fn seed(shape: Shape, seed: u64) -> Tally {
    sim::run(shape, seed).unwrap_or_else(|violation| panic!("{}", sim::report(shape, seed, &violation)))
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut coverage = Coverage::default();
    let (mut crashes, mut answered) = (0, 0);
    for number in 1..=SEEDS {
        let tally = seed(Shape::One, number);
        coverage.add(&tally.coverage);
        crashes += tally.crashes;
        answered += tally.answered;
    }
    println!("{SEEDS} seeds, {crashes} crashes, {answered} answers\n{coverage}");
    for trouble in Trouble::ALONE {
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
fn no_seed_of_several_members_breaks_a_promise() {
    let mut coverage = Coverage::default();
    let (mut answered, mut installs, mut changes) = (0, 0, 0);
    for number in 1..=CLUSTERS {
        let tally = seed(Shape::Cluster, number);
        coverage.add(&tally.coverage);
        answered += tally.answered;
        installs += tally.installs;
        changes += tally.changes;
    }
    println!("{CLUSTERS} seeds, {answered} answers, {installs} installs, {changes} changes\n{coverage}");
    for trouble in Trouble::all().filter(|trouble| *trouble != Trouble::HigherTerm) {
        assert!(coverage.of(trouble) > 0, "{trouble:?} never happened");
    }
    for role in [Role::Following, Role::Leading, Role::Candidate, Role::Learner, Role::Receiving, Role::Down] {
        assert!(coverage.in_role(role) > 0, "nothing went wrong for a member that is {role:?}");
    }
    assert!(answered > 20 * CLUSTERS && installs > 0 && changes > CLUSTERS, "the schedules are not empty");
}

#[test]
fn a_seed_repeats_itself() {
    for number in [7, 8, 9] {
        for shape in [Shape::One, Shape::Cluster] {
            assert_eq!(seed(shape, number), seed(shape, number), "seed {number}");
        }
    }
}
