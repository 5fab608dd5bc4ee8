//! The owners' side of the peer transport: what other members send goes into the queues of those it concerns.
//!
//! Runs on the transport's thread, and on the core's own when a message cannot be sent. Must never block.

use crate::calls::kinds::{Heard, LeaseTimes, PromoteLearner, ProposalsRefused, RenewLeases};
use crate::calls::{Asked, CallKind, CallsInHand};
use crate::mailbox::Mailbox;
use crate::promotions::AskedPromotions;
use crate::raft_core::inbox::InnerPort;
use crate::snapshotter::staging::ReceiveSnapshots;
use crate::wiring::leases::LeaseCall;
use crate::wiring::peers::PeerReport;
use messages::peer::{BulkHeader, BulkSink, Call, Held, Inbound, NoAnswer, Responder, Vitals};
use messages::receive::Receive;
use raft::{Message, NodeId};
use std::sync::Arc;

/// See the file header.
pub struct PeerInbox {
    core: InnerPort,
    leases: Box<dyn Mailbox<LeaseCall> + Sync>,
    promotions: Arc<AskedPromotions>,
    in_hand: CallsInHand,
    snapshots: Arc<dyn ReceiveSnapshots>,
}

impl PeerInbox {
    /// In front of the raft core, which decides about promotions as well, the lease manager, and what receives snapshots.
    pub fn new(
        core: InnerPort,
        leases: Box<dyn Mailbox<LeaseCall> + Sync>,
        promotions: Arc<AskedPromotions>,
        snapshots: Arc<dyn ReceiveSnapshots>,
    ) -> Self {
        Self { core, leases, promotions, in_hand: CallsInHand::default(), snapshots }
    }

    /// Reads a question and hands it to whoever it is for.
    fn pass<K: CallKind>(&self, from: NodeId, call: Call, respond: Responder, to: impl FnOnce(Asked<K>)) {
        let Some(place) = self.in_hand.place(from) else { return respond.answer(Err(NoAnswer::Busy)) };
        if let Some(asked) = Asked::read(from, call, respond, place) {
            to(asked);
        }
    }
}

impl Inbound for PeerInbox {
    fn control(&self, messages: Vec<Message>) -> bool {
        self.core.receive(Receive { messages, held: Held::default() }, true)
    }

    fn data(&self, messages: Vec<Message>, held: Held) -> bool {
        self.core.receive(Receive { messages, held }, false)
    }

    fn vitals(&self, from: NodeId, vitals: Vitals) {
        self.core.vitals(from, vitals);
    }

    fn call(&self, from: NodeId, call: Call, respond: Responder) {
        match call.kind {
            RenewLeases::KIND => self.pass(from, call, respond, |asked| self.leases.send(LeaseCall::Renew(asked))),
            LeaseTimes::KIND => self.pass(from, call, respond, |asked| self.leases.send(LeaseCall::Times(asked))),
            PromoteLearner::KIND => self.pass(from, call, respond, |asked| self.promotions.ask(asked)),
            ProposalsRefused::KIND => self.pass(from, call, respond, |asked: Asked<ProposalsRefused>| {
                self.core.report(PeerReport::Refused(asked.ask.clone()));
                asked.answer(&Heard {});
            }),
            // a newer build asks
            _ => respond.answer(Err(NoAnswer::NotCapable)),
        }
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
