//! The owners' side of the peer transport: what other members send goes into the queues of those it concerns.
//!
//! Runs on the transport's thread, and on the core's own when a message cannot be sent. Must never block.

use crate::raft_core::inbox::InnerPort;
use crate::snapshotter::staging::ReceiveSnapshots;
use crate::wiring::peers::PeerReport;
use messages::peer::{BulkHeader, BulkSink, Call, Held, Inbound, NoAnswer, Responder, Vitals};
use messages::receive::Receive;
use raft::{Message, NodeId};
use std::sync::Arc;

/// See the file header.
pub struct PeerInbox {
    core: InnerPort,
    snapshots: Arc<dyn ReceiveSnapshots>,
}

impl PeerInbox {
    /// In front of the raft core, and of what receives snapshots.
    pub fn new(core: InnerPort, snapshots: Arc<dyn ReceiveSnapshots>) -> Self {
        Self { core, snapshots }
    }
}

impl Inbound for PeerInbox {
    fn control(&self, messages: Vec<Message>) -> bool {
        self.core.receive(Receive { messages, held: Held::default() }, true)
    }

    fn data(&self, messages: Vec<Message>, held: Held) -> bool {
        self.core.receive(Receive { messages, held }, false)
    }

    fn vitals(&self, _: NodeId, _: Vitals) {
        // nobody decides by them yet: leadership is not given away for the sake of a disk
    }

    fn call(&self, _: NodeId, _: Call, respond: Responder) {
        // this build answers no calls yet
        respond.answer(Err(NoAnswer::NotCapable));
    }

    fn unreachable(&self, peer: NodeId, never_left: Vec<Message>) {
        self.core.report(PeerReport::Unreachable { peer, never_left });
    }

    fn bulk(&self, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String> {
        self.snapshots.clone().begin(header)
    }

    fn told_removed(&self, by: NodeId, authenticated: bool) {
        if authenticated {
            self.core.report(PeerReport::Removed { by });
        } else {
            tracing::warn!(
                by = format!("{by:x}"),
                "a member says that this one was removed, but over http anybody can say so: not believed"
            );
        }
    }
}
