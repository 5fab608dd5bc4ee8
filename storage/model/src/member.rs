//! Members as clients see them, and why a change of the membership is refused.
//!
//! Must never carry a gRPC code or etcd's text: `net` has the one table for that.

/// What a member publishes of itself, and its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberInfo {
    /// Member id.
    pub id: u64,
    /// Name; empty until published.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// Client URLs; empty until published.
    pub client_urls: Vec<String>,
    /// Learner.
    pub is_learner: bool,
}

/// A change of the membership, as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member.
    Add {
        /// Where it will be reached; checked, sorted, never empty.
        peer_urls: Vec<String>,
        /// It receives everything and does not vote.
        learner: bool,
        /// Seconds since 1970: part of what its id is made of.
        unix_seconds: i64,
    },
    /// A member goes for good.
    Remove {
        /// Its id.
        id: u64,
    },
    /// A member is reached elsewhere.
    Update {
        /// Its id.
        id: u64,
        /// Where; nothing changes when it is empty.
        peer_urls: Vec<String>,
    },
    /// A learner votes from now on.
    Promote {
        /// Its id.
        id: u64,
    },
}

/// Why the membership is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MemberRefusal {
    /// The id belonged to a member that was removed, and never comes back.
    #[error("the member was removed")]
    Removed,
    /// There is a member with this id already.
    #[error("the member exists already")]
    Exists,
    /// Another member has one of the peer URLs.
    #[error("another member has one of the peer URLs")]
    PeerUrlTaken,
    /// There is no such member.
    #[error("there is no such member")]
    NotFound,
    /// Only a learner can be promoted.
    #[error("the member is no learner")]
    NotLearner,
    /// There are as many learners as there may be.
    #[error("there are as many learners as there may be")]
    TooManyLearners,
    /// The change cannot be made from the present membership: nobody would be left to vote, say.
    #[error("the change cannot be made from the present membership")]
    Impossible,
    /// Too few of the voters there would be have been started.
    #[error("too few of the voters there would be have been started")]
    NotEnoughStarted,
    /// Too few of the voters there would be are connected.
    #[error("too few of the voters there would be are connected")]
    Unhealthy,
    /// The learner is not started, or too far behind the leader.
    #[error("the learner is too far behind the leader")]
    LearnerNotReady,
    /// Another change is on its way.
    #[error("another change of the membership is on its way")]
    Pending,
}
