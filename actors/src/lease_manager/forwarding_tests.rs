//! A service that does not lead and a leader played by the test; and two services that talk to each other, without mailboxes.

use super::forwarding::{LeaderAnswer, LeaderAnswered, LeaderCall, LeaderCalls, LeaderQuestion};
use super::service::{LeaseService, LeaseServiceParts};
use crate::calls::kinds::{ASK_AGAIN, CallKind, LeaseIds, LeaseTimes, RenewLeases, Renewals, TimesLeft};
use crate::calls::{Asked, CallsInHand};
use crate::limits::{LEASE_CALLS, LEASES_PER_CALL};
use crate::wiring::leases::{LeaseCall, LeasesAdvanced, RebuildLeases, RoleChanged, StoredLease};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::peer::{Call, CallError, NoAnswer, Responder};
use messages::ports::{Bell, CorePort};
use messages::propose::Propose;
use messages::read::ReadIndex;
use messages::{Gauges, Reply, ReplyBody, ReplySink, RequestError, SinkId, Sinks, Token};
use model::Command;
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use storage::apply::LeaseChange;

const CLIENT: SinkId = SinkId(0);
const OWN: SinkId = SinkId(1);

struct Answers(Sender<(Token, Result<LeaseReply, RequestError>)>);

impl ReplySink for Answers {
    fn deliver(&self, replies: Vec<Reply>) {
        for reply in replies {
            if let ReplyBody::Lease(result) = reply.body {
                self.0.send((reply.token, result)).expect("the test listens");
            }
        }
    }
}

struct Called(Sender<LeaderCall>);

impl LeaderCalls for Called {
    fn call(&self, call: LeaderCall) {
        self.0.send(call).expect("the test listens");
    }
}

/// A member's lease service and what it says.
struct Member {
    service: LeaseService,
    answers: Receiver<(Token, Result<LeaseReply, RequestError>)>,
    calls: Receiver<LeaderCall>,
    proposed: Receiver<Propose>,
    reads: Receiver<ReadIndex>,
    gauges: Arc<Gauges>,
}

fn member(own: u64, stored: Vec<StoredLease>) -> Member {
    let (propose, proposed) = bounded(64);
    let (read, reads) = bounded(8);
    let (control, _) = bounded(1);
    let core = CorePort { propose, read, control, bell: Bell::new().0 };
    let (answer, answers) = unbounded();
    let (called, calls) = unbounded();
    let sinks = Arc::new(Sinks::default());
    sinks.register(vec![Arc::new(Answers(answer))]);
    let gauges = Arc::new(Gauges::default());
    let parts = LeaseServiceParts {
        own,
        stored,
        election_timeout: 1_000,
        heartbeat: 100,
        sink: OWN,
        core,
        sinks,
        gauges: gauges.clone(),
    };
    let service = LeaseService::new(parts, Box::new(Called(called)));
    Member { service, answers, calls, proposed, reads, gauges }
}

impl Member {
    fn ask(&mut self, token: Token, ask: LeaseAsk, now: u64) {
        self.service.requests(LeaseRequests { sink: CLIENT, asks: vec![(token, ask)] }, now);
    }

    fn role(&mut self, leading: bool, term: u64, leader: u64, now: u64) {
        self.service.role(RoleChanged { leading, term, leader }, now);
    }

    fn answered(&self) -> Vec<(Token, Result<LeaseReply, RequestError>)> {
        self.answers.try_iter().collect()
    }

    fn call(&self) -> LeaderCall {
        self.calls.try_recv().expect("a call was due")
    }

    fn end(&mut self, number: u64, result: Result<LeaderAnswer, CallError>, now: u64) {
        self.service.leader_answered(LeaderAnswered { number, result }, now);
    }

    /// Another member asks this one.
    fn asked<K: CallKind<Ask = LeaseIds>>(
        &mut self,
        wrap: fn(Asked<K>) -> LeaseCall,
        ids: &[i64],
        now: u64,
    ) -> Receiver<Result<K::Answer, NoAnswer>> {
        let (told, heard) = bounded(1);
        let respond = Responder::new(1, move |answer| {
            let answer = answer.result.map(|body| K::Answer::decode(body).expect("a sound answer"));
            told.send(answer).expect("answered once");
        });
        let body = LeaseIds { ids: ids.to_vec() }.encode_to_vec().into();
        let call = Call { id: 1, kind: K::KIND, deadline_millis: 2_000, body };
        let place = CallsInHand::default().place(2).expect("room");
        let asked = Asked::<K>::read(2, call, respond, place).expect("a sound question");
        self.service.peer_call(wrap(asked), now);
        heard
    }

    fn renewed(&mut self, ids: &[i64], now: u64) -> Receiver<Result<Renewals, NoAnswer>> {
        self.asked::<RenewLeases>(LeaseCall::Renew, ids, now)
    }

    fn grant_read(&mut self, result: Result<(), RequestError>, now: u64) {
        let token = self.reads.try_recv().expect("a round was due").tokens[0];
        self.service.answers(vec![Reply { token, body: ReplyBody::ReadGranted(result) }], now);
    }

    fn change(&mut self, change: LeaseChange, now: u64) {
        self.service.advanced(LeasesAdvanced { changes: vec![change] }, now);
    }
}

fn lease(id: i64, ttl: i64) -> StoredLease {
    StoredLease { id, ttl, remaining: 0 }
}

fn renewals(ttls: &[i64]) -> Result<LeaderAnswer, CallError> {
    Ok(LeaderAnswer::Renewals(Renewals { ttls: ttls.to_vec() }))
}

fn renewed(ttl: i64) -> Result<LeaseReply, RequestError> {
    Ok(LeaseReply::Renewed { ttl })
}

#[test]
fn a_follower_asks_the_leader_and_answers_what_it_says() {
    let mut member = member(2, vec![lease(7, 60)]);
    member.role(false, 3, 1, 0);
    member.ask(10, LeaseAsk::Renew { id: 7 }, 0);
    let call = member.call();
    assert_eq!((call.leader, call.question, call.ids.ids.as_slice()), (1, LeaderQuestion::Renew, &[7_i64][..]));
    assert!(member.answered().is_empty());
    member.end(call.number, renewals(&[60]), 5);
    member.ask(11, LeaseAsk::TimeToLive { id: 7 }, 6);
    let call = member.call();
    assert_eq!(call.question, LeaderQuestion::Times);
    member.end(call.number, Ok(LeaderAnswer::Times(TimesLeft { granted: vec![60], left: vec![59] })), 7);
    member.ask(12, LeaseAsk::TimeToLive { id: 8 }, 8);
    let call = member.call();
    member.end(call.number, Ok(LeaderAnswer::Times(TimesLeft { granted: vec![0], left: vec![0] })), 9);
    let expected =
        [(10, renewed(60)), (11, Ok(LeaseReply::TimeToLive(Some((60, 59))))), (12, Ok(LeaseReply::TimeToLive(None)))];
    assert_eq!(member.answered(), expected);
}

#[test]
fn what_is_asked_while_calls_are_out_shares_the_next_one() {
    let mut member = member(2, Vec::new());
    member.role(false, 3, 1, 0);
    for token in 0..LEASE_CALLS as u64 + LEASES_PER_CALL as u64 + 5 {
        member.ask(token, LeaseAsk::Renew { id: token as i64 }, 0);
    }
    let calls: Vec<LeaderCall> = member.calls.try_iter().collect();
    assert_eq!(calls.iter().map(|call| call.ids.ids.len()).collect::<Vec<_>>(), [1; LEASE_CALLS]);
    member.end(calls[0].number, renewals(&[9]), 1);
    let full = member.call();
    assert_eq!((full.ids.ids.len(), member.calls.len()), (LEASES_PER_CALL, 0));
    member.end(calls[1].number, renewals(&[9]), 1);
    assert_eq!(member.call().ids.ids.len(), 5);
    assert_eq!(member.answered().len(), 2);
}

#[test]
fn what_the_leader_cannot_say_now_is_asked_again_and_the_rest_is_answered() {
    let mut member = member(2, Vec::new());
    member.role(false, 3, 1, 0);
    member.service.requests(
        LeaseRequests { sink: CLIENT, asks: vec![(1, LeaseAsk::Renew { id: 1 }), (2, LeaseAsk::Renew { id: 2 })] },
        0,
    );
    let call = member.call();
    assert_eq!(call.ids.ids, [1, 2], "one call for all that came together");
    member.end(call.number, renewals(&[ASK_AGAIN, 30]), 10);
    assert_eq!(member.answered(), [(2, renewed(30))]);
    member.service.tick(20);
    assert!(member.calls.is_empty(), "not at once");
    member.service.tick(60);
    let call = member.call();
    assert_eq!(call.ids.ids, [1]);
    member.end(call.number, Err(CallError::Unreachable), 61);
    member.service.tick(200);
    let call = member.call();
    member.end(call.number, renewals(&[0]), 201);
    assert_eq!(member.answered(), [(1, renewed(0))]);
}

#[test]
fn another_leader_is_asked_at_once_and_the_former_one_answers_nobody() {
    let mut member = member(2, Vec::new());
    member.role(false, 3, 1, 0);
    member.ask(1, LeaseAsk::Renew { id: 1 }, 0);
    let former = member.call();
    member.role(false, 3, 0, 10);
    assert!(member.calls.is_empty(), "nobody leads");
    member.role(false, 4, 3, 20);
    let call = member.call();
    assert_eq!((call.leader, call.ids.ids.as_slice()), (3, &[1_i64][..]));
    member.end(former.number, renewals(&[60]), 21);
    assert!(member.answered().is_empty(), "the former leader may have been deposed when it said so");
    member.end(call.number, renewals(&[60]), 22);
    assert_eq!(member.answered(), [(1, renewed(60))]);
}

#[test]
fn patience_ends_with_no_leader_or_with_a_timeout() {
    let mut member = member(2, Vec::new());
    member.role(false, 3, 0, 0);
    member.ask(1, LeaseAsk::Renew { id: 1 }, 0);
    member.service.tick(6_999);
    assert!(member.answered().is_empty());
    member.service.tick(7_000);
    assert_eq!(member.answered(), [(1, Err(RequestError::NoLeader))]);
    member.role(false, 4, 1, 8_000);
    member.ask(2, LeaseAsk::TimeToLive { id: 1 }, 8_000);
    for now in (8_000..=15_000).step_by(250) {
        member.service.tick(now);
        let calls: Vec<LeaderCall> = member.calls.try_iter().collect();
        calls.iter().for_each(|call| member.end(call.number, Err(CallError::Unreachable), now));
    }
    member.service.tick(15_000);
    assert_eq!(member.answered(), [(2, Err(RequestError::Timeout))]);
}

#[test]
fn a_follower_that_becomes_leader_answers_by_itself() {
    let mut member = member(2, vec![lease(1, 60)]);
    member.role(false, 3, 1, 0);
    member.ask(1, LeaseAsk::Renew { id: 1 }, 0);
    let call = member.call();
    member.role(false, 4, 2, 10);
    assert!(member.calls.is_empty(), "it leads, and does not know everything yet");
    member.role(true, 4, 2, 20);
    member.grant_read(Ok(()), 25);
    assert_eq!(member.answered(), [(1, renewed(60))]);
    member.end(call.number, renewals(&[60]), 30);
    assert!(member.answered().is_empty());
}

#[test]
fn a_leader_that_is_deposed_passes_on_what_waits() {
    let mut member = member(2, vec![lease(1, 60)]);
    member.role(true, 3, 2, 0);
    member.ask(1, LeaseAsk::Renew { id: 1 }, 0);
    assert_eq!(member.reads.len(), 1, "its leadership is not confirmed");
    member.role(false, 4, 3, 10);
    let call = member.call();
    assert_eq!((call.leader, call.ids.ids.as_slice()), (3, &[1_i64][..]));
    member.grant_read(Err(RequestError::NoLeader), 11);
    assert!(member.answered().is_empty());
}

#[test]
fn a_leader_confirms_its_leadership_before_it_answers_a_member() {
    let mut leader = member(1, vec![lease(1, 60)]);
    assert_eq!(leader.renewed(&[1], 0).try_recv(), Ok(Ok(Renewals { ttls: vec![ASK_AGAIN] })), "it does not lead");
    leader.role(true, 3, 1, 0);
    let answer = leader.renewed(&[1], 0);
    assert!(answer.is_empty());
    leader.grant_read(Ok(()), 10);
    assert_eq!(answer.try_recv(), Ok(Ok(Renewals { ttls: vec![60] })));
    assert_eq!(leader.renewed(&[1], 20).try_recv(), Ok(Ok(Renewals { ttls: vec![60] })), "confirmed a moment ago");
    // a lease it does not know may be on its way from the applier
    let answer = leader.renewed(&[1, 5], 30);
    assert!(answer.is_empty());
    leader.change(LeaseChange::Granted { id: 5, ttl: 9 }, 31);
    leader.grant_read(Ok(()), 32);
    assert_eq!(answer.try_recv(), Ok(Ok(Renewals { ttls: vec![60, 9] })));
    let times = leader.asked::<LeaseTimes>(LeaseCall::Times, &[5, 6], 40);
    leader.grant_read(Ok(()), 41);
    assert_eq!(times.try_recv(), Ok(Ok(TimesLeft { granted: vec![9, 0], left: vec![8, 0] })));
}

#[test]
fn a_round_without_a_grant_answers_that_it_could_not() {
    let mut leader = member(1, vec![lease(1, 60)]);
    leader.role(true, 3, 1, 0);
    let answer = leader.renewed(&[1], 0);
    leader.grant_read(Err(RequestError::NoLeader), 10);
    assert_eq!(answer.try_recv(), Ok(Err(NoAnswer::Failed)));
    let deposed = leader.renewed(&[1], 20);
    leader.role(false, 4, 2, 30);
    assert_eq!(deposed.try_recv(), Ok(Ok(Renewals { ttls: vec![ASK_AGAIN] })));
    leader.role(true, 5, 1, 40);
    let late = leader.renewed(&[1], 50);
    leader.service.tick(2_050);
    assert_eq!(late.try_recv(), Ok(Err(NoAnswer::Failed)), "its patience ended");
}

#[test]
fn a_checkpointed_lease_of_a_members_client_delays_nobody_else() {
    let mut leader = member(1, vec![lease(1, 60), StoredLease { id: 2, ttl: 900, remaining: 400 }]);
    leader.gauges.sole_member.store(true, Release);
    leader.role(true, 3, 1, 0);
    let first = leader.renewed(&[1, 2], 0);
    assert_eq!(first.try_recv(), Ok(Ok(Renewals { ttls: vec![60, ASK_AGAIN] })));
    let proposed = leader.proposed.try_recv().expect("the clearing of the checkpoint");
    let command = Command::decode(proposed.proposals[0].command.clone()).expect("a command");
    assert!(
        matches!(&command, Command::LeaseCheckpoint(c) if (c.checkpoints[0].id, c.checkpoints[0].remaining_ttl) == (2, 0))
    );
    assert_eq!(leader.renewed(&[2], 5).try_recv(), Ok(Ok(Renewals { ttls: vec![ASK_AGAIN] })));
    assert!(leader.proposed.is_empty(), "cleared once");
    leader.change(LeaseChange::Checkpoint { id: 2, remaining_ttl: 0 }, 10);
    assert_eq!(leader.renewed(&[2], 20).try_recv(), Ok(Ok(Renewals { ttls: vec![900] })));
}

#[test]
fn a_table_that_is_rebuilt_holds_what_the_new_store_holds() {
    let mut member = member(2, vec![lease(1, 60), lease(2, 60)]);
    member.role(false, 3, 1, 0);
    member.service.rebuild(RebuildLeases { stored: vec![lease(2, 30), lease(3, 90)] }, 100);
    member.role(true, 4, 2, 200);
    member.gauges.sole_member.store(true, Release);
    let leases = member.service.leases();
    assert_eq!([1, 2, 3].map(|id| leases.exists(id)), [false, true, true]);
    member.ask(1, LeaseAsk::Renew { id: 2 }, 300);
    assert_eq!(member.answered(), [(1, renewed(30))]);
}
