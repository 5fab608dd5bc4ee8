//! Queues of a simulated member: what stands in place of mailboxes, sockets and peers.
//!
//! Everything keeps its order and nothing is lost while the process lives. Must never hold a message back on its own: when
//! a queue is looked at is the world's choice.

use actors::lease_manager::LeaderAnswered;
use actors::mailbox::Mailbox;
use actors::wiring::events::Advanced;
use actors::wiring::leases::{LeaseCall, LeasesAdvanced, RebuildLeases, RoleChanged};
use crossbeam_channel::{Receiver, Sender, unbounded};
use messages::lease::LeaseRequests;
use messages::watch::WatchRequests;
use messages::{Reply, ReplySink};
use std::sync::{Mutex, PoisonError};

/// Mail of the lease manager.
pub enum LeaseMail {
    /// From the applier.
    Advanced(LeasesAdvanced),
    /// From the core.
    Role(RoleChanged),
    /// From the applier, which has another store.
    Rebuild(RebuildLeases),
    /// From other members.
    Call(LeaseCall),
    /// The end of a call to the leader.
    LeaderAnswered(LeaderAnswered),
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

impl Mailbox<RebuildLeases> for ToLeases {
    fn send(&self, message: RebuildLeases) {
        let _ = self.0.send(LeaseMail::Rebuild(message));
    }
}

impl Mailbox<LeaseCall> for ToLeases {
    fn send(&self, message: LeaseCall) {
        let _ = self.0.send(LeaseMail::Call(message));
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
