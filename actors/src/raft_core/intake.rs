//! What comes into raft from outside: messages of other members, and proposals of clients and owners.
//!
//! Must never let anything into the log that a member could not apply, and never leave a proposal without an outcome.

use super::core::RaftCore;
use super::inbox::Inbox;
use crate::limits::{RECEIVES, TAKE_PER_TURN, UNAPPLIED_ENTRIES};
use messages::propose::Propose;
use messages::{Reply, ReplyBody, RequestError, SinkId, Token};
use model::{Envelope, Origin};
use raft::{ProposalDropped, Proposed, StepError};
use std::sync::atomic::Ordering::Relaxed;

impl RaftCore {
    /// What other members said, before time passes: what came during a stall of this process was said before the ticks that
    /// it is owed. After a gap all signs of life count, however many wait.
    pub(super) fn on_peers(&mut self, ticks: u32) {
        let control = if ticks > 1 { RECEIVES } else { TAKE_PER_TURN };
        let peers: Vec<_> = self.parts.inbox.peer_control.try_iter().take(control).collect();
        let peers: Vec<_> = peers.into_iter().chain(Inbox::take(&self.parts.inbox.peer_data)).collect();
        for list in peers {
            for message in list.messages {
                // a message of somebody who is not a member, or a forwarded proposal that cannot be taken: its sender times out
                if let Err(why @ StepError::LogLost { .. }) = self.node.step(message) {
                    self.failure = Some(why.to_string());
                    return;
                }
            }
        }
    }

    /// Proposes what clients and owners ask for, all lists of a round at once.
    pub(super) fn on_proposals(&mut self, lists: Vec<Propose>) {
        let unapplied = self.node.committed().saturating_sub(self.node.applied());
        let mut payloads = Vec::with_capacity(lists.iter().map(|l| l.proposals.len()).sum());
        let mut waiters: Vec<(SinkId, Token)> = Vec::with_capacity(payloads.capacity());
        let deadline = self.now + self.config.request_ticks;
        for Propose { sink, proposals } in lists {
            for proposal in proposals {
                if unapplied > UNAPPLIED_ENTRIES {
                    self.refuse(sink, proposal.token, RequestError::TooManyRequests);
                    continue;
                }
                let sequence = self.proposals.add(sink, proposal.token, deadline);
                let origin = Origin { member: self.config.raft.id, epoch: self.config.epoch, sequence };
                let envelope = Envelope { origin, only_in_term: proposal.only_in_term, command: proposal.command };
                payloads.push(envelope.encode());
                waiters.push((sink, sequence));
            }
        }
        if payloads.is_empty() {
            return;
        }
        match self.node.propose(payloads) {
            Ok(Proposed::Appended { term, first, .. }) => self.proposals.placed(first, term, waiters.len()),
            Ok(Proposed::Forwarded { .. }) => {}
            Err(why) => self.refuse_dropped(&waiters, why),
        }
    }

    /// The whole list was not taken: certainly not applied.
    fn refuse_dropped(&mut self, waiters: &[(SinkId, u64)], why: ProposalDropped) {
        let error = match why {
            ProposalDropped::TooMuchUncommitted => RequestError::TooManyRequests,
            ProposalDropped::NoLeader | ProposalDropped::NotForwarding => RequestError::NoLeader,
            ProposalDropped::Transferring | ProposalDropped::NotMember | ProposalDropped::BadConfChange => {
                RequestError::LeaderChanged
            }
        };
        for (_, sequence) in waiters {
            if let Some((sink, token)) = self.proposals.take(*sequence) {
                self.refuse(sink, token, error);
            }
        }
    }

    fn refuse(&mut self, sink: SinkId, token: Token, why: RequestError) {
        self.parts.gauges.proposals_failed.fetch_add(1, Relaxed);
        self.out.push(sink, Reply { token, body: ReplyBody::Applied(Err(why)) });
    }
}
