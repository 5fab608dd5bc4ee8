//! Queues of a simulated member: what stands in place of mailboxes, sockets and peers.
//!
//! Everything keeps its order and nothing is lost while the process lives. Must never hold a message back on its own: when
//! a queue is looked at is the world's choice.

use actors::mailbox::Mailbox;
use actors::wiring::events::Advanced;
use actors::wiring::leases::{LeasesAdvanced, RoleChanged};
use crossbeam_channel::{Receiver, Sender, unbounded};
use messages::lease::LeaseRequests;
use messages::peer::{PeerSender, Vitals};
use messages::watch::WatchRequests;
use messages::{Reply, ReplySink};
use raft::Message;
use std::sync::{Arc, Mutex, PoisonError};

/// Mail of the lease manager.
pub enum LeaseMail {
    /// From the applier.
    Advanced(LeasesAdvanced),
    /// From the core.
    Role(RoleChanged),
    /// From clients.
    Requests(LeaseRequests),
    /// Answers to its own proposals and reads.
    Answers(Vec<Reply>),
    /// From its timer.
    Tick,
}

/// Mail of the watch hub.
pub enum HubMail {
    /// From the applier.
    Advanced(Advanced),
    /// From clients.
    Requests(WatchRequests),
}

/// The way to the lease manager.
#[derive(Clone)]
pub struct ToLeases(pub Sender<LeaseMail>);

/// The way to the hub.
#[derive(Clone)]
pub struct ToHub(pub Sender<HubMail>);

impl Mailbox<LeasesAdvanced> for ToLeases {
    fn send(&self, message: LeasesAdvanced) {
        // the receiving end lives as long as the member
        let _ = self.0.send(LeaseMail::Advanced(message));
    }
}

impl Mailbox<RoleChanged> for ToLeases {
    fn send(&self, message: RoleChanged) {
        let _ = self.0.send(LeaseMail::Role(message));
    }
}

impl ReplySink for ToLeases {
    fn deliver(&self, replies: Vec<Reply>) {
        let _ = self.0.send(LeaseMail::Answers(replies));
    }
}

impl Mailbox<Advanced> for ToHub {
    fn send(&self, message: Advanced) {
        let _ = self.0.send(HubMail::Advanced(message));
    }
}

/// There is no other member to be told how this one is.
pub struct NobodyToTell;

impl Mailbox<Vitals> for NobodyToTell {
    fn send(&self, _: Vitals) {}
}

/// A mailbox.
pub fn mailbox<M>() -> (Sender<M>, Receiver<M>) {
    unbounded()
}

/// Collects what goes to clients.
#[derive(Default)]
pub struct ClientSink(Mutex<Vec<Reply>>);

impl ClientSink {
    /// What came since the last call.
    pub fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ReplySink for ClientSink {
    fn deliver(&self, replies: Vec<Reply>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(replies);
    }
}

/// Collects what goes to other members. There are none yet, so it is looked at and dropped.
#[derive(Clone, Default)]
pub struct SimPeers(Arc<Mutex<Vec<Message>>>);

impl SimPeers {
    /// What came since the last call.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PeerSender for SimPeers {
    fn send(&self, messages: Vec<Message>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
    }
}
