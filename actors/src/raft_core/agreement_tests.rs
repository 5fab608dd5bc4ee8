//! Members that tell each other their hashes: who is found to be wrong, and at which entry.

use super::agreement::{Agreement, Finding};
use raft::{Index, NodeId};

/// The hash of a history at an index: histories of different names differ from `parts` on.
fn hash(name: u64, parts: Index, index: Index) -> u64 {
    if index >= parts { index * 31 + name } else { index * 31 }
}

/// A member that has applied entries from `first` to `last`.
fn member(name: u64, parts: Index, first: Index, last: Index) -> Agreement {
    let mut agreement = Agreement::new(None);
    agreement.applied((first..=last).map(|index| (index, hash(name, parts, index))).collect());
    agreement
}

/// Everybody tells everybody, so many times.
fn talk(members: &mut [(NodeId, Agreement)], rounds: usize) {
    for _ in 0..rounds {
        let said: Vec<_> = members.iter().map(|(id, member)| (*id, member.telling())).collect();
        for (id, member) in members.iter_mut() {
            for (from, hashes) in said.iter().filter(|(from, _)| from != id) {
                assert!(hashes.len() <= 32, "they fit into one frame");
                member.note(*from, hashes);
            }
        }
    }
}

fn judge(members: &mut [(NodeId, Agreement)], voters: &[NodeId]) -> Vec<Finding> {
    members.iter_mut().map(|(id, member)| member.judge(*id, voters)).collect()
}

#[test]
fn members_that_are_far_apart_agree_and_one_that_parted_is_named_by_all() {
    let mut members = [(1, member(0, 0, 1, 9_000)), (2, member(0, 0, 4_000, 6_800)), (3, member(7, 5_555, 1, 8_000))];
    talk(&mut members, 1);
    assert_eq!(judge(&mut members, &[1, 2, 3]), vec![Finding::Minority(vec![3]); 3]);
    let mut alike = [(1, member(0, 0, 1, 9_000)), (2, member(0, 0, 1, 5_100))];
    talk(&mut alike, 1);
    assert_eq!(judge(&mut alike, &[1, 2]), vec![Finding::Alike; 2]);
    assert!(alike[0].1.compared() > 0, "there was something to compare");
}

#[test]
fn the_first_entry_that_differs_is_found_within_a_few_notices() {
    for parts in [2, 17, 255, 256, 257, 3_000, 4_095, 4_096] {
        let mut members = [(1, member(0, 0, 1, 4_096)), (2, member(0, 0, 1, 4_096)), (3, member(9, parts, 1, 4_096))];
        talk(&mut members, 5);
        for (right, wrong) in [(0, 3), (1, 3), (2, 1)] {
            let parting = members[right].1.parting(wrong).expect("they differ");
            assert_eq!(parting.exact(), Some(parts), "{parting:?}");
        }
    }
}

#[test]
fn without_a_majority_nobody_is_wrong() {
    let mut two = [(1, member(0, 0, 1, 50)), (2, member(9, 40, 1, 50))];
    talk(&mut two, 1);
    assert_eq!(judge(&mut two, &[1, 2]), [Finding::Split(vec![2]), Finding::Split(vec![1])]);
    assert_eq!(judge(&mut two, &[1, 2, 3]), [Finding::Unlike(vec![2]), Finding::Unlike(vec![1])], "one was not heard");
    let mut three = [(1, member(0, 0, 1, 50)), (2, member(8, 40, 1, 50)), (3, member(9, 40, 1, 50))];
    talk(&mut three, 1);
    assert_eq!(judge(&mut three, &[1, 2, 3])[0], Finding::Split(vec![2, 3]));
}

#[test]
fn a_learner_has_no_voice_and_is_judged_by_the_voters() {
    let mut members =
        [(1, member(0, 0, 1, 50)), (2, member(0, 0, 1, 50)), (3, member(9, 40, 1, 50)), (4, member(9, 40, 1, 50))];
    talk(&mut members, 1);
    assert_eq!(judge(&mut members, &[1, 2])[2], Finding::Minority(vec![3, 4]));
    assert_eq!(judge(&mut members, &[1, 2, 3])[0], Finding::Minority(vec![3, 4]), "two of three voters");
    assert_eq!(judge(&mut members, &[1, 2, 3, 5, 6])[0], Finding::Unlike(vec![3, 4]), "two of five");
}

#[test]
fn a_member_that_was_repaired_agrees_again() {
    let mut members = [(1, member(0, 0, 1, 50)), (2, member(0, 0, 1, 50)), (3, member(9, 40, 1, 50))];
    talk(&mut members, 1);
    members[2].1.restart(Some((52, hash(0, 0, 52))));
    for (_, member) in &mut members[..2] {
        member.applied(vec![(51, hash(0, 0, 51)), (52, hash(0, 0, 52))]);
    }
    talk(&mut members, 1);
    assert_eq!(judge(&mut members, &[1, 2, 3]), vec![Finding::Alike; 3]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut member = member(0, 0, 1, 100_000);
    for index in 1..5_000 {
        member.note(2, &[(index, 1)]);
    }
    let debug = format!("{member:?}");
    assert!(debug.len() < 400_000, "{}", debug.len());
}
