//! The joint to the peer transport: what the raft core and the WAL writer send to other members.

use raft::Message;

/// Takes messages to other members. Must not block; what it cannot take it drops and counts.
pub trait PeerPort: Send + Sync {
    /// Sends, in order per receiver.
    fn send(&self, messages: Vec<Message>);
}

/// A cluster of one: there is nobody to send to.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerPort for NoPeers {
    fn send(&self, messages: Vec<Message>) {
        tracing::debug!(count = messages.len(), "dropped messages: this member has no peers");
    }
}
