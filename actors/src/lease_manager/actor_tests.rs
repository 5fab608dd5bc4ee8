//! The shell against a raft core played by the test: what it asks before it answers, and what it proposes.

use super::actor::{LeaseManager, LeaseParts, LeaseSink, StopLeases};
use super::service::LeaseServiceParts;
use crate::calls::PeerCalls;
use crate::clock;
use crate::death_watch::ExitCell;
use crate::test_client::TestClient;
use crate::wiring::leases::{LeasesAdvanced, RoleChanged, StoredLease};
use actix::Addr;
use crossbeam_channel::{Receiver, bounded, unbounded};
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::ports::{Bell, CorePort};
use messages::propose::Propose;
use messages::read::ReadIndex;
use messages::{Gauges, Reply, ReplyBody, ReplySink, RequestError, SinkId, Sinks};
use model::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;
use storage::apply::LeaseChange;

const CLIENT: SinkId = SinkId(0);
const OWN: SinkId = SinkId(1);
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(100);

struct Rig {
    manager: Addr<LeaseManager>,
    sink: LeaseSink,
    proposed: Receiver<Propose>,
    reads: Receiver<ReadIndex>,
    answers: Receiver<Reply>,
    gauges: Arc<Gauges>,
    exit: ExitCell,
    /// Milliseconds for which the machine was suspended: its clock goes on, and `Instant` does not.
    suspended: Arc<AtomicU64>,
}

impl Rig {
    fn start(arbiter: &actix::Arbiter, stored: Vec<StoredLease>) -> Self {
        let (propose, proposed) = bounded(8);
        let (read, reads) = bounded(8);
        let (control, _) = bounded(1);
        let core = CorePort { propose, read, control, bell: Bell::new().0 };
        let (client, answers) = unbounded();
        let sinks = Arc::new(Sinks::default());
        let gauges = Arc::new(Gauges::default());
        let exit = ExitCell::default();
        let suspended = Arc::new(AtomicU64::new(0));
        let asleep = suspended.clone();
        let clock = move || clock::since_boot() + Duration::from_millis(asleep.load(Acquire));
        let service = LeaseServiceParts {
            own: 1,
            stored,
            election_timeout: 1_000,
            heartbeat: 100,
            sink: OWN,
            core,
            sinks: sinks.clone(),
            gauges: gauges.clone(),
        };
        let parts = LeaseParts { service, calls: PeerCalls::default(), clock: Box::new(clock), exit: exit.clone() };
        let manager = LeaseManager::start(parts, &arbiter.handle());
        sinks.register(vec![Arc::new(TestClient(client)), Arc::new(LeaseSink(manager.clone()))]);
        let sink = LeaseSink(manager.clone());
        Self { manager, sink, proposed, reads, answers, gauges, exit, suspended }
    }

    fn lead(&self, leading: bool, term: u64) {
        self.manager.do_send(RoleChanged { leading, term, leader: u64::from(leading) });
    }

    fn ask(&self, token: u64, ask: LeaseAsk) {
        self.manager.do_send(LeaseRequests { sink: CLIENT, asks: vec![(token, ask)] });
    }

    fn answer(&self) -> (u64, Result<LeaseReply, RequestError>) {
        match self.answers.recv_timeout(LONG) {
            Ok(Reply { token, body: ReplyBody::Lease(result) }) => (token, result),
            _ => panic!("an answer of the lease manager was due"),
        }
    }

    fn grant_read(&self, result: Result<(), RequestError>) {
        let token = self.reads.recv_timeout(LONG).expect("a round was due").tokens[0];
        self.sink.deliver(vec![Reply { token, body: ReplyBody::ReadGranted(result) }]);
    }

    fn stop(self) {
        self.manager.do_send(StopLeases);
        std::thread::sleep(SHORT);
        assert_eq!(self.exit.get(), None, "an orderly end");
    }
}

/// Runs a test beside a system: the manager has its own thread, as in a node.
fn with_arbiter(test: impl FnOnce(&actix::Arbiter)) {
    let system = actix::System::new();
    system.block_on(async {
        let arbiter = actix::Arbiter::new();
        test(&arbiter);
        arbiter.stop();
    });
}

fn lease(id: i64, ttl: i64) -> StoredLease {
    StoredLease { id, ttl, remaining: 0 }
}

#[test]
fn a_renewal_is_answered_after_a_round_and_the_next_one_at_once() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, vec![lease(1, 60)]);
        rig.ask(2, LeaseAsk::Renew { id: 1 });
        assert!(rig.answers.recv_timeout(SHORT).is_err(), "nobody leads");
        rig.lead(true, 3);
        assert!(rig.answers.recv_timeout(SHORT).is_err(), "leadership is not confirmed");
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (2, Ok(LeaseReply::Renewed { ttl: 60 })));
        rig.ask(3, LeaseAsk::Renew { id: 1 });
        assert_eq!(rig.answer(), (3, Ok(LeaseReply::Renewed { ttl: 60 })));
        std::thread::sleep(Duration::from_millis(950));
        rig.ask(4, LeaseAsk::Renew { id: 1 });
        rig.grant_read(Err(RequestError::NoLeader));
        assert_eq!(rig.answer(), (4, Err(RequestError::NoLeader)));
        rig.gauges.sole_member.store(true, Release);
        rig.ask(5, LeaseAsk::Renew { id: 1 });
        assert_eq!(rig.answer(), (5, Ok(LeaseReply::Renewed { ttl: 60 })));
        rig.stop();
    });
}

#[test]
fn an_unknown_lease_is_looked_for_once_more_after_a_round() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, Vec::new());
        rig.gauges.sole_member.store(true, Release);
        rig.lead(true, 3);
        rig.ask(1, LeaseAsk::Renew { id: 5 });
        rig.manager.do_send(LeasesAdvanced { changes: vec![LeaseChange::Granted { id: 5, ttl: 9 }] });
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (1, Ok(LeaseReply::Renewed { ttl: 9 })));
        rig.ask(2, LeaseAsk::Renew { id: 6 });
        rig.ask(3, LeaseAsk::TimeToLive { id: 6 });
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (2, Ok(LeaseReply::Renewed { ttl: 0 })));
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (3, Ok(LeaseReply::TimeToLive(None))));
        rig.ask(4, LeaseAsk::List);
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (4, Ok(LeaseReply::List(vec![5]))));
        rig.stop();
    });
}

#[test]
fn an_ended_lease_is_revoked_in_its_term_and_a_renewal_waits_for_it() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, Vec::new());
        rig.gauges.sole_member.store(true, Release);
        rig.lead(true, 8);
        rig.manager.do_send(LeasesAdvanced { changes: vec![LeaseChange::Granted { id: 5, ttl: 1 }] });
        let list = rig.proposed.recv_timeout(LONG).expect("the lease ends");
        let proposal = &list.proposals[0];
        assert_eq!((list.sink, proposal.only_in_term), (OWN, 8));
        let command = Command::decode(proposal.command.clone()).expect("a command");
        assert!(matches!(command, Command::LeaseRevoke(request) if request.id == 5));
        rig.ask(1, LeaseAsk::Renew { id: 5 });
        assert!(rig.answers.recv_timeout(SHORT).is_err(), "it waits");
        rig.manager.do_send(LeasesAdvanced { changes: vec![LeaseChange::Revoked { id: 5 }] });
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (1, Ok(LeaseReply::Renewed { ttl: 0 })));
        rig.stop();
    });
}

#[test]
fn a_leader_that_was_suspended_confirms_its_leadership_before_it_renews() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, vec![lease(1, 60)]);
        rig.lead(true, 3);
        rig.ask(1, LeaseAsk::Renew { id: 1 });
        rig.grant_read(Ok(()));
        assert_eq!(rig.answer(), (1, Ok(LeaseReply::Renewed { ttl: 60 })));
        // the machine sleeps for longer than an election takes, and wakes up with a renewal in its queue
        rig.suspended.store(5_000, Release);
        rig.ask(2, LeaseAsk::Renew { id: 1 });
        assert!(rig.answers.recv_timeout(SHORT).is_err(), "somebody else may lead by now");
        rig.grant_read(Err(RequestError::NoLeader));
        assert_eq!(rig.answer(), (2, Err(RequestError::NoLeader)));
        rig.stop();
    });
}
