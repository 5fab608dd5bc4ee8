//! Raft core → the calls to other members: a promotion that only the leader can decide about.

use messages::{SinkId, Token};
use raft::NodeId;

/// Ask the leader to promote a learner. The answer goes to the client's sink as the core's own would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardPromotion {
    /// Who leads.
    pub leader: NodeId,
    /// The learner.
    pub id: NodeId,
    /// Where the answer goes.
    pub sink: SinkId,
    /// The call.
    pub token: Token,
}
