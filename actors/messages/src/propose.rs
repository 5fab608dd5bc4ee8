//! Client → raft core: proposals, as one list per round of a connection thread (etcd's propc).

use crate::ids::{SinkId, Token};
use bytes::Bytes;

/// Most bytes of a command that a cluster can replicate, whatever the flags of its members say: a constant of the protocol between
/// members. A larger one is refused where it enters.
pub const MAX_COMMAND_BYTES: usize = 62 << 20;

/// One proposal.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Named in the answer.
    pub token: Token,
    /// Canonical bytes of a checked `model::Command`.
    pub command: Bytes,
    /// Zero, or the only term in which it may have an effect. Set by internal proposers, never forwarded.
    pub only_in_term: u64,
}

/// Proposals of one sink. Each is attempted once and never sent again.
#[derive(Clone, Debug)]
pub struct Propose {
    /// Where the answers go.
    pub sink: SinkId,
    /// The proposals, in order.
    pub proposals: Vec<Proposal>,
}
