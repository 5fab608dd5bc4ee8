//! The rules that hold for every message in every role: terms, leases, votes.
//!
//! What is left goes to the file of the role. Must never let a message of an old term change anything.

use crate::error::StepError;
use crate::message::{Body, Message, MessageKind, VoteRequest};
use crate::node::Node;
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, VoteScene, trace};
use crate::types::{LogId, NodeId, Role, Term};

impl<S: Storage, T: Trace> Node<S, T> {
    /// Handles any message; term zero means it belongs to no term.
    pub(crate) fn handle(&mut self, message: Message) -> Result<(), StepError> {
        if message.term > self.term {
            if !self.accept_higher_term(&message) {
                return Ok(());
            }
        } else if message.term < self.term && message.term != 0 {
            self.on_lower_term(&message);
            return Ok(());
        }
        match (&message.body, self.role) {
            (Body::Vote(request) | Body::PreVote(request), _) => {
                let request = *request;
                self.on_vote_request(&message, request);
                Ok(())
            }
            (_, Role::Leader) => self.step_leader(message),
            (_, Role::Follower) => self.step_follower(message),
            (_, Role::Candidate | Role::PreCandidate) => self.step_candidate(message),
        }
    }

    /// Follows into a higher term where that is due; false if the message is to be ignored.
    fn accept_higher_term(&mut self, message: &Message) -> bool {
        let kind = message.body.kind();
        if let Body::Vote(request) | Body::PreVote(request) = &message.body {
            let in_lease =
                self.config.check_quorum && self.leader != 0 && self.election_elapsed < self.config.election_tick;
            if in_lease && !request.transfer {
                let remaining = self.config.election_tick - self.election_elapsed;
                let scene = self.vote_scene(message, *request);
                trace!(self, TraceEvent::IgnoredVoteInLease { scene, remaining });
                return false;
            }
        }
        match &message.body {
            // Asking for a promise moves nobody, and neither does giving one: its term is the one that was asked about.
            Body::PreVote(_) | Body::PreVoteResp { rejected: false } => {}
            _ => {
                let (term, from, message_term) = (self.term, message.from, message.term);
                trace!(self, TraceEvent::HigherTerm { term, kind, from, message_term });
                let from_leader = matches!(kind, MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot);
                self.become_follower(message_term, if from_leader { from } else { 0 });
            }
        }
        true
    }

    fn on_lower_term(&mut self, message: &Message) {
        let (kind, from) = (message.body.kind(), message.from);
        let from_leader = matches!(kind, MessageKind::Append | MessageKind::Heartbeat);
        if from_leader && (self.config.check_quorum || self.config.pre_vote) {
            // With these options a higher term does not spread by votes: a leader that lags behind must be told, or a
            // member that ran ahead while it was cut off could never come back.
            self.send(from, Body::AppendAccepted { index: 0 });
        } else if let Body::PreVote(request) = &message.body {
            // Not ignored, or a cluster in which somebody has a higher term but a shorter log could block itself.
            let scene = self.vote_scene(message, *request);
            trace!(self, TraceEvent::RejectedVote(scene));
            self.send_in_term(from, self.term, Body::PreVoteResp { rejected: true });
        } else {
            let (term, message_term) = (self.term, message.term);
            trace!(self, TraceEvent::IgnoredLowerTerm { term, kind, from, message_term });
        }
    }

    fn on_vote_request(&mut self, message: &Message, request: VoteRequest) {
        let (from, pre) = (message.from, message.body.kind() == MessageKind::PreVote);
        let may_vote = self.vote == from || (self.vote == 0 && self.leader == 0) || (pre && message.term > self.term);
        let up_to_date = self.log.is_up_to_date(LogId { term: request.last_term, index: request.last_index });
        // A learner votes too: it may have been promoted without knowing it yet, and its vote may be needed.
        let granted = may_vote && up_to_date;
        let scene = self.vote_scene(message, request);
        trace!(self, if granted { TraceEvent::CastVote(scene) } else { TraceEvent::RejectedVote(scene) });
        // A granted answer carries the term asked about, as a promise for a future term would look stale otherwise.
        let term = if granted { message.term } else { self.term };
        let rejected = !granted;
        self.send_in_term(from, term, if pre { Body::PreVoteResp { rejected } } else { Body::VoteResp { rejected } });
        if granted && !pre {
            assert!(self.vote == 0 || self.vote == from, "RI-12 one vote per term");
            self.election_elapsed = 0;
            self.vote = from;
        }
    }

    fn vote_scene(&self, message: &Message, request: VoteRequest) -> VoteScene {
        VoteScene {
            last: self.log.last_id(),
            vote: self.vote,
            kind: message.body.kind(),
            from: message.from,
            candidate_last: LogId { term: request.last_term, index: request.last_index },
            term: self.term,
        }
    }

    /// Queues a message of the own term (or of none, where that is how it travels).
    pub(crate) fn send(&mut self, to: NodeId, body: Body) {
        let term = if matches!(body, Body::Propose(_) | Body::ReadIndex { .. }) { 0 } else { self.term };
        self.send_in_term(to, term, body);
    }

    pub(crate) fn send_in_term(&mut self, to: NodeId, term: Term, body: Body) {
        self.queue(Message { from: self.config.id, to, term, body });
    }

    /// Queues a message: promises about the own disk wait for it, all else goes out at once.
    pub(crate) fn queue(&mut self, message: Message) {
        if message.body.waits_for_disk() {
            self.after_append.push(message);
        } else {
            assert!(message.to != self.config.id, "RI-11 only promises are sent to oneself");
            self.messages.push(message);
        }
    }

    /// Passes a message on to the leader, in the name of whoever sent it.
    pub(crate) fn forward(&mut self, from: NodeId, body: Body) {
        let term = if matches!(body, Body::Propose(_) | Body::ReadIndex { .. }) { 0 } else { self.term };
        self.queue(Message { from, to: self.leader, term, body });
    }
}
