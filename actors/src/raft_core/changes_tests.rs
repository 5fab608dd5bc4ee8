//! Changes of the membership: the store's verdict comes before raft's switch, and the answer after what a crash cannot undo.

use super::testing::{Bench, bench, bench_with, url};
use crate::calls::CallKind;
use crate::calls::kinds::{Learner, PromoteLearner, ProposalsRefused};
use crate::wiring::peers::PeerReport;
use messages::RequestError;
use messages::peer::PeerAddress;
use model::{MemberChange, MemberRefusal, Origin};
use prost::Message as _;
use raft::{Body, ConfState, Entry, EntryKind, Message, confchange_codec};
use std::time::Duration;
use storage::member::{added_member_id, conf_change};

fn add(name: &str, learner: bool) -> MemberChange {
    MemberChange::Add { peer_urls: vec![format!("http://{name}:1")], learner, unix_seconds: 7 }
}

fn id_of(name: &str) -> u64 {
    added_member_id(&[format!("http://{name}:1")], 7)
}

/// Whatever is under way is written, held by member 2, and applied.
fn settle(bench: &mut Bench) {
    for _ in 0..4 {
        bench.persist();
        bench.acknowledge();
        bench.apply();
    }
}

fn membership(bench: &Bench) -> ConfState {
    bench.core.node().membership().clone()
}

fn refused(why: MemberRefusal) -> Option<RequestError> {
    Some(RequestError::Member(why))
}

#[test]
fn raft_switches_when_the_store_has_said_so_and_not_before() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, add("n", true));
    bench.persist();
    bench.acknowledge();
    assert!(membership(&bench).learners.is_empty(), "it is committed, and nobody has judged it");
    bench.apply();
    assert_eq!(membership(&bench).learners, [id_of("n")]);
    assert_eq!(membership(&bench), bench.members.conf_state);
}

#[test]
fn the_answer_waits_until_the_commit_is_durable() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, MemberChange::Remove { id: 3 });
    bench.persist();
    bench.acknowledge();
    bench.apply();
    assert_eq!(membership(&bench).voters, [1, 2], "it is in force");
    assert_eq!(bench.answers(), [], "but a crash now would bring back three voters");
    let index = bench.core.node().applied();
    let appends = bench.persist();
    let commit = appends.iter().filter_map(|append| append.hard_state).map(|hard| hard.commit).max();
    assert!(appends.iter().any(|append| append.must_sync) && commit >= Some(index), "{appends:?}");
    assert_eq!(bench.answers(), [(1, None)]);
}

#[test]
fn a_store_that_was_flushed_is_as_good_as_a_durable_commit() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, MemberChange::Remove { id: 3 });
    bench.persist();
    bench.acknowledge();
    bench.apply();
    let index = bench.core.node().applied();
    bench.flushed(index - 1);
    assert_eq!(bench.answers(), []);
    bench.flushed(index);
    assert_eq!(bench.answers(), [(1, None)]);
}

#[test]
fn a_disk_that_hangs_leaves_the_outcome_unknown() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, MemberChange::Remove { id: 3 });
    bench.persist();
    bench.acknowledge();
    bench.apply();
    bench.tick(500);
    assert_eq!(bench.answers(), [(1, Some(RequestError::Timeout))]);
}

#[test]
fn members_that_follow_make_the_commit_durable_too() {
    let mut bench = bench(3);
    bench.follow();
    let origin = Origin { member: 2, epoch: 5, sequence: 1 };
    let change = conf_change(&MemberChange::Remove { id: 3 }, origin, 1);
    let data = confchange_codec::encode_v1(&change);
    let entry = Entry { term: 2, index: 4, kind: EntryKind::ConfChange, data };
    let append = raft::message::Append { prev_index: 3, prev_term: 1, commit: 3, entries: vec![entry] };
    bench.hear(2, Body::Append(append));
    bench.persist();
    bench.hear(2, Body::Heartbeat { commit: 4, read_round: 0 });
    bench.apply();
    assert_eq!(membership(&bench).voters, [1, 2]);
    let commit = bench.persist().iter().filter_map(|append| append.hard_state).map(|hard| hard.commit).max();
    assert_eq!(commit, Some(4));
    assert_eq!(bench.answers(), [], "another member asked for it");
}

#[test]
fn what_cannot_be_is_refused_without_an_entry() {
    let mut bench = bench(3);
    bench.lead();
    let last = bench.core.node().last_index();
    let taken = MemberChange::Add { peer_urls: vec![url(2)], learner: true, unix_seconds: 7 };
    let cases = [
        (taken, MemberRefusal::PeerUrlTaken),
        (MemberChange::Remove { id: 77 }, MemberRefusal::NotFound),
        (MemberChange::Update { id: 2, peer_urls: vec![url(1)] }, MemberRefusal::PeerUrlTaken),
        (MemberChange::Promote { id: 77 }, MemberRefusal::NotFound),
        (MemberChange::Promote { id: 2 }, MemberRefusal::NotLearner),
    ];
    for (change, why) in cases {
        bench.change(1, change.clone());
        assert_eq!(bench.answers(), [(1, refused(why))], "{change:?}");
    }
    assert_eq!(bench.core.node().last_index(), last);
}

#[test]
fn a_change_that_the_store_refuses_has_no_effect_and_is_answered() {
    let mut bench = bench(3);
    bench.follow();
    // a follower does not judge: its table may be old
    bench.change(1, MemberChange::Remove { id: 77 });
    let sent = bench.sent();
    let [Message { to: 2, body: Body::Propose(proposals), .. }] = &sent[..] else { panic!("passed on: {sent:?}") };
    let entry = Entry { term: 2, index: 4, kind: proposals[0].kind, data: proposals[0].data.clone() };
    let append = raft::message::Append { prev_index: 3, prev_term: 1, commit: 4, entries: vec![entry] };
    bench.hear(2, Body::Append(append));
    bench.persist();
    let before = membership(&bench);
    bench.apply();
    assert_eq!(membership(&bench), before);
    assert_eq!(bench.answers(), [(1, refused(MemberRefusal::NotFound))]);
}

#[test]
fn the_next_change_waits_for_the_one_under_way() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, add("a", true));
    bench.change(2, MemberChange::Update { id: 2, peer_urls: vec!["http://elsewhere:1".into()] });
    let entries = |bench: &mut Bench| bench.persist().iter().map(|append| append.entries.len()).sum::<usize>();
    assert_eq!(entries(&mut bench), 1, "raft would empty the second one");
    settle(&mut bench);
    settle(&mut bench);
    assert_eq!(bench.answers(), [(1, None), (2, None)]);
    assert_eq!(bench.members.member(2).expect("a member").peer_urls, ["http://elsewhere:1"]);
}

#[test]
fn a_change_that_is_forwarded_while_another_one_is_under_way_waits_for_it() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, add("a", true));
    let origin = Origin { member: 2, epoch: 5, sequence: 1 };
    let change = conf_change(&MemberChange::Remove { id: 3 }, origin, 1);
    let proposal = raft::Proposal { kind: EntryKind::ConfChange, data: confchange_codec::encode_v1(&change) };
    bench.hear_in(2, 0, Body::Propose(vec![proposal]));
    let entries = |bench: &mut Bench| bench.persist().iter().map(|append| append.entries.len()).sum::<usize>();
    assert_eq!(entries(&mut bench), 1, "raft would have emptied it");
    settle(&mut bench);
    settle(&mut bench);
    assert_eq!(membership(&bench).voters, [1, 2]);
    assert_eq!(bench.answers(), [(1, None)], "the other one is answered where it was asked for");
}

#[test]
fn a_change_that_is_held_by_a_leader_that_is_none_any_more_is_refused() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, add("a", true));
    let origin = Origin { member: 2, epoch: 5, sequence: 1 };
    let change = conf_change(&MemberChange::Remove { id: 3 }, origin, 1);
    let proposal = raft::Proposal { kind: EntryKind::ConfChange, data: confchange_codec::encode_v1(&change) };
    bench.hear_in(2, 0, Body::Propose(vec![proposal]));
    assert!(bench.calls().is_empty());
    let term = bench.core.node().term() + 1;
    bench.hear_in(3, term, Body::Heartbeat { commit: bench.core.node().committed(), read_round: 0 });
    let calls = bench.calls();
    assert!(matches!(&calls[..], [(2, question)] if question.kind == ProposalsRefused::KIND), "{calls:?}");
}

#[test]
fn a_change_that_never_left_is_answered_at_once() {
    let mut bench = bench(3);
    bench.follow();
    bench.change(1, add("n", true));
    let never_left = bench.sent();
    bench.report(PeerReport::Unreachable { peer: 2, never_left });
    assert_eq!(bench.answers(), [(1, Some(RequestError::LeaderChanged))]);
}

#[test]
fn without_a_leader_a_change_waits_for_one() {
    let mut bench = bench(3);
    bench.change(1, add("n", true));
    bench.change(2, MemberChange::Promote { id: 9 });
    assert_eq!(bench.answers(), []);
    bench.follow();
    bench.persist();
    assert_eq!(bench.calls().len(), 1, "the promotion");
    let mut bench = super::testing::bench(3);
    bench.change(1, add("n", true));
    bench.tick(70);
    assert_eq!(bench.answers(), [(1, Some(RequestError::TimeoutLeaderLost))]);
}

#[test]
fn what_could_cost_the_quorum_is_refused_unless_told_otherwise() {
    let mut strict = bench(3);
    strict.lead();
    strict.reach(3, Some(Duration::from_secs(1)));
    strict.change(1, add("n", false));
    assert_eq!(strict.answers(), [(1, refused(MemberRefusal::Unhealthy))]);
    strict.change(2, MemberChange::Remove { id: 2 });
    assert_eq!(strict.answers(), [(2, refused(MemberRefusal::Unhealthy))]);
    strict.reach(3, Some(Duration::from_secs(6)));
    strict.change(3, add("n", false));
    settle(&mut strict);
    assert_eq!(membership(&strict).voters.len(), 4);
    let mut lax = bench_with(3, |config| config.strict_reconfig = false);
    lax.lead();
    lax.reach(3, None);
    lax.change(1, add("n", false));
    settle(&mut lax);
    assert_eq!(lax.answers(), [(1, None)]);
}

/// A leader with learner 9, which has published itself.
fn with_learner() -> (Bench, u64) {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, add("n", true));
    settle(&mut bench);
    assert_eq!(bench.answers(), [(1, None)]);
    (bench, id_of("n"))
}

/// The learner publishes its name.
fn publish(bench: &mut Bench, id: u64) {
    let place = bench.members.members.iter().position(|(member, _)| *member == id).expect("a member");
    bench.members.members[place].1.name = "n".into();
    let membership = std::sync::Arc::new(bench.members.clone());
    bench.tell_membership(membership);
}

#[test]
fn a_learner_is_promoted_when_it_is_started_and_in_sync() {
    let (mut bench, id) = with_learner();
    let last = bench.core.node().last_index();
    bench.change(2, MemberChange::Promote { id });
    assert_eq!(bench.answers(), [(2, refused(MemberRefusal::LearnerNotReady))], "nothing was heard of it");
    bench.hear(id, Body::AppendAccepted { index: last });
    bench.change(3, MemberChange::Promote { id });
    assert_eq!(bench.answers(), [(3, refused(MemberRefusal::LearnerNotReady))], "it has not published itself");
    publish(&mut bench, id);
    bench.change(4, MemberChange::Promote { id });
    settle(&mut bench);
    assert_eq!(bench.answers(), [(4, None)]);
    assert!(membership(&bench).voters.contains(&id) && membership(&bench).learners.is_empty());
}

#[test]
fn a_promotion_is_passed_on_to_the_leader_once() {
    let mut bench = bench(3);
    bench.follow();
    bench.change(5, MemberChange::Promote { id: 9 });
    let body = Learner { id: 9 }.encode_to_vec();
    let calls = bench.calls();
    assert!(matches!(&calls[..], [(2, q)] if q.kind == PromoteLearner::KIND && q.body == body), "{calls:?}");
    // nobody answers calls here
    assert_eq!(bench.answers(), [(5, Some(RequestError::Timeout))]);
    bench.change_for(6, MemberChange::Promote { id: 9 }, true);
    assert!(bench.calls().is_empty());
    assert_eq!(bench.answers(), [(6, Some(RequestError::NotLeader))]);
}

#[test]
fn a_leader_that_is_to_be_removed_gives_leadership_away_first() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, MemberChange::Remove { id: 1 });
    assert!(bench.sent().iter().any(|m| m.to == 2 && m.body == Body::TimeoutNow), "member 2 holds the whole log");
    let term = bench.core.node().term() + 1;
    bench.hear_in(2, term, Body::Heartbeat { commit: bench.core.node().committed(), read_round: 0 });
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.to == 2 && matches!(m.body, Body::Propose(_))), "then it asks: {sent:?}");
}

#[test]
fn a_leader_that_nobody_succeeds_removes_itself_and_steps_down() {
    let mut bench = bench(3);
    bench.lead();
    bench.change(1, MemberChange::Remove { id: 1 });
    bench.sent();
    for _ in 0..45 {
        // the others are there, but nobody takes over
        bench.queue(2, Body::HeartbeatAck { read_round: 0 });
        bench.tick(1);
    }
    settle(&mut bench);
    assert_eq!(bench.answers(), [(1, None)]);
    assert!(!bench.core.node().is_leader());
    for _ in 0..20 {
        bench.tick(1);
    }
    assert!(!bench.core.has_left(), "nobody else has said so: it may be needed yet");
    for _ in 0..40 {
        bench.tick(1);
    }
    assert!(bench.core.has_left());
}

#[test]
fn what_anybody_could_say_of_a_removal_counts_when_the_store_says_the_same() {
    let mut bench = bench(3);
    bench.follow();
    bench.report(PeerReport::Removed { by: 2, authenticated: false });
    for _ in 0..60 {
        bench.tick(1);
    }
    assert!(!bench.core.has_left(), "nobody is sent away by a stranger");
    bench.members.removed = vec![1];
    bench.tell_membership(std::sync::Arc::new(bench.members.clone()));
    bench.tick(1);
    bench.report(PeerReport::Removed { by: 2, authenticated: false });
    for _ in 0..11 {
        bench.tick(1);
    }
    assert!(bench.core.has_left(), "the one who applied it has said so");
}

#[test]
fn a_member_that_was_removed_while_it_was_away_leaves_when_it_is_started() {
    let mut bench = bench(3);
    bench.members.removed = vec![1];
    bench.tell_membership(std::sync::Arc::new(bench.members.clone()));
    for _ in 0..11 {
        bench.tick(1);
    }
    assert!(bench.core.has_left());
}

#[test]
fn a_lone_member_takes_in_a_learner_that_is_not_there_and_lets_it_go_again() {
    let mut bench = bench(1);
    for _ in 0..3 {
        bench.persist();
        bench.apply();
    }
    let lone = |bench: &mut Bench| {
        for _ in 0..3 {
            bench.persist();
            bench.apply();
        }
    };
    bench.change(1, add("n", true));
    lone(&mut bench);
    bench.change(2, MemberChange::Remove { id: id_of("n") });
    lone(&mut bench);
    assert_eq!(bench.answers(), [(1, None), (2, None)]);
    bench.change(3, add("n", true));
    assert_eq!(bench.answers(), [(3, refused(MemberRefusal::Removed))], "the same id never comes back");
    bench.change(4, add("m", false));
    lone(&mut bench);
    assert_eq!(bench.answers(), [(4, None)]);
    assert_eq!(membership(&bench).voters.len(), 2, "from now on both are needed");
    bench.change(5, add("o", false));
    assert_eq!(bench.answers(), [(5, refused(MemberRefusal::NotEnoughStarted))]);
}

#[test]
fn a_leader_says_to_those_who_do_not_answer_how_it_is_reached() {
    let mut bench = bench(3);
    bench.lead();
    for _ in 0..10 {
        bench.queue(2, Body::HeartbeatAck { read_round: 0 });
        bench.tick(1);
    }
    bench.introduced();
    for _ in 0..10 {
        bench.queue(2, Body::HeartbeatAck { read_round: 0 });
        bench.tick(1);
    }
    let told = bench.introduced();
    assert_eq!(told.iter().filter(|to| **to == 3).count(), 2, "twice in an election timeout: {told:?}");
}

#[test]
fn a_member_that_is_not_known_yet_is_reached_where_it_says_and_one_that_was_removed_is_not() {
    let mut bench = bench(3);
    bench.follow();
    let says = |member: u64| PeerReport::Introduced(PeerAddress { member, urls: vec!["http://n:1".into()] });
    bench.report(says(9));
    assert!(bench.reaches(9));
    bench.members.removed = vec![8];
    bench.tell_membership(std::sync::Arc::new(bench.members.clone()));
    bench.report(says(8));
    assert!(!bench.reaches(8));
}

#[test]
fn a_member_that_is_asked_to_remove_the_leader_asks_it_to_hand_over_first() {
    let mut bench = bench(3);
    bench.follow();
    bench.change(1, MemberChange::Remove { id: 2 });
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.to == 2 && m.body == Body::TransferLeader { transferee: 1 }), "{sent:?}");
    assert!(!sent.iter().any(|m| matches!(m.body, Body::Propose(_))), "not under the leader that goes: {sent:?}");
    let term = bench.core.node().term() + 1;
    bench.hear_in(3, term, Body::Heartbeat { commit: bench.core.node().committed(), read_round: 0 });
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.to == 3 && matches!(m.body, Body::Propose(_))), "then it asks: {sent:?}");
}
