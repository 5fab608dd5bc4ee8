//! The owners' side of the peer transport: what other members send goes into the queues of those it concerns.
//!
//! Runs on the transport's thread, and on the core's own when a message cannot be sent. Must never block.

use crate::calls::kinds::{
    HashAt, Heard, Introduce, LeaseTimes, PromoteLearner, ProposalsRefused, RenewLeases, WantStore,
};
use crate::calls::{Asked, CallKind, CallsInHand};
use crate::mailbox::Mailbox;
use crate::promotions::AskedPromotions;
use crate::raft_core::inbox::InnerPort;
use crate::snapshotter::staging::ReceiveSnapshots;
use crate::wiring::leases::LeaseCall;
use crate::wiring::peers::PeerReport;
use crossbeam_channel::Sender;
use messages::peer::{BulkHeader, BulkSink, Call, Held, Inbound, NoAnswer, PeerAddress, Responder, Vitals};
use messages::receive::Receive;
use raft::{Message, NodeId};
use std::sync::Arc;

/// See the file header.
pub struct PeerInbox {
    core: InnerPort,
    leases: Box<dyn Mailbox<LeaseCall> + Sync>,
    promotions: Arc<AskedPromotions>,
    hashes: Sender<Asked<HashAt>>,
    in_hand: CallsInHand,
    snapshots: Arc<dyn ReceiveSnapshots>,
}

impl PeerInbox {
    /// In front of the raft core, which decides about promotions as well, the lease manager, the hasher, and what receives snapshots.
    pub fn new(
        core: InnerPort,
        leases: Box<dyn Mailbox<LeaseCall> + Sync>,
        promotions: Arc<AskedPromotions>,
        hashes: Sender<Asked<HashAt>>,
        snapshots: Arc<dyn ReceiveSnapshots>,
    ) -> Self {
        Self { core, leases, promotions, hashes, in_hand: CallsInHand::default(), snapshots }
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
            HashAt::KIND => self.pass(from, call, respond, |asked| {
                if let Err(full) = self.hashes.try_send(asked) {
                    full.into_inner().refuse(NoAnswer::Busy);
                }
            }),
            Introduce::KIND => self.pass(from, call, respond, |asked: Asked<Introduce>| {
                // a member speaks for itself alone
                if asked.ask.id == from {
                    let urls = asked.ask.peer_urls.clone();
                    self.core.report(PeerReport::Introduced(PeerAddress { member: from, urls }));
                }
                asked.answer(&Heard {});
            }),
            WantStore::KIND => self.pass(from, call, respond, |asked: Asked<WantStore>| {
                self.core.report(PeerReport::StoreWanted { by: from, behind: asked.ask.behind });
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
        self.core.report(PeerReport::Removed { by, authenticated });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::kinds::{LeaseIds, Refusal, Renewals};
    use crate::limits::CALLS_PER_PEER;
    use crate::raft_core::inbox::Inbox;
    use bytes::Bytes;
    use crossbeam_channel::{Receiver, TrySendError, bounded, unbounded};
    use messages::ports::CorePort;

    fn ask(inbox: &PeerInbox, kind: u16, body: &impl prost::Message) -> Receiver<Result<Bytes, NoAnswer>> {
        let (told, heard) = bounded(1);
        let respond = Responder::new(1, move |answer| {
            // a test that is over drops what it has asked
            assert!(!matches!(told.try_send(answer.result), Err(TrySendError::Full(_))), "answered once");
        });
        let call = Call { id: 1, kind, deadline_millis: 1_000, body: body.encode_to_vec().into() };
        inbox.call(2, call, respond);
        heard
    }

    struct NoSnapshots;

    impl ReceiveSnapshots for NoSnapshots {
        fn begin(self: Arc<Self>, _: &BulkHeader) -> Result<Box<dyn BulkSink>, String> {
            Err("not in this test".to_owned())
        }
    }

    /// Questions about leases go to `leases`; nobody asks for promotions, hashes or snapshots.
    fn inbox(inner: InnerPort, port: CorePort, leases: Sender<LeaseCall>) -> PeerInbox {
        let promotions = Arc::new(AskedPromotions::new(port, messages::SinkId(0)));
        PeerInbox::new(inner, Box::new(leases), promotions, bounded(0).0, Arc::new(NoSnapshots))
    }

    #[test]
    fn a_question_goes_to_whoever_it_is_for_and_an_unknown_one_to_nobody() {
        let (core, port, inner) = Inbox::new();
        let (to_leases, leases) = unbounded();
        let inbox = inbox(inner, port, to_leases);
        let ids = LeaseIds { ids: vec![7] };
        let renewed = ask(&inbox, RenewLeases::KIND, &ids);
        let Ok(LeaseCall::Renew(asked)) = leases.try_recv() else { panic!("the lease manager is asked") };
        assert!(renewed.is_empty());
        asked.answer(&Renewals { ttls: vec![60] });
        assert!(renewed.try_recv().is_ok_and(|answer| answer.is_ok()));
        let refusal = Refusal { epoch: 1, sequences: vec![2], too_many: false };
        let heard = ask(&inbox, ProposalsRefused::KIND, &refusal);
        assert!(heard.try_recv().is_ok_and(|answer| answer.is_ok()), "a notice is acknowledged at once");
        assert!(matches!(core.reports.try_recv(), Ok(PeerReport::Refused(told)) if told == refusal));
        assert_eq!(ask(&inbox, 9_999, &ids).try_recv(), Ok(Err(NoAnswer::NotCapable)));
    }

    #[test]
    fn a_member_that_asks_too_much_at_once_is_told_so() {
        let (_core, port, inner) = Inbox::new();
        let (to_leases, leases) = unbounded();
        let inbox = inbox(inner, port, to_leases);
        let ids = LeaseIds { ids: vec![7] };
        let waiting: Vec<_> = (0..CALLS_PER_PEER).map(|_| ask(&inbox, LeaseTimes::KIND, &ids)).collect();
        assert!(waiting.iter().all(Receiver::is_empty));
        assert_eq!(ask(&inbox, LeaseTimes::KIND, &ids).try_recv(), Ok(Err(NoAnswer::Busy)));
        drop(leases.try_recv().expect("a question"));
        assert_eq!(waiting[0].try_recv(), Ok(Err(NoAnswer::Failed)), "one that is dropped is answered");
        assert!(ask(&inbox, LeaseTimes::KIND, &ids).is_empty(), "its place is free again");
    }
}
