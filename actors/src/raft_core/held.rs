//! Proposals that come while nobody leads, or while leadership is being handed over: they wait for a leader as long as their clients
//! do, as etcd's do. A change of leader is then a pause for clients, not an error.
//!
//! They have not been proposed: what is given up here certainly has no effect. Must never hold more bytes than raft takes.

use messages::propose::Proposal;
use messages::{SinkId, Token};
use std::collections::VecDeque;

/// A proposal and who waits for it.
#[derive(Debug)]
pub(super) struct HeldProposal {
    pub(super) sink: SinkId,
    pub(super) proposal: Proposal,
    /// Tick at which it is given up.
    pub(super) deadline: u64,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct HeldProposals {
    /// Deadlines ascend.
    queue: VecDeque<HeldProposal>,
    bytes: u64,
}

impl HeldProposals {
    /// Holds a proposal, or gives it back when there are `most` bytes. One alone may have any size.
    pub(super) fn push(&mut self, held: HeldProposal, most: u64) -> Result<(), HeldProposal> {
        let bytes = self.bytes + held.proposal.command.len() as u64;
        if bytes > most && !self.queue.is_empty() {
            return Err(held);
        }
        self.bytes = bytes;
        self.queue.push_back(held);
        Ok(())
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// All of them, in order.
    pub(super) fn take_all(&mut self) -> VecDeque<HeldProposal> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }

    /// Those whose deadline has come.
    pub(super) fn expired(&mut self, now: u64) -> Vec<(SinkId, Token)> {
        let count = self.queue.partition_point(|held| held.deadline <= now);
        let expired: Vec<HeldProposal> = self.queue.drain(..count).collect();
        self.bytes -= expired.iter().map(|held| held.proposal.command.len() as u64).sum::<u64>();
        expired.into_iter().map(|held| (held.sink, held.proposal.token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn held(token: Token, bytes: usize, deadline: u64) -> HeldProposal {
        let proposal = Proposal { token, command: Bytes::from(vec![0; bytes]), only_in_term: 0 };
        HeldProposal { sink: SinkId(0), proposal, deadline }
    }

    #[test]
    fn they_are_bounded_in_bytes_and_given_up_in_order() {
        let mut proposals = HeldProposals::default();
        assert!(proposals.push(held(1, 20, 5), 10).is_ok(), "one alone");
        assert!(proposals.push(held(2, 1, 5), 10).is_err());
        assert_eq!(proposals.expired(4), []);
        assert_eq!(proposals.expired(5), [(SinkId(0), 1)]);
        for token in 3..5 {
            assert!(proposals.push(held(token, 5, 7), 10).is_ok());
        }
        assert!(proposals.push(held(5, 1, 7), 10).is_err());
        let all = proposals.take_all();
        assert_eq!(all.iter().map(|held| held.proposal.token).collect::<Vec<_>>(), [3, 4]);
        assert!(proposals.push(held(6, 10, 9), 10).is_ok(), "there is room again");
    }
}
