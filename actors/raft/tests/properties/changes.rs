//! Membership changes: through a joint configuration or step by step, stored and restored, encoded and decoded.

use bytes::Bytes;
use proptest::prelude::*;
use raft::changer::{self, check};
use raft::confchange_codec::{decode_v1, decode_v2, encode_v1, encode_v2};
use raft::restore::restore;
use raft::tracker::Tracker;
use raft::{ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, NO_LIMIT, Transition};

const LAST_INDEX: u64 = 10;

fn empty() -> Tracker {
    Tracker::new(10, NO_LIMIT)
}

fn kind() -> impl Strategy<Value = ConfChangeKind> {
    prop_oneof![
        Just(ConfChangeKind::AddNode),
        Just(ConfChangeKind::RemoveNode),
        Just(ConfChangeKind::UpdateNode),
        Just(ConfChangeKind::AddLearnerNode),
    ]
}

/// Steps that leave member 1 alone, so that there is always a voter.
fn steps(most: usize) -> impl Strategy<Value = Vec<ConfChangeSingle>> {
    prop::collection::vec((kind(), 2..=9u64), 0..=most)
        .prop_map(|steps| steps.into_iter().map(|(kind, node_id)| ConfChangeSingle { kind, node_id }).collect())
}

fn founders() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(2..=6u64, 0..=5)
}

/// A group with member 1 and others, made step by step.
fn group(others: &[u64]) -> Tracker {
    let mut tracker = empty();
    for node_id in std::iter::once(1).chain(others.iter().copied()) {
        let step = ConfChangeSingle { kind: ConfChangeKind::AddNode, node_id };
        (tracker.membership, tracker.progress) =
            changer::simple(&tracker, LAST_INDEX, &[step]).expect("one voter more");
    }
    tracker
}

/// The group after entering and leaving a joint configuration.
fn through_joint(mut tracker: Tracker, auto_leave: bool, steps: &[ConfChangeSingle]) -> Tracker {
    let entered = changer::enter_joint(&tracker, LAST_INDEX, auto_leave, steps).expect("member 1 stays");
    (tracker.membership, tracker.progress) = entered;
    assert_eq!(tracker.membership.auto_leave, auto_leave);
    (tracker.membership, tracker.progress) = changer::leave_joint(&tracker, LAST_INDEX).expect("it is joint");
    tracker
}

fn one_by_one(mut tracker: Tracker, steps: &[ConfChangeSingle]) -> Tracker {
    for step in steps {
        (tracker.membership, tracker.progress) = changer::simple(&tracker, LAST_INDEX, &[*step]).expect("one step");
    }
    tracker
}

fn conf_state() -> impl Strategy<Value = ConfState> {
    let places = prop::collection::vec((2..=20u64, 0..5u8), 0..12);
    (places, any::<bool>(), any::<bool>()).prop_map(|(mut places, is_joint, auto_leave)| {
        places.sort_unstable();
        places.dedup_by_key(|(id, _)| *id);
        let mut state = ConfState { voters: vec![1], ..ConfState::default() };
        for (id, place) in places {
            match (place, is_joint) {
                (0, _) => state.voters.push(id),
                (1, true) => state.voters_outgoing.push(id),
                (2, true) => {
                    state.voters_outgoing.push(id);
                    state.learners_next.push(id);
                }
                (3, true) => {
                    state.voters.push(id);
                    state.voters_outgoing.push(id);
                }
                _ => state.learners.push(id),
            }
        }
        state.auto_leave = auto_leave && !state.voters_outgoing.is_empty();
        state
    })
}

fn context() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn joint_leads_where_single_steps_lead(others in founders(), steps in steps(9)) {
        let simple = one_by_one(group(&others), &steps);
        let joint = through_joint(group(&others), false, &steps);
        let implicit = through_joint(group(&others), true, &steps);
        prop_assert_eq!(&simple.membership, &joint.membership);
        prop_assert_eq!(&joint.membership, &implicit.membership);
        prop_assert_eq!(&simple.progress, &joint.progress);
        prop_assert_eq!(&joint.progress, &implicit.progress);
        prop_assert_eq!(check(&simple.membership, &simple.progress), Ok(()));
    }

    #[test]
    fn what_is_stored_is_restored(state in conf_state()) {
        let (membership, progress) = restore(&empty(), LAST_INDEX, &state).expect("a reachable membership");
        prop_assert_eq!(&membership, &state);
        prop_assert_eq!(check(&membership, &progress), Ok(()));
    }

    #[test]
    fn a_state_machine_finds_the_membership_that_the_core_finds(state in conf_state(), steps in steps(2), t in 0..3u8) {
        let transition = [Transition::Auto, Transition::JointImplicit, Transition::JointExplicit][usize::from(t)];
        let change = ConfChangeV2 { transition, changes: steps, context: Bytes::new() };
        let mut tracker = empty();
        (tracker.membership, tracker.progress) = restore(&empty(), LAST_INDEX, &state).expect("a reachable membership");
        let by_core = changer::change(&tracker, LAST_INDEX, &change).map(|(membership, _)| membership);
        prop_assert_eq!(raft::next_membership(&state, &change), by_core);
    }

    #[test]
    fn joint_changes_survive_a_restart(others in founders(), steps in steps(6), auto_leave: bool) {
        let mut tracker = group(&others);
        let joint = changer::enter_joint(&tracker, LAST_INDEX, auto_leave, &steps).expect("member 1 stays");
        (tracker.membership, tracker.progress) = joint;
        let (membership, progress) = restore(&empty(), LAST_INDEX, &tracker.membership).expect("a stored membership");
        prop_assert_eq!(&membership, &tracker.membership);
        let ids = |map: &raft::ProgressMap| map.iter().map(|(id, pr)| (id, pr.is_learner)).collect::<Vec<_>>();
        prop_assert_eq!(ids(&progress), ids(&tracker.progress));
    }

    #[test]
    fn encodings_round_trip(id: u64, kind in kind(), node_id: u64, context in context(), changes in steps(5), t in 0..3u8) {
        let v1 = ConfChange { id, kind, node_id, context: context.clone() };
        prop_assert_eq!(decode_v1(&encode_v1(&v1)), Ok(v1));
        let transition = [Transition::Auto, Transition::JointImplicit, Transition::JointExplicit][usize::from(t)];
        let v2 = ConfChangeV2 { transition, changes, context };
        prop_assert_eq!(decode_v2(&encode_v2(&v2)), Ok(v2));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(data in prop::collection::vec(any::<u8>(), 0..40)) {
        let data = Bytes::from(data);
        let (v1, v2) = (decode_v1(&data), decode_v2(&data));
        prop_assert!(v1.map_or(true, |cc| decode_v1(&encode_v1(&cc)) == Ok(cc)));
        prop_assert!(v2.map_or(true, |cc| decode_v2(&encode_v2(&cc)) == Ok(cc)));
    }
}
