//! The kinds of calls between members: their numbers, what is asked and what is answered.
//!
//! | number | kind | asked of |
//! |---|---|---|
//! | 1 | [`RenewLeases`] | the lease manager of the leader |
//! | 2 | [`LeaseTimes`] | the lease manager of the leader |
//! | 3 | [`PromoteLearner`] | the raft core of the leader |
//! | 4 | [`ProposalsRefused`] | the raft core of the proposer |
//! | 5 | [`HashAt`] | the hasher of any member |
//! | 6 | [`Introduce`] | the raft core of whoever may not know yet how the asking member is reached |
//! | 7 | [`WantStore`] | the raft core of the leader |
//!
//! Bodies are protobuf: a field that is added is ignored by older builds. What changes the meaning is a new number, never an old
//! one with another body. Must know nothing of who asks or answers.

use crate::limits::LEASES_PER_CALL;
use messages::RequestError;
use messages::reply::HashAnswer;
use model::{MemberInfo, MemberRefusal, ReadError};
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

/// Asks the leader to promote a learner.
#[derive(Debug)]
pub struct PromoteLearner;

/// The learner.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Learner {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
}

/// What came of a promotion.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Promotion {
    /// Zero: it votes now. Otherwise a number of [`REFUSALS`].
    #[prost(uint32, tag = "1")]
    refusal: u32,
    /// All members after it.
    #[prost(message, repeated, tag = "2")]
    members: Vec<PromotedMember>,
    /// Revision of the store.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// Term of the entry.
    #[prost(uint64, tag = "4")]
    pub term: u64,
}

/// A member, with the fields of etcd's `Member`.
#[derive(Clone, PartialEq, Eq, Message)]
struct PromotedMember {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    client_urls: Vec<String>,
    #[prost(bool, tag = "5")]
    is_learner: bool,
}

/// Why a learner is not promoted, by number. What is not listed reads as "unknown".
const REFUSALS: [(u32, RequestError); 9] = [
    (1, RequestError::Member(MemberRefusal::NotFound)),
    (2, RequestError::Member(MemberRefusal::NotLearner)),
    (3, RequestError::Member(MemberRefusal::LearnerNotReady)),
    (4, RequestError::Member(MemberRefusal::NotEnoughStarted)),
    (5, RequestError::Member(MemberRefusal::Removed)),
    (6, RequestError::Member(MemberRefusal::Pending)),
    (7, RequestError::TooManyRequests),
    (8, RequestError::NotLeader),
    (9, RequestError::Timeout),
];
const UNKNOWN: u32 = 9;

impl Promotion {
    /// It votes now.
    pub fn done(revision: i64, term: u64, members: Vec<MemberInfo>) -> Self {
        let members = members.into_iter().map(|m| PromotedMember {
            id: m.id,
            name: m.name,
            peer_urls: m.peer_urls,
            client_urls: m.client_urls,
            is_learner: m.is_learner,
        });
        Self { refusal: 0, members: members.collect(), revision, term }
    }

    /// It does not.
    pub fn refused(why: RequestError) -> Self {
        let number = REFUSALS.iter().find(|(_, known)| *known == why).map_or(UNKNOWN, |(number, _)| *number);
        Self { refusal: number, ..Self::default() }
    }

    /// All members after it.
    ///
    /// # Errors
    /// Why it does not vote, or is not known to.
    pub fn members(self) -> Result<Vec<MemberInfo>, RequestError> {
        if self.refusal != 0 {
            let why = REFUSALS.iter().find(|(number, _)| *number == self.refusal);
            // who asked believed it to lead
            return Err(match why.map_or(RequestError::Timeout, |(_, why)| *why) {
                RequestError::NotLeader => RequestError::LeaderChanged,
                why => why,
            });
        }
        let member = |m: PromotedMember| MemberInfo {
            id: m.id,
            name: m.name,
            peer_urls: m.peer_urls,
            client_urls: m.client_urls,
            is_learner: m.is_learner,
        };
        Ok(self.members.into_iter().map(member).collect())
    }
}

impl CallKind for PromoteLearner {
    const KIND: u16 = 3;
    type Ask = Learner;
    type Answer = Promotion;

    fn is_sound(_: &Learner) -> bool {
        true
    }

    fn fits(_: &Learner, _: &Promotion) -> bool {
        true
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

/// Most URLs of a member that introduces itself, and most bytes of one.
const MOST_URLS: usize = 32;
const LONGEST_URL: usize = 2_048;

/// Says how the asking member is reached.
#[derive(Debug)]
pub struct Introduce;

/// Who asks, and its peer URLs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Introduction {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    /// Its peer URLs.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
}

impl CallKind for Introduce {
    const KIND: u16 = 6;
    type Ask = Introduction;
    type Answer = Heard;

    fn is_sound(ask: &Introduction) -> bool {
        let urls = &ask.peer_urls;
        ask.id != 0 && (1..=MOST_URLS).contains(&urls.len()) && urls.iter().all(|url| url.len() <= LONGEST_URL)
    }

    fn fits(_: &Introduction, _: &Heard) -> bool {
        true
    }
}

/// Asks a member for its HashKV, to compare data.
#[derive(Debug)]
pub struct HashAt;

/// At which revision; zero is its newest.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AtRevision {
    /// The revision.
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HashFound {
    /// Zero: there is a hash. 1: the revision has been compacted. 2: it lies in the future. Anything else: it could not be computed.
    #[prost(uint32, tag = "1")]
    refusal: u32,
    #[prost(fixed32, tag = "2")]
    hash: u32,
    #[prost(sint64, tag = "3")]
    compact_revision: i64,
    #[prost(int64, tag = "4")]
    hash_revision: i64,
    #[prost(int64, tag = "5")]
    revision: i64,
}

const COMPACTED: u32 = 1;
const FUTURE: u32 = 2;
const FAILED: u32 = 3;

impl From<Result<HashAnswer, ReadError>> for HashFound {
    fn from(result: Result<HashAnswer, ReadError>) -> Self {
        let refused = |refusal| Self { refusal, ..Self::default() };
        match result {
            Ok(HashAnswer { hash, compact_revision, hash_revision, revision }) => {
                Self { refusal: 0, hash, compact_revision, hash_revision, revision }
            }
            Err(ReadError::Compacted) => refused(COMPACTED),
            Err(ReadError::FutureRevision) => refused(FUTURE),
            Err(_) => refused(FAILED),
        }
    }
}

impl From<HashFound> for Result<HashAnswer, ReadError> {
    fn from(found: HashFound) -> Self {
        let HashFound { refusal, hash, compact_revision, hash_revision, revision } = found;
        match refusal {
            0 => Ok(HashAnswer { hash, compact_revision, hash_revision, revision }),
            COMPACTED => Err(ReadError::Compacted),
            FUTURE => Err(ReadError::FutureRevision),
            _ => Err(ReadError::Store("the other member could not compute it".into())),
        }
    }
}

impl CallKind for HashAt {
    const KIND: u16 = 5;
    type Ask = AtRevision;
    type Answer = HashFound;

    fn is_sound(_: &AtRevision) -> bool {
        true
    }

    fn fits(ask: &AtRevision, answer: &HashFound) -> bool {
        answer.refusal != 0 || ask.revision == 0 || answer.hash_revision == ask.revision
    }
}

/// Asks the leader for its store, with which the asking member rebuilds its own.
#[derive(Debug)]
pub struct WantStore;

/// Which store would do.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StoreWanted {
    /// It must have applied at least this entry.
    #[prost(uint64, tag = "1")]
    pub behind: u64,
}

impl CallKind for WantStore {
    const KIND: u16 = 7;
    type Ask = StoreWanted;
    type Answer = Heard;

    fn is_sound(_: &StoreWanted) -> bool {
        true
    }

    fn fits(_: &StoreWanted, _: &Heard) -> bool {
        true
    }
}
