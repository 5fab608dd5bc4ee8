//! The lease manager without its mailbox: who asked, what is proposed, what waits for what. Pure: every call says what time it is.
//!
//! The actor and the simulator drive the same service. Must never answer a renewal that another leader might not know of.

use super::confirmation::LeaderConfirmation;
use super::forwarding::{Forwarding, LeaderAnswered, LeaderCalls};
use super::table::{LeaseCounts, Leases, Renewal};
use super::waiting::{PATIENCE, PeerAsk, Waiting};
use crate::wiring::leases::{LeasesAdvanced, RebuildLeases, RoleChanged, StoredLease};
use bytes::Bytes;
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::ports::CorePort;
use messages::propose::{Proposal, Propose};
use messages::read::ReadIndex;
use messages::reply::Outbox;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId, Sinks, Token};
use model::mutant::{self, Mutant};
use model::request::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest};
use model::{Applied, Caller, Command};
use raft::NodeId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use storage::apply::LeaseChange;

/// Ends the service talks to, and how it starts.
pub struct LeaseServiceParts {
    /// This member.
    pub own: NodeId,
    /// Leases of the store at the start; every later change must come as a message.
    pub stored: Vec<StoredLease>,
    /// Milliseconds.
    pub election_timeout: u64,
    /// Milliseconds.
    pub heartbeat: u64,
    /// Where answers to its own proposals and reads go.
    pub sink: SinkId,
    /// The raft core.
    pub core: CorePort,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
}

/// A proposal of the manager's own.
#[derive(Clone, Debug)]
enum OwnProposal {
    Revoke(i64),
    Checkpoints(Vec<i64>),
    ClearCheckpoints(Vec<i64>),
}

/// The service. Times are milliseconds of a clock that starts with it and goes on while the machine is suspended.
pub struct LeaseService {
    pub(super) leases: Leases,
    pub(super) confirmation: LeaderConfirmation,
    pub(super) parts: LeaseServiceParts,
    calls: Box<dyn LeaderCalls>,
    next_token: Token,
    /// Proposals without an outcome, and the term in which each may have an effect.
    own: HashMap<Token, (u64, OwnProposal)>,
    /// Wait for a round of read index.
    unconfirmed: Vec<Waiting>,
    /// Wait for a change of their lease.
    held: Vec<Waiting>,
    /// Wait for the leader.
    forwarding: Forwarding,
    /// Questions of other members that wait for a round of read index.
    pub(super) peers: Vec<PeerAsk>,
    out: Outbox,
    counted: LeaseCounts,
    /// Notices of changed leases that were taken.
    notices: u64,
}

/// How a question is to be dealt with.
enum Verdict {
    Answer(Result<LeaseReply, RequestError>),
    /// After the next round of read index.
    Round,
    /// After the next change of its lease.
    Hold,
    /// By the leader.
    Forward,
}

impl LeaseService {
    /// At time zero.
    pub fn new(mut parts: LeaseServiceParts, calls: Box<dyn LeaderCalls>) -> Self {
        Self {
            leases: Leases::new(std::mem::take(&mut parts.stored), parts.election_timeout, 0),
            confirmation: LeaderConfirmation::new(parts.election_timeout.saturating_sub(parts.heartbeat)),
            forwarding: Forwarding::new(parts.own),
            parts,
            calls,
            next_token: 0,
            own: HashMap::new(),
            unconfirmed: Vec::new(),
            held: Vec::new(),
            peers: Vec::new(),
            out: Outbox::default(),
            counted: LeaseCounts::default(),
            notices: 0,
        }
    }

    /// The applier changed leases.
    pub fn advanced(&mut self, message: LeasesAdvanced, now: u64) {
        self.leases.tick(now);
        self.notices += 1;
        let mut freed = false;
        for change in message.changes {
            freed |= !matches!(change, LeaseChange::Granted { .. });
            self.leases.change(change);
        }
        if freed {
            self.retry_held(now);
        }
        self.finish(now);
    }

    /// This member began or ceased to lead, or another one leads.
    pub fn role(&mut self, message: RoleChanged, now: u64) {
        self.leases.tick(now);
        self.forwarding.set_leader(message.leader);
        if self.leases.leading() != message.leading.then_some(message.term) {
            self.confirmation.forget();
            self.leases.role(message);
            self.ask_anew(now);
        }
        self.finish(now);
    }

    /// Looks again at everything that waits, in the new role.
    fn ask_anew(&mut self, now: u64) {
        let mut all = self.forwarding.take_all();
        all.append(&mut self.unconfirmed);
        all.append(&mut self.held);
        all.into_iter().for_each(|waiting| self.answer_or_wait(waiting, now, false));
        self.retry_peers(now);
    }

    /// Another store took the place of the one before.
    pub fn rebuild(&mut self, message: RebuildLeases, now: u64) {
        self.leases.tick(now);
        self.notices += 1;
        self.leases.rebuild(message.stored);
        self.retry_held(now);
        self.finish(now);
    }

    /// The end of a call to the leader.
    pub fn leader_answered(&mut self, message: LeaderAnswered, now: u64) {
        self.leases.tick(now);
        for (waiting, reply) in self.forwarding.answered(message, now) {
            self.answer(&waiting, Ok(reply));
        }
        self.finish(now);
    }

    /// Questions of clients.
    pub fn requests(&mut self, message: LeaseRequests, now: u64) {
        self.leases.tick(now);
        for (token, ask) in message.asks {
            self.answer_or_wait(Waiting { sink: message.sink, token, ask, since: now, round: 0 }, now, false);
        }
        self.finish(now);
    }

    /// Answers to its own proposals and reads.
    pub fn answers(&mut self, replies: Vec<Reply>, now: u64) {
        self.leases.tick(now);
        for Reply { token, body } in replies {
            match body {
                ReplyBody::Applied(result) => self.end_proposal(token, had_no_effect(&result)),
                ReplyBody::ReadGranted(result) if token == self.confirmation.round() => self.end_round(result, now),
                _ => {}
            }
        }
        self.finish(now);
    }

    /// Time passes.
    pub fn tick(&mut self, now: u64) {
        self.leases.tick(now);
        self.time_out(now);
        self.finish(now);
    }

    /// The table, for who checks it.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What every message ends with: rounds, calls, proposals, answers.
    pub(super) fn finish(&mut self, now: u64) {
        self.ask_round(now);
        while let Some(call) = self.forwarding.next_call(now) {
            self.calls.call(call);
        }
        self.propose_revokes();
        self.propose_checkpoints();
        self.out.flush(&self.parts.sinks);
        self.count();
    }

    /// Whether no other leader can exist at this moment, and this manager knows of every end of a lease that was answered: another member
    /// may have carried out sooner what this one has committed. The only voter is the only one that answers.
    pub(super) fn is_confirmed(&self, now: u64) -> bool {
        if mutant::on(Mutant::StaleRenewal) {
            return true;
        }
        let gauges = &self.parts.gauges;
        if self.notices < gauges.lease_notices.load(Acquire) {
            return false;
        }
        let is_applied = || gauges.applied.load(Acquire) >= gauges.committed.load(Acquire);
        gauges.sole_member.load(Acquire) || (is_applied() && self.confirmation.is_fresh(now))
    }

    fn decide(&mut self, ask: LeaseAsk, now: u64, confirmed: bool) -> Verdict {
        let fresh = confirmed || self.is_confirmed(now);
        match ask {
            LeaseAsk::List if confirmed => Verdict::Answer(Ok(LeaseReply::List(self.leases.list()))),
            LeaseAsk::List => Verdict::Round,
            _ if self.leases.leading().is_none() => Verdict::Forward,
            // a grant may be on its way from the applier: a round comes after it
            LeaseAsk::Renew { id } | LeaseAsk::TimeToLive { id } if !self.leases.exists(id) && !confirmed => {
                Verdict::Round
            }
            LeaseAsk::Renew { .. } | LeaseAsk::TimeToLive { .. } if !fresh => Verdict::Round,
            LeaseAsk::TimeToLive { id } => Verdict::Answer(Ok(LeaseReply::TimeToLive(self.leases.time_to_live(id)))),
            LeaseAsk::Renew { id } => match self.leases.renew(id) {
                Renewal::Renewed { ttl } => Verdict::Answer(Ok(LeaseReply::Renewed { ttl })),
                Renewal::Unknown => Verdict::Answer(Ok(LeaseReply::Renewed { ttl: 0 })),
                Renewal::NotLeader => Verdict::Forward,
                Renewal::Ended => Verdict::Hold,
                Renewal::Checkpointed => {
                    self.clear_checkpoints(vec![id]);
                    Verdict::Hold
                }
            },
        }
    }

    fn answer_or_wait(&mut self, mut waiting: Waiting, now: u64, confirmed: bool) {
        match self.decide(waiting.ask, now, confirmed) {
            Verdict::Answer(result) => self.answer(&waiting, result),
            Verdict::Round => {
                // a round that is out began before this question
                waiting.round = self.confirmation.round() + 1;
                self.unconfirmed.push(waiting);
            }
            Verdict::Hold => self.held.push(waiting),
            Verdict::Forward => self.forwarding.add(waiting),
        }
    }

    /// Begins a round of read index when somebody waits for one and none is out.
    fn ask_round(&mut self, now: u64) {
        if (self.unconfirmed.is_empty() && self.peers.is_empty()) || self.confirmation.begin(now).is_none() {
            return;
        }
        let list = ReadIndex { sink: self.parts.sink, tokens: vec![self.confirmation.round()] };
        if self.parts.core.read(list).is_err() {
            // the queue is full: those who wait ask again with the next message or tick
            self.confirmation.end(false);
        }
    }

    fn end_round(&mut self, result: Result<(), RequestError>, now: u64) {
        let round = self.confirmation.round();
        self.confirmation.end(result.is_ok());
        for waiting in std::mem::take(&mut self.unconfirmed) {
            match result {
                _ if waiting.round > round => self.unconfirmed.push(waiting),
                Ok(()) => self.answer_or_wait(waiting, now, true),
                Err(why) => self.answer(&waiting, Err(why)),
            }
        }
        self.end_peers_round(round, result.is_ok(), now);
    }

    fn answer(&mut self, waiting: &Waiting, result: Result<LeaseReply, RequestError>) {
        self.out.push(waiting.sink, Reply { token: waiting.token, body: ReplyBody::Lease(result) });
    }

    /// Looks again at what waits for a change of a lease.
    fn retry_held(&mut self, now: u64) {
        for waiting in std::mem::take(&mut self.held) {
            self.answer_or_wait(waiting, now, false);
        }
    }

    fn time_out(&mut self, now: u64) {
        self.confirmation.give_up(now, PATIENCE);
        let (late, why) = self.forwarding.expired(now);
        late.iter().for_each(|waiting| self.answer(waiting, Err(why)));
        self.time_out_peers(now);
        let mut late = Vec::new();
        for list in [&mut self.unconfirmed, &mut self.held] {
            list.retain(|waiting| {
                let keep = !waiting.is_late(now);
                if !keep {
                    late.push(*waiting);
                }
                keep
            });
        }
        late.iter().for_each(|waiting| self.answer(waiting, Err(RequestError::Timeout)));
    }

    /// Proposes to clear the checkpoints of these leases, but of those whose clearing is on its way already.
    pub(super) fn clear_checkpoints(&mut self, mut ids: Vec<i64>) {
        let Some(term) = self.leases.leading() else { return };
        let own = self.own.values().filter_map(|(_, own)| match own {
            OwnProposal::ClearCheckpoints(ids) => Some(ids),
            OwnProposal::Revoke(_) | OwnProposal::Checkpoints(_) => None,
        });
        let asked: HashSet<i64> = own.flatten().copied().collect();
        ids.retain(|id| !asked.contains(id));
        if ids.is_empty() {
            return;
        }
        ids.iter().for_each(|id| self.leases.clear_proposed(*id));
        let command = checkpoint_command(ids.iter().map(|id| (*id, 0)));
        self.propose(vec![(OwnProposal::ClearCheckpoints(ids), command)], term);
    }

    fn propose_checkpoints(&mut self) {
        let Some(due) = self.leases.take_checkpoints() else { return };
        let command = checkpoint_command(due.remaining.iter().copied());
        let ids = due.remaining.into_iter().map(|(id, _)| id).collect();
        self.propose(vec![(OwnProposal::Checkpoints(ids), command)], due.term);
    }

    fn propose_revokes(&mut self) {
        let revokes = self.leases.take_revokes();
        let Some(term) = revokes.first().map(|r| r.term) else { return };
        let command = |id| Command::LeaseRevoke(LeaseRevokeRequest { id });
        self.propose(revokes.into_iter().map(|r| (OwnProposal::Revoke(r.id), command(r.id))).collect(), term);
    }

    fn propose(&mut self, commands: Vec<(OwnProposal, Command)>, only_in_term: u64) {
        let mut proposals = Vec::with_capacity(commands.len());
        for (own, command) in commands {
            self.next_token += 1;
            let token = self.next_token;
            self.own.insert(token, (only_in_term, own));
            let command: Bytes = command.encode_for(Caller::Internal, token);
            proposals.push(Proposal { token, command, only_in_term });
        }
        if let Err(refused) = self.parts.core.propose(Propose { sink: self.parts.sink, proposals }) {
            refused.into_inner().proposals.iter().for_each(|proposal| self.end_proposal(proposal.token, true));
        }
    }

    /// A proposal was answered. One that took effect shows as a change of the table; one of another term says nothing any more.
    fn end_proposal(&mut self, token: Token, failed: bool) {
        let Some((term, own)) = self.own.remove(&token) else { return };
        if self.leases.leading() != Some(term) {
            return;
        }
        match own {
            OwnProposal::Revoke(id) if failed => self.leases.revoke_failed(id),
            OwnProposal::Revoke(_) => {}
            OwnProposal::Checkpoints(ids) => self.leases.checkpoints_ended(&ids, failed),
            OwnProposal::ClearCheckpoints(ids) if failed => ids.iter().for_each(|id| self.leases.clear_refused(*id)),
            OwnProposal::ClearCheckpoints(_) => {}
        }
    }

    fn count(&mut self) {
        let counts = self.leases.counts();
        if counts == self.counted {
            return;
        }
        let gauges = &self.parts.gauges;
        let before = self.counted;
        gauges.leases_granted.fetch_add(counts.granted - before.granted, Relaxed);
        gauges.leases_revoked.fetch_add(counts.revoked - before.revoked, Relaxed);
        gauges.leases_renewed.fetch_add(counts.renewed - before.renewed, Relaxed);
        gauges.leases_expired.fetch_add(counts.expired - before.expired, Relaxed);
        self.counted = counts;
    }
}

/// Certainly: what timed out stands in the log and may still have its effect.
fn had_no_effect(result: &Result<Applied, RequestError>) -> bool {
    match result {
        Ok(applied) => applied.result.is_err(),
        Err(RequestError::Timeout | RequestError::TimeoutLeaderLost) => false,
        Err(_) => true,
    }
}

fn checkpoint_command(remaining: impl Iterator<Item = (i64, i64)>) -> Command {
    let checkpoints = remaining.map(|(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl }).collect();
    Command::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints })
}
