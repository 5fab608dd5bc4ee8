//! The first election after a start. A member that reaches a quorum, and hears of no leader, need not wait as long as one that may be
//! cut off: most of the first election timeout is skipped, as etcd does with `--initial-election-tick-advance`.
//!
//! Must never do so a second time: later on a silent leader gets the whole timeout.

use super::core::RaftCore;

/// Ticks that are left to the first election at least: a leader that is there is heard meanwhile.
const LEFT: u32 = 2;

impl RaftCore {
    /// With every tick, until it is decided.
    pub(super) fn advance_first_election(&mut self) {
        if !self.config.advance_first_election {
            return;
        }
        let members = self.node.membership();
        let own = self.config.raft.id;
        if self.node.leader() != 0 || self.is_sole_voter() {
            self.config.advance_first_election = false;
            return;
        }
        if !members.voters.contains(&own) {
            // it may become one
            return;
        }
        let settled = self.config.tick * LEFT;
        let reached =
            |id: &u64| *id == own || self.parts.connections.connected_for(*id).is_some_and(|length| length >= settled);
        if members.voters.iter().filter(|id| reached(id)).count() <= members.voters.len() / 2 {
            return;
        }
        self.config.advance_first_election = false;
        for _ in LEFT..self.config.raft.election_tick {
            self.node.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::raft_core::testing::bench_with;
    use raft::Role;

    /// Ticks until member 1 of three asks for votes, having reached those who are `reached` from the beginning.
    fn ticks_until_it_asks(advance: bool, reached: &[u64]) -> u32 {
        let mut bench = bench_with(3, |config| config.advance_first_election = advance);
        for peer in [2, 3].iter().filter(|peer| !reached.contains(peer)) {
            bench.reach(*peer, None);
        }
        (1..100)
            .find(|_| {
                bench.tick(1);
                bench.core.node().role() != Role::Follower
            })
            .expect("it asks some time")
    }

    #[test]
    fn who_reaches_a_quorum_skips_most_of_the_first_wait_and_nobody_else_does() {
        let full = ticks_until_it_asks(false, &[2, 3]);
        // the bench draws the same timeout every time
        assert_eq!(ticks_until_it_asks(true, &[]), full);
        let skipped = ticks_until_it_asks(true, &[2]);
        assert!(skipped >= super::LEFT && skipped < full, "{skipped} of {full}");
    }
}
