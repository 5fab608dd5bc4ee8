//! What comes into raft from outside: messages of other members, and proposals of clients and owners.
//!
//! Must never let anything into the log that a member could not apply, and never leave a proposal without an outcome.

use super::core::RaftCore;
use super::forwarded;
use super::held::HeldProposal;
use super::inbox::Inbox;
use crate::calls::kinds::{ProposalsRefused, Refusal};
use crate::limits::{PROPOSE_BYTES, RECEIVES, TAKE_PER_TURN, UNAPPLIED_ENTRIES};
use bytes::Bytes;
use messages::propose::{MAX_COMMAND_BYTES, Proposal, Propose};
use messages::{Reply, ReplyBody, RequestError, SinkId, Token};
use model::{Envelope, Origin};
use raft::{Body, EntryKind, Message, NodeId, ProposalDropped, Proposed, StepError};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a notice of refused proposals may be on its way.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// Proposals that are handed to raft together: all are taken, or none.
#[derive(Default)]
struct Batch {
    payloads: Vec<Bytes>,
    bytes: usize,
    /// Sequences of those that wait for them.
    sequences: Vec<u64>,
}

impl RaftCore {
    /// What other members said, before time passes: what came during a stall of this process was said before the ticks that
    /// it is owed. After a gap all signs of life count, however many wait.
    pub(super) fn on_peers(&mut self, ticks: u32) {
        let control = if ticks > 1 { RECEIVES } else { TAKE_PER_TURN };
        let peers: Vec<_> = self.parts.inbox.peer_control.try_iter().take(control).collect();
        let peers: Vec<_> = peers.into_iter().chain(Inbox::take(&self.parts.inbox.peer_data)).collect();
        for list in peers {
            for message in list.messages {
                self.on_message(message);
                if self.failure.is_some() {
                    return;
                }
            }
        }
    }

    pub(super) fn on_message(&mut self, message: Message) {
        let from = message.from;
        if matches!(message.body, Body::Append(_)) {
            self.parts.gauges.appends_received.fetch_add(1, Relaxed);
        }
        let proposals = match &message.body {
            Body::Propose(proposals) => proposals.clone(),
            _ => Vec::new(),
        };
        if !proposals.is_empty() && !self.takes_forwarded(from, &proposals) {
            return;
        }
        // one that this member does not need is only answered
        if let Body::Snapshot(snapshot) = &message.body
            && snapshot.meta.index > self.node.committed()
        {
            tracing::warn!(
                from = format!("{:x}", message.from),
                "refused the announcement of a snapshot that did not come with it"
            );
            return;
        }
        if proposals.iter().any(|proposal| proposal.kind != EntryKind::Normal) && self.must_hold_changes() {
            return self.hold_change(message, &proposals);
        }
        match self.node.step(message) {
            Err(why @ StepError::LogLost { .. }) => self.failure = Some(why.to_string()),
            Err(StepError::Dropped(why)) => self.refuse_forwarded(from, &proposals, why),
            // a message of somebody who is not a member
            Err(StepError::PeerNotFound | StepError::Malformed) | Ok(()) => {}
        }
    }

    /// Whether proposals of another member may be stepped; if not, it has been told.
    fn takes_forwarded(&self, from: NodeId, proposals: &[raft::Proposal]) -> bool {
        let refusal = match forwarded::check(from, proposals, self.node.membership()) {
            Err(why) => {
                // once in the log, it would stop every member that applies it
                tracing::warn!(from = format!("{from:x}"), why, "refused forwarded proposals");
                ProposalDropped::BadConfChange
            }
            // given to the leader of another term: it may have been deposed and elected again meanwhile
            Ok(terms) if !terms.are(self.node.term()) => ProposalDropped::NoLeader,
            Ok(_) if self.refuses_to_lead() => ProposalDropped::Transferring,
            Ok(_) => return true,
        };
        self.refuse_forwarded(from, proposals, refusal);
        false
    }

    /// Tells the member that has forwarded proposals that they were not taken, so that whoever waits there need not wait for long.
    pub(super) fn refuse_forwarded(&self, from: NodeId, proposals: &[raft::Proposal], why: ProposalDropped) {
        let origins: Vec<Origin> = proposals.iter().filter_map(forwarded::origin_of).collect();
        let Some(epoch) = origins.first().map(|origin| origin.epoch) else { return };
        let own = origins.iter().filter(|origin| (origin.member, origin.epoch) == (from, epoch));
        let sequences = own.map(|origin| origin.sequence).collect();
        let refusal = Refusal { epoch, sequences, too_many: why == ProposalDropped::TooMuchUncommitted };
        // one that is lost is made up for by the deadline of whoever waits
        self.parts.calls.ask::<ProposalsRefused>(from, refusal, REFUSAL_PATIENCE, drop);
    }

    /// Proposes what clients and owners ask for, as few batches as fit into frames. While nobody leads, or leadership moves, it waits.
    pub(super) fn on_proposals(&mut self, lists: Vec<Propose>) {
        let deadline = self.now + self.config.request_ticks;
        let fresh = lists.into_iter().flat_map(|Propose { sink, proposals }| {
            proposals.into_iter().map(move |proposal| HeldProposal { sink, proposal, deadline })
        });
        let hangs = self.refuses_to_lead();
        // a leader that is being replaced takes nothing, and knows soon whom to pass it on to
        let waits = self.node.leader() == 0 || self.node.lead_transferee() != 0;
        if waits && !hangs {
            return fresh.for_each(|proposal| self.hold(proposal));
        }
        let unapplied = self.node.committed().saturating_sub(self.node.applied());
        let mut batch = Batch::default();
        for HeldProposal { sink, proposal, deadline } in self.held.take_all().into_iter().chain(fresh) {
            if proposal.command.len() > MAX_COMMAND_BYTES {
                self.refuse(sink, proposal.token, RequestError::TooLarge);
            } else if unapplied > UNAPPLIED_ENTRIES {
                self.refuse(sink, proposal.token, RequestError::TooManyRequests);
            } else if proposal.only_in_term != 0 && !self.node.is_leader() {
                // it concerns this member's leadership, of which there is none (any more)
                self.refuse(sink, proposal.token, RequestError::NotLeader);
            } else if hangs {
                self.refuse(sink, proposal.token, RequestError::LeaderChanged);
            } else {
                if !batch.payloads.is_empty() && batch.bytes + proposal.command.len() > PROPOSE_BYTES {
                    self.propose(std::mem::take(&mut batch));
                }
                self.add(&mut batch, sink, proposal, deadline);
            }
        }
        if !batch.payloads.is_empty() {
            self.propose(batch);
        }
    }

    /// Nobody leads: a proposal waits for a leader, unless it concerns this member's leadership.
    fn hold(&mut self, held: HeldProposal) {
        let (sink, token) = (held.sink, held.proposal.token);
        if held.proposal.only_in_term != 0 {
            self.refuse(sink, token, RequestError::NotLeader);
        } else if self.held.push(held, self.config.raft.max_uncommitted_size).is_err() {
            self.refuse(sink, token, RequestError::TooManyRequests);
        }
    }

    /// What has had no outcome for too long is given up.
    pub(super) fn expire_proposals(&mut self) {
        let held = self.held.expired(self.now);
        held.into_iter().for_each(|(sink, token)| self.refuse(sink, token, RequestError::Timeout));
        let (patience, election) = (self.config.request_ticks, u64::from(self.config.raft.election_tick));
        let led_at = self.led_at;
        // etcd's rule: what was under way when this member had to take over for another
        let why = |deadline: u64| match deadline.saturating_sub(patience) {
            start if start < led_at && start + 2 * election > led_at => RequestError::TimeoutLeaderLost,
            _ => RequestError::Timeout,
        };
        let failed = self.proposals.expire(self.now, why, &mut self.out);
        self.parts.gauges.proposals_failed.fetch_add(failed, Relaxed);
    }

    /// Gives a proposal its origin, and notes who waits for it.
    fn add(&mut self, batch: &mut Batch, sink: SinkId, proposal: Proposal, deadline: u64) {
        // Bound to the term of the leader that it is given to: whatever becomes of it on the way, its outcome is known as soon as
        // an entry of a later term commits.
        let only_in_term = if proposal.only_in_term == 0 { self.node.term() } else { proposal.only_in_term };
        let sequence = self.proposals.add(sink, proposal.token, deadline, only_in_term);
        let origin = Origin { member: self.config.raft.id, epoch: self.config.epoch, sequence };
        let envelope = Envelope { origin, only_in_term, command: proposal.command };
        let payload = envelope.encode();
        batch.bytes += payload.len();
        batch.payloads.push(payload);
        batch.sequences.push(sequence);
    }

    /// The waiters of the batch must be the last ones that were noted.
    fn propose(&mut self, batch: Batch) {
        match self.node.propose(batch.payloads) {
            Ok(Proposed::Appended { term, first, .. }) => self.proposals.placed(first, term, batch.sequences.len()),
            Ok(Proposed::Forwarded { .. }) => {}
            Err(why) => self.refuse_dropped(&batch.sequences, why),
        }
    }

    /// The whole batch was not taken: certainly not applied.
    pub(super) fn refuse_dropped(&mut self, sequences: &[u64], why: ProposalDropped) {
        let error = match why {
            ProposalDropped::TooMuchUncommitted => RequestError::TooManyRequests,
            ProposalDropped::NoLeader | ProposalDropped::NotForwarding => RequestError::NoLeader,
            ProposalDropped::Transferring | ProposalDropped::NotMember | ProposalDropped::BadConfChange => {
                RequestError::LeaderChanged
            }
        };
        for sequence in sequences {
            if let Some((sink, token)) = self.proposals.take(*sequence) {
                self.refuse(sink, token, error);
            }
        }
    }

    /// A proposal certainly has no effect.
    pub(super) fn refuse(&mut self, sink: SinkId, token: Token, why: RequestError) {
        self.parts.gauges.proposals_failed.fetch_add(1, Relaxed);
        self.out.push(sink, Reply { token, body: ReplyBody::Applied(Err(why)) });
    }
}
