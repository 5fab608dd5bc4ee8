//! Peer transport → raft core, besides messages of consensus. Dropped when the core has too much to do: raft finds out by
//! itself, and a proposal that is not reported gets its answer at its deadline.

use crate::calls::kinds::Refusal;
use messages::peer::PeerAddress;
use raft::{Index, Message, NodeId};

/// What the transport reports.
#[derive(Debug)]
pub enum PeerReport {
    /// Messages to this member were probably lost.
    Unreachable {
        /// The member.
        peer: NodeId,
        /// These certainly never left.
        never_left: Vec<Message>,
    },
    /// The leader did not take proposals that this member had forwarded: they certainly have no effect.
    Refused(Refusal),
    /// A member says how it is reached: it is not answered, and may have been added behind what this one has applied.
    Introduced(PeerAddress),
    /// A member wants to be sent the store, to rebuild its own.
    StoreWanted {
        /// The member.
        by: NodeId,
        /// The store must have applied at least this.
        behind: Index,
    },
    /// A member says that this one was removed.
    Removed {
        /// The member that says so.
        by: NodeId,
        /// Its identity is proven; over http anybody could say so.
        authenticated: bool,
    },
}
