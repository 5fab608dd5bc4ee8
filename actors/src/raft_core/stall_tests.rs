//! Grey failures: who resigns, who stays, and who neither campaigns nor is handed leadership.

use super::testing::{Bench, bench};
use messages::RequestError;
use messages::peer::Vitals;
use raft::message::Append;
use raft::{Body, Entry, EntryKind, Role};

const WELL: u64 = 0;
const HANGING: u64 = 5_000_000;

/// Time passes in which the others answer heartbeats and say how they are.
fn pass(bench: &mut Bench, ticks: u32, unsynced: [(u64, u64); 2]) {
    for _ in 0..ticks {
        for (from, unsynced_micros) in unsynced {
            bench.hear_vitals(from, Vitals { unsynced_micros, ..Vitals::default() });
            bench.queue(from, Body::HeartbeatAck { read_round: 0 });
        }
        bench.tick(1);
    }
}

/// Who was told to campaign.
fn successors(bench: &Bench) -> Vec<u64> {
    bench.sent().iter().filter(|m| m.body == Body::TimeoutNow).map(|m| m.to).collect()
}

/// A leader with an append that does not get to its disk, and that member 2 and 3 hold.
fn hanging_leader() -> Bench {
    let mut bench = bench(3);
    bench.lead();
    bench.propose(1);
    let index = bench.core.node().last_index();
    for from in [2, 3] {
        bench.hear(from, Body::AppendAccepted { index });
    }
    bench.sent();
    bench
}

#[test]
fn a_leader_whose_disk_hangs_hands_over_to_a_voter_that_is_well() {
    let mut bench = hanging_leader();
    pass(&mut bench, 10, [(2, HANGING), (3, WELL)]);
    assert!(successors(&bench).is_empty(), "an election timeout is no hang");
    pass(&mut bench, 1, [(2, HANGING), (3, WELL)]);
    assert_eq!(successors(&bench), [3]);
    assert_eq!(bench.told().expect("told with every tick").unsynced_micros, 1_100_000);
    bench.propose(2);
    assert_eq!(bench.answers(), [(2, Some(RequestError::LeaderChanged))], "a retriable error, at once");
}

#[test]
fn a_leader_whose_applier_hangs_hands_over_too() {
    let mut bench = bench(3);
    bench.lead();
    bench.propose(1);
    bench.persist();
    for from in [2, 3] {
        let index = bench.core.node().last_index();
        bench.hear(from, Body::AppendAccepted { index });
    }
    bench.sent();
    pass(&mut bench, 11, [(2, WELL), (3, HANGING)]);
    assert_eq!(successors(&bench), [2]);
}

#[test]
fn without_a_voter_that_is_well_the_leader_stays() {
    let mut bench = hanging_leader();
    pass(&mut bench, 30, [(2, HANGING), (3, HANGING)]);
    assert_eq!((successors(&bench), bench.core.node().role()), (vec![], Role::Leader));
    bench.persist();
    bench.apply();
    pass(&mut bench, 1, [(2, WELL), (3, WELL)]);
    assert!(successors(&bench).is_empty(), "its disk answers again");
    bench.answers();
    bench.propose(2);
    assert_eq!(bench.answers(), [], "proposals are taken again");
}

#[test]
fn a_voter_that_does_not_take_over_is_followed_by_the_next_one() {
    let mut bench = hanging_leader();
    pass(&mut bench, 11, [(2, WELL), (3, WELL)]);
    assert_eq!(successors(&bench), [2]);
    // given up after an election timeout
    pass(&mut bench, 11, [(2, WELL), (3, WELL)]);
    assert_eq!(successors(&bench), [3]);
}

#[test]
fn a_pause_of_the_process_is_no_hang_of_its_disk() {
    let mut bench = hanging_leader();
    bench.hear_vitals(2, Vitals::default());
    bench.tick(500);
    assert!(successors(&bench).is_empty());
}

#[test]
fn a_member_whose_disk_hangs_neither_campaigns_nor_is_handed_leadership() {
    let mut bench = bench(3);
    bench.follow();
    let entry = Entry { term: 2, index: 4, kind: EntryKind::Normal, data: Default::default() };
    bench.hear(2, Body::Append(Append { prev_index: 3, prev_term: 1, commit: 3, entries: vec![entry] }));
    for _ in 0..11 {
        bench.queue(2, Body::Heartbeat { commit: 3, read_round: 0 });
        bench.tick(1);
    }
    bench.hear(2, Body::TimeoutNow);
    assert!(!bench.campaigned(), "its disk hangs");
    for _ in 0..50 {
        bench.tick(1);
    }
    assert!(!bench.campaigned(), "nor when nobody leads any more");
    bench.persist();
    for _ in 0..40 {
        bench.tick(1);
    }
    assert!(bench.campaigned(), "its disk answers again");
}

#[test]
fn a_sole_voter_goes_on_whatever_its_disk_does() {
    let mut bench = bench(1);
    bench.lead_alone();
    bench.propose(1);
    for _ in 0..30 {
        bench.tick(1);
    }
    bench.propose(2);
    assert_eq!((bench.core.node().role(), bench.answers()), (Role::Leader, vec![]), "they wait for the disk");
}
