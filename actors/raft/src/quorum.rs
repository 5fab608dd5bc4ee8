//! Majorities, single and joint: what is committed, who is elected.
//!
//! Pure functions over slices of ids. An empty majority agrees to everything, so that a joint quorum with one
//! empty half is the other half.

use crate::types::{Index, NodeId};

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteResult {
    /// Answers that are missing can still decide it.
    Pending,
    /// A quorum can no longer be reached.
    Lost,
    /// A quorum said yes.
    Won,
}

/// Voters that fit on the stack while their indexes are sorted.
const ON_STACK: usize = 9;

/// Highest index that a majority of `voters` has acknowledged, `u64::MAX` without voters. Who has not answered counts
/// as zero.
pub fn majority_committed(voters: &[NodeId], acked: impl Fn(NodeId) -> Option<Index>) -> Index {
    let n = voters.len();
    if n == 0 {
        return Index::MAX;
    }
    let mut stack = [0; ON_STACK];
    let mut heap = Vec::new();
    let indexes: &mut [Index] = if n <= ON_STACK {
        &mut stack[..n]
    } else {
        heap.resize(n, 0);
        &mut heap
    };
    for (slot, &id) in indexes.iter_mut().zip(voters) {
        *slot = acked(id).unwrap_or(0);
    }
    indexes.sort_unstable();
    // n / 2 + 1 members hold at least the index at this place.
    indexes[n - (n / 2 + 1)]
}

/// Highest index acknowledged by both majorities.
pub fn joint_committed(incoming: &[NodeId], outgoing: &[NodeId], acked: impl Fn(NodeId) -> Option<Index>) -> Index {
    majority_committed(incoming, &acked).min(majority_committed(outgoing, &acked))
}

/// How the vote of one majority stands; `votes` gives yes, no, or no answer yet.
pub fn majority_vote(voters: &[NodeId], votes: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    if voters.is_empty() {
        return VoteResult::Won;
    }
    let (mut yes, mut missing) = (0, 0);
    for &id in voters {
        match votes(id) {
            Some(true) => yes += 1,
            Some(false) => {}
            None => missing += 1,
        }
    }
    let quorum = voters.len() / 2 + 1;
    if yes >= quorum {
        VoteResult::Won
    } else if yes + missing >= quorum {
        VoteResult::Pending
    } else {
        VoteResult::Lost
    }
}

/// How the vote of both majorities stands: both must say yes.
pub fn joint_vote(incoming: &[NodeId], outgoing: &[NodeId], votes: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
    match (majority_vote(incoming, &votes), majority_vote(outgoing, &votes)) {
        (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
        (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
        _ => VoteResult::Pending,
    }
}
