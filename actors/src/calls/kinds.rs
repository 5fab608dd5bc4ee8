//! The kinds of calls between members: their numbers, what is asked and what is answered.
//!
//! | number | kind | asked of |
//! |---|---|---|
//! | 1 | [`RenewLeases`] | the lease manager of the leader |
//! | 2 | [`LeaseTimes`] | the lease manager of the leader |
//! | 3 | reserved for the promotion of a learner | |
//! | 4 | [`ProposalsRefused`] | the raft core of the proposer |
//!
//! Bodies are protobuf: a field that is added is ignored by older builds. What changes the meaning is a new number, never an old
//! one with another body. Must know nothing of who asks or answers.

use crate::limits::LEASES_PER_CALL;
use messages::RequestError;
use prost::Message;

/// A kind of call.
pub trait CallKind: 'static {
    /// Its number. Never used again for something else.
    const KIND: u16;
    /// What is asked.
    type Ask: Message + Default + Send + std::fmt::Debug;
    /// What is answered.
    type Answer: Message + Default + Send;

    /// Whether a question that could be decoded is one that a correct member asks.
    fn is_sound(ask: &Self::Ask) -> bool;

    /// Whether an answer fits its question.
    fn fits(ask: &Self::Ask, answer: &Self::Answer) -> bool;
}

/// Ids of leases.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseIds {
    /// The ids, at most [`LEASES_PER_CALL`].
    #[prost(int64, repeated, tag = "1")]
    pub ids: Vec<i64>,
}

/// Stands for a lease that could not be renewed or looked at now: the member does not lead, or the lease waits for something.
pub const ASK_AGAIN: i64 = -1;

/// Keeps leases alive.
#[derive(Debug)]
pub struct RenewLeases;

/// What came of renewals.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Renewals {
    /// For each lease its TTL in seconds, zero when there is no such lease, or [`ASK_AGAIN`].
    #[prost(sint64, repeated, tag = "1")]
    pub ttls: Vec<i64>,
}

impl CallKind for RenewLeases {
    const KIND: u16 = 1;
    type Ask = LeaseIds;
    type Answer = Renewals;

    fn is_sound(ask: &LeaseIds) -> bool {
        ask.ids.len() <= LEASES_PER_CALL
    }

    fn fits(ask: &LeaseIds, answer: &Renewals) -> bool {
        answer.ttls.len() == ask.ids.len() && answer.ttls.iter().all(|ttl| *ttl >= ASK_AGAIN)
    }
}

/// Asks how long leases have left.
#[derive(Debug)]
pub struct LeaseTimes;

/// How long leases have left.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TimesLeft {
    /// For each lease its granted TTL in seconds, zero when there is no such lease, or [`ASK_AGAIN`].
    #[prost(sint64, repeated, tag = "1")]
    pub granted: Vec<i64>,
    /// For each lease the seconds that are left.
    #[prost(sint64, repeated, tag = "2")]
    pub left: Vec<i64>,
}

impl CallKind for LeaseTimes {
    const KIND: u16 = 2;
    type Ask = LeaseIds;
    type Answer = TimesLeft;

    fn is_sound(ask: &LeaseIds) -> bool {
        ask.ids.len() <= LEASES_PER_CALL
    }

    fn fits(ask: &LeaseIds, answer: &TimesLeft) -> bool {
        answer.granted.len() == ask.ids.len() && answer.left.len() == ask.ids.len()
    }
}

/// Tells a member that proposals which it has forwarded were not taken: they certainly have no effect.
#[derive(Debug)]
pub struct ProposalsRefused;

/// Which proposals, and why.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Refusal {
    /// The run of the proposer that they belong to.
    #[prost(fixed64, tag = "1")]
    pub epoch: u64,
    /// Their sequences.
    #[prost(uint64, repeated, tag = "2")]
    pub sequences: Vec<u64>,
    /// Too much waits to be committed or applied. Otherwise leadership is somewhere else, or about to be.
    #[prost(bool, tag = "3")]
    pub too_many: bool,
}

impl Refusal {
    /// What who waits is told.
    pub fn error(&self) -> RequestError {
        if self.too_many { RequestError::TooManyRequests } else { RequestError::LeaderChanged }
    }
}

/// That it was heard.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Heard {}

impl CallKind for ProposalsRefused {
    const KIND: u16 = 4;
    type Ask = Refusal;
    type Answer = Heard;

    fn is_sound(_: &Refusal) -> bool {
        true
    }

    fn fits(_: &Refusal, _: &Heard) -> bool {
        true
    }
}
