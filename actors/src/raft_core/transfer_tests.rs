//! Leadership that is handed over, and what is told to whom about proposals that are not taken meanwhile.

use super::testing::{Bench, bench};
use crate::calls::CallKind;
use crate::calls::kinds::{ProposalsRefused, Refusal};
use crate::wiring::peers::PeerReport;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use messages::admin::Control;
use messages::peer::Vitals;
use messages::{RequestError, SinkId};
use model::{Envelope, MemberChange, Origin};
use prost::Message as _;
use raft::{Body, EntryKind, VoteRequest};
use std::sync::atomic::Ordering::Acquire;

fn move_to(bench: &mut Bench, token: u64, target: u64) {
    assert!(bench.port.control(Control::MoveLeader { sink: SinkId(0), token, target }));
    bench.core.round();
}

fn hand_over(bench: &mut Bench, preferred: &[u64]) -> Receiver<u64> {
    let (left, wait) = bounded(1);
    assert!(bench.port.control(Control::HandOver { preferred: preferred.to_vec(), left }));
    bench.core.round();
    wait
}

fn successors(bench: &Bench) -> Vec<u64> {
    bench.sent().iter().filter(|m| m.body == Body::TimeoutNow).map(|m| m.to).collect()
}

/// Member `who` wins the election of the next term.
fn leads_next(bench: &mut Bench, who: u64) {
    let node = bench.core.node();
    let (term, commit) = (node.term() + 1, node.committed());
    let request = VoteRequest { last_index: node.last_index(), last_term: node.term(), transfer: true };
    bench.hear_in(who, term, Body::Vote(request));
    bench.persist();
    bench.hear_in(who, term, Body::Heartbeat { commit, read_round: 0 });
}

#[test]
fn a_move_is_answered_when_the_new_leader_leads() {
    let mut bench = bench(3);
    bench.lead();
    move_to(&mut bench, 5, 2);
    assert_eq!((successors(&bench), bench.answers()), (vec![2], vec![]));
    leads_next(&mut bench, 2);
    assert_eq!(bench.answers(), [(5, None)]);
}

#[test]
fn a_move_that_takes_too_long_is_given_up() {
    let mut bench = bench(3);
    bench.lead();
    move_to(&mut bench, 5, 2);
    for _ in 0..69 {
        bench.queue(3, Body::HeartbeatAck { read_round: 0 });
        bench.tick(1);
    }
    assert_eq!(bench.answers(), []);
    bench.tick(1);
    assert_eq!(bench.answers(), [(5, Some(RequestError::TransferTimeout))]);
}

#[test]
fn only_a_leader_moves_leadership_and_only_to_a_voter() {
    let mut leader = bench(3);
    leader.lead();
    move_to(&mut leader, 5, 9);
    move_to(&mut leader, 6, 1);
    assert_eq!(leader.answers(), [(5, Some(RequestError::BadTransferee)), (6, None)]);
    let mut follower = bench(3);
    follower.follow();
    move_to(&mut follower, 7, 3);
    assert_eq!(follower.answers(), [(7, Some(RequestError::NotLeader))]);
}

#[test]
fn a_leader_that_stops_hands_over_to_the_first_voter_that_is_well() {
    let mut bench = bench(3);
    bench.lead();
    bench.hear(3, Body::AppendAccepted { index: bench.core.node().last_index() });
    bench.hear_vitals(2, Vitals { unsynced_micros: 900_000, ..Vitals::default() });
    bench.hear_vitals(3, Vitals::default());
    bench.tick(1);
    bench.sent();
    let term = bench.core.node().term();
    let left = hand_over(&mut bench, &[9, 2, 3]);
    assert_eq!((successors(&bench), left.try_recv()), (vec![3], Err(TryRecvError::Empty)));
    leads_next(&mut bench, 3);
    assert_eq!((left.try_recv(), bench.core.node().term()), (Ok(3), term + 1));
    for _ in 0..60 {
        bench.tick(1);
    }
    assert!(!bench.campaigned(), "it is about to stop");
}

#[test]
fn a_member_that_has_not_said_how_it_is_may_lead_if_it_follows() {
    let mut bench = bench(3);
    bench.lead();
    let left = hand_over(&mut bench, &[3, 2]);
    // member 3 has never answered, member 2 holds the whole log
    assert_eq!((successors(&bench), left.try_recv()), (vec![2], Err(TryRecvError::Empty)));
}

#[test]
fn who_cannot_hand_over_says_so_at_once() {
    let mut lone = bench(1);
    lone.lead_alone();
    assert_eq!(hand_over(&mut lone, &[]).try_recv(), Err(TryRecvError::Disconnected));
    let mut follower = bench(3);
    follower.follow();
    assert_eq!(hand_over(&mut follower, &[2, 3]).try_recv(), Ok(2), "somebody else leads already");
    let mut cut_off = bench(3);
    cut_off.lead();
    assert_eq!(hand_over(&mut cut_off, &[]).try_recv(), Err(TryRecvError::Disconnected));
}

fn forwarded(bench: &Bench, sequence: u64) -> raft::Proposal {
    let origin = Origin { member: 2, epoch: 50, sequence };
    let command = model::Command::ClusterVersionSet(Default::default()).encode(1);
    raft::Proposal {
        kind: EntryKind::Normal,
        data: Envelope { origin, only_in_term: bench.core.node().term(), command }.encode(),
    }
}

#[test]
fn who_has_forwarded_proposals_is_told_that_they_were_not_taken() {
    let mut bench = bench(3);
    bench.lead();
    bench.hear_in(2, 0, Body::Propose(vec![forwarded(&bench, 6)]));
    assert!(bench.calls().is_empty(), "they were taken");
    move_to(&mut bench, 5, 3);
    bench.hear_in(2, 0, Body::Propose(vec![forwarded(&bench, 7), forwarded(&bench, 8)]));
    let calls = bench.calls();
    let [(to, question)] = &calls[..] else { panic!("one notice, not {calls:?}") };
    let refusal = Refusal::decode(question.body.clone()).expect("a refusal");
    assert_eq!((*to, question.kind), (2, ProposalsRefused::KIND));
    assert_eq!(refusal, Refusal { epoch: 50, sequences: vec![7, 8], too_many: false });
    assert_eq!(refusal.error(), RequestError::LeaderChanged);
}

#[test]
fn refused_proposals_are_answered_once_and_those_of_another_run_are_none_of_ours() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose(1);
    bench.propose(2);
    let refused = |epoch, too_many| PeerReport::Refused(Refusal { epoch, sequences: vec![1, 9], too_many });
    bench.report(refused(76, true));
    assert_eq!(bench.answers(), []);
    bench.report(refused(77, true));
    bench.report(refused(77, false));
    assert_eq!(bench.answers(), [(2, Some(RequestError::TooManyRequests))]);
}

#[test]
fn what_is_proposed_while_nobody_leads_waits_for_a_leader() {
    let mut bench = bench(3);
    bench.propose(1);
    bench.propose_in_term(2, 1);
    assert_eq!(bench.answers(), [(2, Some(RequestError::NotLeader))], "the rest waits");
    bench.sent();
    bench.follow_in(2, 2);
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.to == 2 && matches!(&m.body, Body::Propose(list) if list.len() == 1)), "{sent:?}");
    assert_eq!(bench.answers(), []);
}

#[test]
fn what_is_proposed_while_leadership_moves_waits_for_the_new_leader() {
    let mut bench = bench(3);
    bench.lead();
    move_to(&mut bench, 5, 3);
    bench.propose(1);
    assert_eq!(bench.answers(), []);
    leads_next(&mut bench, 3);
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.to == 3 && matches!(&m.body, Body::Propose(list) if list.len() == 1)), "{sent:?}");
    assert_eq!(bench.answers(), [(5, None)]);
}

#[test]
fn what_waits_for_a_leader_in_vain_times_out() {
    let mut bench = bench(3);
    bench.propose(1);
    for _ in 0..69 {
        bench.tick(1);
    }
    assert_eq!(bench.answers(), []);
    bench.tick(1);
    assert_eq!(bench.answers(), [(1, Some(RequestError::Timeout))]);
}

#[test]
fn what_the_last_leader_was_given_is_certainly_not_applied_once_this_one_has_committed() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose(1);
    bench.win();
    bench.persist();
    assert_eq!(bench.answers(), [], "an entry of the last leader may yet be found to be committed");
    bench.acknowledge();
    assert_eq!(bench.answers(), [(1, Some(RequestError::LeaderChanged))]);
}

#[test]
fn what_was_under_way_when_this_member_took_over_is_told_so_while_it_commits_nothing() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose(1);
    bench.win();
    for _ in 0..80 {
        bench.queue(2, Body::HeartbeatAck { read_round: 0 });
        bench.tick(1);
        bench.persist();
    }
    assert_eq!(bench.answers(), [(1, Some(RequestError::TimeoutLeaderLost))]);
}

/// The test that ADR 0005 owes: reads without leave end in the round that brings another voter.
#[test]
fn a_sole_voter_is_none_any_more_in_the_round_that_brings_another_one() {
    let mut bench = bench(1);
    bench.lead_alone();
    let sole = |bench: &Bench| bench.core.parts.gauges.sole_member.load(Acquire);
    assert!(sole(&bench));
    bench.change(1, MemberChange::Add { peer_urls: vec!["http://n:1".into()], learner: false, unix_seconds: 0 });
    assert!(sole(&bench), "it is not committed");
    bench.persist();
    assert!(sole(&bench), "it is not applied: the new member cannot vote, and this one needs nobody");
    bench.apply();
    assert!(!sole(&bench));
}

/// A learner applies what is committed when it likes, and answers whoever wrote through it: what was told may not be in this view yet.
#[test]
fn a_sole_voter_with_a_learner_reads_with_leave() {
    let mut bench = bench(1);
    bench.lead_alone();
    bench.change(1, MemberChange::Add { peer_urls: vec!["http://n:1".into()], learner: true, unix_seconds: 0 });
    bench.persist();
    bench.apply();
    assert!(bench.core.is_settled_leader());
    assert!(!bench.core.parts.gauges.sole_member.load(Acquire));
}
