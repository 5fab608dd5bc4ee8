//! What clients ask of a member that does not lead: passed on to the leader, many questions in one call. Pure.
//!
//! A renewal may be asked twice without harm, so a question goes on until its patience ends: to the same leader after a pause, to
//! another one at once. Must never send a question to a member that is not believed to lead.

use super::waiting::{PATIENCE, Waiting};
use crate::calls::kinds::{ASK_AGAIN, LeaseIds, Renewals, TimesLeft};
use crate::limits::{LEASE_CALLS, LEASES_PER_CALL};
use messages::RequestError;
use messages::lease::{LeaseAsk, LeaseReply};
use messages::peer::CallError;
use raft::NodeId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Milliseconds before the same leader is asked again what it could not answer.
const PAUSE: u64 = 50;
/// Milliseconds that one call may take. The leader may need a round of its own before it answers.
const CALL_PATIENCE: u64 = 2_000;

/// What a call asks of every lease it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderQuestion {
    /// Keep it alive.
    Renew,
    /// How long it has left.
    Times,
}

const QUESTIONS: [LeaderQuestion; 2] = [LeaderQuestion::Renew, LeaderQuestion::Times];

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderCall {
    /// Names it in its answer.
    pub number: u64,
    /// Who is asked.
    pub leader: NodeId,
    /// What.
    pub question: LeaderQuestion,
    /// Of which leases.
    pub ids: LeaseIds,
    /// For how long the answer is waited for.
    pub patience: Duration,
}

/// What the leader has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderAnswer {
    /// To [`LeaderQuestion::Renew`].
    Renewals(Renewals),
    /// To [`LeaderQuestion::Times`].
    Times(TimesLeft),
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderAnswered {
    /// The call's.
    pub number: u64,
    /// What came of it.
    pub result: Result<LeaderAnswer, CallError>,
}

/// The way to the lease manager of the leader. The end of every call must come back as [`LeaderAnswered`].
pub trait LeaderCalls: Send {
    /// Makes a call. Must not block.
    fn call(&self, call: LeaderCall);
}

/// Where there are no other members: calls are lost, and whoever asked is answered when its patience ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLeaderCalls;

impl LeaderCalls for NoLeaderCalls {
    fn call(&self, _: LeaderCall) {}
}

#[derive(Debug)]
struct Sent {
    question: LeaderQuestion,
    asks: Vec<Waiting>,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    own: NodeId,
    /// Who leads, zero for nobody.
    leader: NodeId,
    renewals: VecDeque<Waiting>,
    times: VecDeque<Waiting>,
    /// Calls under way, by number.
    sent: BTreeMap<u64, Sent>,
    last: u64,
    /// Nobody is asked before this.
    not_before: u64,
}

impl Forwarding {
    /// Of the member `own`.
    pub(super) fn new(own: NodeId) -> Self {
        Self { own, ..Self::default() }
    }

    /// Somebody leads now, or nobody (zero). What the leader before was asked is asked again.
    pub(super) fn set_leader(&mut self, leader: NodeId) {
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        self.not_before = 0;
        for (_, Sent { question, asks }) in std::mem::take(&mut self.sent).into_iter().rev() {
            self.put_back(question, asks);
        }
    }

    /// A client asks. The list of leases is no question for the leader.
    pub(super) fn add(&mut self, waiting: Waiting) {
        match waiting.ask {
            LeaseAsk::Renew { .. } => self.renewals.push_back(waiting),
            LeaseAsk::TimeToLive { .. } | LeaseAsk::List => self.times.push_back(waiting),
        }
    }

    /// Everything that waits for an answer: this member leads now and answers by itself.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        let sent = std::mem::take(&mut self.sent).into_values().flat_map(|sent| sent.asks);
        sent.chain(self.renewals.drain(..)).chain(self.times.drain(..)).collect()
    }

    /// The next call to make.
    pub(super) fn next_call(&mut self, now: u64) -> Option<LeaderCall> {
        let nobody = self.leader == 0 || self.leader == self.own;
        if nobody || now < self.not_before || self.sent.len() >= LEASE_CALLS {
            return None;
        }
        let question = QUESTIONS.into_iter().find(|question| !self.queue(*question).is_empty())?;
        let queue = self.queue(question);
        let asks: Vec<Waiting> = queue.drain(..queue.len().min(LEASES_PER_CALL)).collect();
        let ids = LeaseIds { ids: asks.iter().map(|waiting| lease_of(waiting.ask)).collect() };
        self.last += 1;
        self.sent.insert(self.last, Sent { question, asks });
        let patience = Duration::from_millis(CALL_PATIENCE);
        Some(LeaderCall { number: self.last, leader: self.leader, question, ids, patience })
    }

    /// The end of a call: what is answered by it. The rest is asked again.
    pub(super) fn answered(&mut self, answered: LeaderAnswered, now: u64) -> Vec<(Waiting, LeaseReply)> {
        // a call to a former leader: its questions went on to another one
        let Some(Sent { question, asks }) = self.sent.remove(&answered.number) else { return Vec::new() };
        let replies: Vec<Option<LeaseReply>> = match answered.result {
            Ok(LeaderAnswer::Renewals(renewals)) => renewals.ttls.into_iter().map(renewed).collect(),
            Ok(LeaderAnswer::Times(times)) => {
                times.granted.into_iter().zip(times.left).map(|(granted, left)| time_left(granted, left)).collect()
            }
            Err(_) => vec![None; asks.len()],
        };
        let mut out = Vec::with_capacity(asks.len());
        let mut again = Vec::new();
        for (waiting, reply) in asks.into_iter().zip(replies) {
            match reply {
                Some(reply) => out.push((waiting, reply)),
                None => again.push(waiting),
            }
        }
        if !again.is_empty() {
            self.not_before = now + PAUSE;
            self.put_back(question, again);
        }
        out
    }

    /// Those whose patience has ended, and what they are told.
    pub(super) fn expired(&mut self, now: u64) -> (Vec<Waiting>, RequestError) {
        let mut late = Vec::new();
        let mut keep = |waiting: &Waiting| {
            let keep = !waiting.is_late(now);
            if !keep {
                late.push(*waiting);
            }
            keep
        };
        self.renewals.retain(&mut keep);
        self.times.retain(&mut keep);
        // calls end sooner than patience: what was late is found in the queues
        (late, if self.leader == 0 { RequestError::NoLeader } else { RequestError::Timeout })
    }

    fn queue(&mut self, question: LeaderQuestion) -> &mut VecDeque<Waiting> {
        match question {
            LeaderQuestion::Renew => &mut self.renewals,
            LeaderQuestion::Times => &mut self.times,
        }
    }

    fn put_back(&mut self, question: LeaderQuestion, asks: Vec<Waiting>) {
        let queue = self.queue(question);
        asks.into_iter().rev().for_each(|waiting| queue.push_front(waiting));
    }
}

const _: () = assert!(CALL_PATIENCE < PATIENCE);

fn lease_of(ask: LeaseAsk) -> i64 {
    match ask {
        LeaseAsk::Renew { id } | LeaseAsk::TimeToLive { id } => id,
        LeaseAsk::List => 0,
    }
}

fn renewed(ttl: i64) -> Option<LeaseReply> {
    (ttl != ASK_AGAIN).then_some(LeaseReply::Renewed { ttl })
}

fn time_left(granted: i64, left: i64) -> Option<LeaseReply> {
    let found = (granted > 0).then_some((granted, left));
    (granted != ASK_AGAIN).then_some(LeaseReply::TimeToLive(found))
}
