//! What the raft core holds of the peer transport beside its sending end, and what the owners hold in its place in a cluster of one.

use messages::peer::{PeerAddress, PeerSender, Transport};
use raft::{Message, NodeId};
use std::sync::Arc;
use std::time::Duration;

/// How long connections have stood. The core has no clock, so whoever answers reads it.
pub trait Connections: Send {
    /// For how long messages could be sent to `peer`; `None` while they cannot.
    fn connected_for(&self, peer: NodeId) -> Option<Duration>;
    /// How a member is reached that the membership known here does not have yet.
    fn introduce(&self, peer: PeerAddress);
}

impl Connections for Option<Arc<dyn Transport>> {
    fn connected_for(&self, peer: NodeId) -> Option<Duration> {
        self.as_ref()?.active_since(peer).map(|since| since.elapsed())
    }

    fn introduce(&self, peer: PeerAddress) {
        if let Some(transport) = self {
            transport.introduce(peer);
        }
    }
}

/// There is nobody to send to.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerSender for NoPeers {
    fn send(&self, messages: Vec<Message>) {
        tracing::debug!(count = messages.len(), "dropped messages: this member has no peers");
    }
}
