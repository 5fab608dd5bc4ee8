//! Elections: pre-vote and vote rounds.
//!
//! A candidate asks, counts, and gives way to any leader of its term. Must never count a vote for itself before it is
//! durable: its own vote takes the same way as that of others.

use crate::error::{ProposalDropped, StepError};
use crate::message::{Body, Message, MessageKind, VoteRequest};
use crate::node::Node;
use crate::quorum::VoteResult;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{NodeId, Role};

/// Why a member campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Campaign {
    /// To find out whether it would win.
    PreElection,
    /// To win.
    Election,
    /// Because the leader asked it to.
    Transfer,
}

impl<S: Storage, T: Trace> Node<S, T> {
    /// Campaigns because time is up or the caller says so.
    pub(crate) fn hup(&mut self) {
        self.hup_for(if self.config.pre_vote { Campaign::PreElection } else { Campaign::Election });
    }

    pub(crate) fn hup_for(&mut self, campaign: Campaign) {
        if self.role == Role::Leader {
            trace!(self, TraceEvent::AlreadyLeader);
        } else if !self.is_promotable() {
            trace!(self, TraceEvent::Unpromotable);
        } else if self.log.has_unapplied_conf_change() {
            trace!(self, TraceEvent::ConfChangeUnapplied { term: self.term });
        } else {
            trace!(self, TraceEvent::StartingElection { term: self.term });
            self.campaign_for(campaign);
        }
    }

    fn campaign_for(&mut self, campaign: Campaign) {
        if !self.is_promotable() {
            trace!(self, TraceEvent::UnpromotableInCampaign);
        }
        let pre = campaign == Campaign::PreElection;
        let term = if pre {
            self.become_pre_candidate();
            self.term + 1
        } else {
            self.become_candidate();
            self.term
        };
        let last = self.log.last_id();
        let transfer = campaign == Campaign::Transfer;
        let request = VoteRequest { last_index: last.index, last_term: last.term, transfer };
        for voter in self.tracker.voters() {
            if voter == self.config.id {
                let rejected = false;
                let own = if pre { Body::PreVoteResp { rejected } } else { Body::VoteResp { rejected } };
                self.send_in_term(voter, term, own);
            } else {
                let body = if pre { Body::PreVote(request) } else { Body::Vote(request) };
                let kind = body.kind();
                trace!(self, TraceEvent::SentVoteRequest { last, kind, to: voter, term: self.term });
                self.send_in_term(voter, term, body);
            }
        }
    }

    pub(crate) fn step_candidate(&mut self, message: Message) -> Result<(), StepError> {
        let (from, term) = (message.from, message.term);
        match message.body {
            Body::Propose(_) => return Err(self.drop_proposal_without_leader().into()),
            Body::Append(append) => {
                self.become_follower(term, from);
                self.on_append(from, append);
            }
            Body::Heartbeat { commit, read_round } => {
                self.become_follower(term, from);
                self.on_heartbeat(from, commit, read_round)?;
            }
            Body::Snapshot(snapshot) => {
                self.become_follower(term, from);
                self.on_snapshot(from, snapshot);
            }
            // Only answers to the round that is on: those to a pre-vote may come late.
            Body::PreVoteResp { rejected } if self.role == Role::PreCandidate => {
                self.on_vote(from, MessageKind::PreVoteResp, rejected);
            }
            Body::VoteResp { rejected } if self.role == Role::Candidate => {
                self.on_vote(from, MessageKind::VoteResp, rejected);
            }
            Body::TimeoutNow => {
                trace!(self, TraceEvent::IgnoredTimeoutNow { term: self.term, role: self.role, from });
            }
            _ => {}
        }
        Ok(())
    }

    fn on_vote(&mut self, from: NodeId, kind: MessageKind, rejected: bool) {
        trace!(self, TraceEvent::ReceivedVote { kind, from, term: self.term, rejected });
        self.tracker.record_vote(from, !rejected);
        let (granted, rejected, result) = self.tracker.tally();
        trace!(self, TraceEvent::VoteTally { granted, kind, rejected });
        match result {
            VoteResult::Won if self.role == Role::PreCandidate => self.campaign_for(Campaign::Election),
            VoteResult::Won => {
                self.become_leader();
                self.broadcast_append();
            }
            VoteResult::Lost => self.become_follower(self.term, 0),
            VoteResult::Pending => {}
        }
    }

    pub(crate) fn drop_proposal_without_leader(&mut self) -> ProposalDropped {
        trace!(self, TraceEvent::ProposalWithoutLeader { term: self.term });
        ProposalDropped::NoLeader
    }
}
