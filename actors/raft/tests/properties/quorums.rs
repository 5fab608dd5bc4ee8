//! What is committed and who is elected, against definitions by counting.

use std::collections::BTreeMap;

use proptest::prelude::*;
use raft::quorum::{VoteResult, joint_committed, joint_vote, majority_committed};
use raft::{Index, NodeId};

fn voters() -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::btree_set(1..=12u64, 0..=11).prop_map(|ids| ids.into_iter().collect())
}

fn acks() -> impl Strategy<Value = BTreeMap<NodeId, Index>> {
    prop::collection::btree_map(1..=12u64, 0..=8u64, 0..=12)
}

fn votes() -> impl Strategy<Value = BTreeMap<NodeId, bool>> {
    prop::collection::btree_map(1..=12u64, any::<bool>(), 0..=12)
}

fn more_than_half(voters: &[NodeId], holds: impl Fn(NodeId) -> bool) -> bool {
    voters.is_empty() || voters.iter().filter(|id| holds(**id)).count() * 2 > voters.len()
}

/// Highest index that more than half of each set has reached, tried one by one.
fn naive(sets: &[&[NodeId]], acks: &BTreeMap<NodeId, Index>) -> Index {
    if sets.iter().all(|set| set.is_empty()) {
        return Index::MAX;
    }
    let reached =
        |index: Index| sets.iter().all(|set| more_than_half(set, |id| acks.get(&id).copied().unwrap_or(0) >= index));
    (0..=8).rev().find(|index| reached(*index)).unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn commit_is_what_a_quorum_has(incoming in voters(), outgoing in voters(), acks in acks()) {
        let acked = |id| acks.get(&id).copied();
        prop_assert_eq!(majority_committed(&incoming, acked), naive(&[&incoming], &acks));
        let joint = joint_committed(&incoming, &outgoing, acked);
        prop_assert_eq!(joint, naive(&[&incoming, &outgoing], &acks));
        prop_assert_eq!(joint, joint_committed(&outgoing, &incoming, acked));
        prop_assert_eq!(joint_committed(&incoming, &incoming, acked), majority_committed(&incoming, acked));
    }

    #[test]
    fn votes_decide_as_soon_as_they_can(incoming in voters(), outgoing in voters(), votes in votes()) {
        let sets = [&incoming[..], &outgoing];
        let with_rest = |rest: bool| {
            sets.iter().all(|set| more_than_half(set, |id| votes.get(&id).copied().unwrap_or(rest)))
        };
        let expected = match (with_rest(false), with_rest(true)) {
            (true, _) => VoteResult::Won,
            (false, false) => VoteResult::Lost,
            (false, true) => VoteResult::Pending,
        };
        prop_assert_eq!(joint_vote(&incoming, &outgoing, |id| votes.get(&id).copied()), expected);
    }
}
