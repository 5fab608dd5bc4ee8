//! A cluster of one: what the owners hold in place of a peer transport.

use messages::peer::PeerSender;
use raft::Message;

/// There is nobody to send to.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerSender for NoPeers {
    fn send(&self, messages: Vec<Message>) {
        tracing::debug!(count = messages.len(), "dropped messages: this member has no peers");
    }
}
