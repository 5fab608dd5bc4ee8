//! Why the core refuses an input. Operating errors only: a broken invariant panics instead.

use std::fmt;

/// Why [`Node::step`](crate::Node::step) refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError {
    /// An answer from somebody who is not a member.
    PeerNotFound,
    /// A message that no correct member sends.
    Malformed,
    /// A forwarded proposal that cannot be taken.
    Dropped(ProposalDropped),
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
