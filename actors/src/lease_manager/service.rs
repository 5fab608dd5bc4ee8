//! The lease manager without its mailbox: who asked, what is proposed, what waits for what. Pure: every call says what time it is.
//!
//! The actor and the simulator drive the same service. Must never answer a renewal that another leader might not know of.

use super::confirmation::LeaderConfirmation;
use super::table::{LeaseCounts, Leases, Renewal, StoredLease};
use crate::wiring::leases::{LeasesAdvanced, LeasesRestored, RoleChanged};
use bytes::Bytes;
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::ports::CorePort;
use messages::propose::{Proposal, Propose};
use messages::read::ReadIndex;
use messages::reply::Outbox;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId, Sinks, Token};
use model::request::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest};
use model::{Applied, Command};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use storage::apply::LeaseChange;

/// Milliseconds after which a question that waits is answered "request timed out".
const PATIENCE: u64 = 7_000;

/// Ends the service talks to, and how it starts.
pub struct LeaseServiceParts {
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

/// A question that cannot be answered yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    sink: SinkId,
    token: Token,
    ask: LeaseAsk,
    since: u64,
    /// The first round whose answer makes it answerable.
    round: u64,
}

/// A proposal of the manager's own.
#[derive(Clone, Copy, Debug)]
enum OwnProposal {
    Revoke(i64),
    ClearCheckpoint(i64),
}

/// The service. Times are milliseconds of a clock that starts with it and goes on while the machine is suspended.
pub struct LeaseService {
    leases: Leases,
    confirmation: LeaderConfirmation,
    parts: LeaseServiceParts,
    next_token: Token,
    own: HashMap<Token, OwnProposal>,
    /// Wait for a round of read index.
    unconfirmed: Vec<Waiting>,
    /// Wait for a change of their lease.
    held: Vec<Waiting>,
    out: Outbox,
    counted: LeaseCounts,
}

/// How a question is to be dealt with.
enum Verdict {
    Answer(Result<LeaseReply, RequestError>),
    /// After the next round of read index.
    Round,
    /// After the next change of its lease.
    Hold,
}

impl LeaseService {
    /// At time zero.
    pub fn new(mut parts: LeaseServiceParts) -> Self {
        Self {
            leases: Leases::new(std::mem::take(&mut parts.stored), parts.election_timeout, 0),
            confirmation: LeaderConfirmation::new(parts.election_timeout.saturating_sub(parts.heartbeat)),
            parts,
            next_token: 0,
            own: HashMap::new(),
            unconfirmed: Vec::new(),
            held: Vec::new(),
            out: Outbox::default(),
            counted: LeaseCounts::default(),
        }
    }

    /// The applier changed leases.
    pub fn advanced(&mut self, message: LeasesAdvanced, now: u64) {
        self.leases.tick(now);
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

    /// A snapshot replaced the store: the table is made anew.
    pub fn restored(&mut self, message: LeasesRestored, now: u64) {
        self.leases.tick(now);
        let stored =
            message.leases.into_iter().map(|(id, row)| StoredLease { id, ttl: row.ttl, remaining: row.remaining });
        self.leases.restore(stored);
        self.retry_held(now);
        self.finish(now);
    }

    /// This member began or ceased to lead.
    pub fn role(&mut self, message: RoleChanged, now: u64) {
        self.leases.tick(now);
        self.confirmation.forget();
        self.leases.role(message);
        self.retry_held(now);
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

    /// What every message ends with: rounds, revocations, answers.
    fn finish(&mut self, now: u64) {
        self.ask_round(now);
        self.propose_revokes();
        self.out.flush(&self.parts.sinks);
        self.count();
    }

    fn decide(&mut self, ask: LeaseAsk, now: u64, confirmed: bool) -> Verdict {
        let fresh = confirmed || self.parts.gauges.sole_voter.load(Acquire) || self.confirmation.is_fresh(now);
        match ask {
            LeaseAsk::List if confirmed => Verdict::Answer(Ok(LeaseReply::List(self.leases.list()))),
            LeaseAsk::List => Verdict::Round,
            _ if self.leases.leading().is_none() => Verdict::Answer(Err(RequestError::NotLeader)),
            // a grant may be on its way from the applier: a round comes after it
            LeaseAsk::Renew { id } | LeaseAsk::TimeToLive { id } if !self.leases.exists(id) && !confirmed => {
                Verdict::Round
            }
            LeaseAsk::TimeToLive { id } => Verdict::Answer(Ok(LeaseReply::TimeToLive(self.leases.time_to_live(id)))),
            LeaseAsk::Renew { .. } if !fresh => Verdict::Round,
            LeaseAsk::Renew { id } => match self.leases.renew(id) {
                Renewal::Renewed { ttl } => Verdict::Answer(Ok(LeaseReply::Renewed { ttl })),
                Renewal::Unknown => Verdict::Answer(Ok(LeaseReply::Renewed { ttl: 0 })),
                Renewal::NotLeader => Verdict::Answer(Err(RequestError::NotLeader)),
                Renewal::Ended => Verdict::Hold,
                Renewal::Checkpointed => {
                    self.clear_checkpoint(id);
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
        }
    }

    /// Begins a round of read index when somebody waits for one and none is out.
    fn ask_round(&mut self, now: u64) {
        if self.unconfirmed.is_empty() || self.confirmation.begin(now).is_none() {
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
        let mut late = Vec::new();
        for list in [&mut self.unconfirmed, &mut self.held] {
            list.retain(|waiting| {
                let keep = now.saturating_sub(waiting.since) < PATIENCE;
                if !keep {
                    late.push(*waiting);
                }
                keep
            });
        }
        late.iter().for_each(|waiting| self.answer(waiting, Err(RequestError::Timeout)));
    }

    fn clear_checkpoint(&mut self, id: i64) {
        if self.own.values().any(|own| matches!(own, OwnProposal::ClearCheckpoint(other) if *other == id)) {
            return;
        }
        let checkpoints = vec![LeaseCheckpoint { id, remaining_ttl: 0 }];
        let Some(term) = self.leases.leading() else { return };
        self.propose(
            vec![(OwnProposal::ClearCheckpoint(id), Command::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints }))],
            term,
        );
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
            self.own.insert(token, own);
            let command: Bytes = command.encode(token);
            proposals.push(Proposal { token, command, only_in_term });
        }
        if let Err(refused) = self.parts.core.propose(Propose { sink: self.parts.sink, proposals }) {
            refused.into_inner().proposals.iter().for_each(|proposal| self.end_proposal(proposal.token, true));
        }
    }

    /// A proposal was answered. One that took effect shows as a change of the table.
    fn end_proposal(&mut self, token: Token, failed: bool) {
        if let Some(OwnProposal::Revoke(id)) = self.own.remove(&token)
            && failed
        {
            self.leases.revoke_failed(id);
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
