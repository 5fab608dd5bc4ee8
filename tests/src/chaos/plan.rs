//! What is done to the cluster in which round: it follows from the seed alone.
//!
//! Must never depend on time or on what the cluster answers.

use crate::compare::chance::Chance;

/// Something that happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the leader.
    KillLeader,
    /// `kill -9` of a follower.
    KillFollower,
    /// `kill -9` of all members.
    KillAll,
    /// SIGSTOP of the leader for three seconds.
    PauseLeader,
    /// SIGSTOP of a follower until it needs a snapshot; its watchers stay connected.
    PauseFollower,
    /// SIGTERM of the leader.
    StopLeader,
    /// SIGTERM of all members.
    RestartAll,
    /// A follower loses its disk: it is removed, and added again.
    WipeFollower,
    /// The store of a follower is rebuilt from the leader's.
    RebuildFollower,
    /// Nothing reaches the leader.
    CutLeader,
    /// Nothing reaches a follower.
    CutFollower,
    /// The leader does not hear the others, and they hear it.
    DeafLeader,
    /// The leader and the others hear nothing of each other, and clients reach all.
    LeaderApart,
    /// A third of what a follower is sent is lost.
    LossyFollower,
    /// The link of the leader is slow.
    SlowLeader,
    /// Syncs of the leader's log do not return for three seconds.
    FrozenLeader,
    /// The same for a follower.
    FrozenFollower,
    /// The clock of the leader is set an hour forward, and back.
    ClockOfLeader,
    /// Leadership is moved.
    MoveLeader,
    /// Authentication is turned on, and off.
    Authentication,
    /// All members are defragmented.
    Defragment,
    /// What all watchers have seen is compacted.
    Compact,
}

/// All of them.
pub const FAULTS: [Fault; 22] = [
    Fault::KillLeader,
    Fault::PauseFollower,
    Fault::FrozenLeader,
    Fault::CutLeader,
    Fault::KillAll,
    Fault::Compact,
    Fault::WipeFollower,
    Fault::DeafLeader,
    Fault::PauseLeader,
    Fault::RebuildFollower,
    Fault::StopLeader,
    Fault::LeaderApart,
    Fault::Authentication,
    Fault::KillFollower,
    Fault::SlowLeader,
    Fault::FrozenFollower,
    Fault::RestartAll,
    Fault::LossyFollower,
    Fault::ClockOfLeader,
    Fault::MoveLeader,
    Fault::CutFollower,
    Fault::Defragment,
];

/// A fault, and the numbers that its round draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// What happens.
    pub fault: Fault,
    /// For whom it happens, and for the clients.
    pub seed: u64,
}

/// The rounds of a seed, without end: every fault once in a random order, then again.
pub fn rounds(seed: u64) -> impl Iterator<Item = Round> {
    let mut chance = Chance::new(seed);
    std::iter::repeat_with(move || {
        let mut faults = FAULTS.to_vec();
        for at in (1..faults.len()).rev() {
            faults.swap(at, chance.below(at + 1));
        }
        faults.into_iter().map(|fault| Round { fault, seed: chance.draw() }).collect::<Vec<_>>()
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_plan_follows_from_its_seed_and_leaves_no_fault_out() {
        let plan = |seed| rounds(seed).take(FAULTS.len()).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
        let faults: BTreeSet<Fault> = plan(7).iter().map(|round| round.fault).collect();
        assert_eq!(faults.len(), FAULTS.len());
    }
}
