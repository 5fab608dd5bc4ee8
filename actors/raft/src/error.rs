//! Why the core refuses an input. Operating errors only: a broken invariant panics instead.

use std::fmt;

use crate::types::{Index, NodeId};

/// Why [`Node::step`](crate::Node::step) refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// An answer from somebody who is not a member.
    PeerNotFound,
    /// A message that no correct member sends.
    Malformed,
    /// A forwarded proposal that cannot be taken.
    Dropped(ProposalDropped),
    /// The leader knows that this member once held its log up to `acknowledged`, and now it ends earlier: entries that
    /// were acknowledged are lost. Nothing was changed. This member must stop, and must never vote again as what it was.
    LogLost {
        /// The leader.
        leader: NodeId,
        /// Index up to which this member had acknowledged the log.
        acknowledged: Index,
        /// Where the log ends now.
        last: Index,
    },
}

/// Why proposals were not taken. They are certainly not in the log and may be proposed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalDropped {
    /// No leader is known.
    NoLeader,
    /// Not the leader, and forwarding is switched off.
    NotForwarding,
    /// This leader is being replaced.
    Transferring,
    /// This leader is no longer a member.
    NotMember,
    /// Too many payload bytes wait to be committed and applied.
    TooMuchUncommitted,
    /// The payload of a membership change cannot be read.
    BadConfChange,
}

impl fmt::Display for ProposalDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("raft proposal dropped")
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepError::PeerNotFound => f.write_str("raft: cannot step as peer not found"),
            StepError::Malformed => f.write_str("raft: cannot step malformed message"),
            StepError::Dropped(why) => why.fmt(f),
            StepError::LogLost { leader, acknowledged, last } => write!(
                f,
                "the log of this member ends at entry {last}, but it had acknowledged entries up to {acknowledged} to \
                 leader {leader:x}: the end of the log was lost, truncated or replaced by an older copy; remove this \
                 member from the cluster, empty its data folder and add it again"
            ),
        }
    }
}

impl std::error::Error for ProposalDropped {}
impl std::error::Error for StepError {}

impl From<ProposalDropped> for StepError {
    fn from(why: ProposalDropped) -> Self {
        StepError::Dropped(why)
    }
}
