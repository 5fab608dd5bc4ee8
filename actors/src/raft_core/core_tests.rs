//! What the core's shell must keep apart: signs of life from the disk and the applier, time from what was said meanwhile.

use super::testing::{Bench, bench};
use crate::limits::{APPENDS_IN_FLIGHT, APPLIES_IN_FLIGHT};
use crate::wiring::peers::PeerReport;
use bytes::Bytes;
use messages::RequestError;
use model::{Envelope, Origin};
use raft::message::Append;
use raft::{Body, Entry, EntryKind, Message, Role};

/// Read rounds of the heartbeats that were sent to member 2.
fn rounds(bench: &Bench) -> Vec<u64> {
    let round = |m: &Message| match m.body {
        Body::Heartbeat { read_round, .. } if m.to == 2 => Some(read_round),
        _ => None,
    };
    bench.sent().iter().filter_map(round).collect()
}

/// Commits entries, one batch each, that the applier does not get done with.
fn fill_the_applier(bench: &mut Bench) {
    for token in 0..=APPLIES_IN_FLIGHT as u64 {
        bench.propose(token);
        bench.persist();
        bench.acknowledge();
    }
    assert!(bench.core.node().committed() > bench.core.node().applied() + APPLIES_IN_FLIGHT as u64);
    bench.sent();
}

#[test]
fn heartbeats_leave_while_the_applier_is_busy() {
    let mut bench = bench(3);
    bench.lead();
    fill_the_applier(&mut bench);
    bench.tick(1);
    assert_eq!(rounds(&bench).len(), 1);
}

#[test]
fn entries_go_to_the_log_and_to_peers_while_the_applier_is_busy() {
    let mut bench = bench(3);
    bench.lead();
    fill_the_applier(&mut bench);
    bench.propose(99);
    assert_eq!(bench.persist().iter().map(|batch| batch.entries.len()).sum::<usize>(), 1);
    assert!(bench.sent().iter().any(|m| matches!(&m.body, Body::Append(append) if append.entries.len() == 1)));
}

#[test]
fn committed_entries_go_to_the_applier_while_the_disk_is_busy() {
    let mut bench = bench(3);
    bench.lead();
    bench.propose(0);
    bench.persist();
    for token in 1..=2 * APPENDS_IN_FLIGHT as u64 {
        bench.propose(token);
    }
    bench.acknowledge();
    assert_eq!(bench.apply().iter().map(|batch| batch.entries.len()).sum::<usize>(), 1);
}

#[test]
fn reads_are_granted_while_the_disk_is_busy() {
    let mut bench = bench(3);
    bench.lead();
    for token in 0..2 * APPENDS_IN_FLIGHT as u64 {
        bench.propose(token);
    }
    bench.sent();
    bench.read(100);
    let [round] = rounds(&bench)[..] else { panic!("a round of heartbeats") };
    bench.hear(2, Body::HeartbeatAck { read_round: round });
    assert_eq!(bench.answers(), [(100, None)]);
}

#[test]
fn a_follower_answers_heartbeats_while_disk_and_applier_are_busy() {
    let mut bench = bench(3);
    bench.follow();
    for n in 0..2 * APPENDS_IN_FLIGHT as u64 {
        let node = bench.core.node();
        let entry = Entry { term: 2, index: node.last_index() + 1, kind: EntryKind::Normal, data: Default::default() };
        let prev_term = if n == 0 { 1 } else { 2 };
        let append =
            Append { prev_index: node.last_index(), prev_term, commit: node.committed(), entries: vec![entry] };
        bench.hear(2, Body::Append(append));
    }
    bench.sent();
    bench.hear(2, Body::Heartbeat { commit: bench.core.node().committed(), read_round: 9 });
    let sent = bench.sent();
    assert!(sent.iter().any(|m| m.body == Body::HeartbeatAck { read_round: 9 }), "{sent:?}");
}

#[test]
fn a_heartbeat_that_waited_during_a_stall_counts_before_the_stall_does() {
    let mut bench = bench(3);
    bench.follow();
    bench.queue(2, Body::Heartbeat { commit: 3, read_round: 0 });
    bench.tick(500);
    assert!(!bench.campaigned());
    assert_eq!((bench.core.node().role(), bench.core.node().leader()), (Role::Follower, 2));
}

#[test]
fn a_stall_of_this_process_is_not_taken_for_silence_of_the_others() {
    let mut follower = bench(3);
    follower.follow();
    follower.tick(500);
    assert!(!follower.campaigned());
    let mut leader = bench(3);
    leader.lead();
    leader.tick(500);
    assert_eq!(leader.core.node().role(), Role::Leader);
    // but silence itself is noticed
    for _ in 0..40 {
        follower.tick(1);
        leader.tick(1);
    }
    assert!(follower.campaigned());
    assert_ne!(leader.core.node().role(), Role::Leader, "it has heard from no quorum");
}

#[test]
fn a_stall_counts_in_full_against_the_deadlines_of_clients() {
    let mut bench = bench(3);
    bench.lead();
    bench.propose(5);
    bench.tick(500);
    assert_eq!(bench.answers(), [(5, Some(RequestError::Timeout))]);
}

#[test]
fn reads_of_many_turns_share_the_round_after_the_one_under_way() {
    let mut bench = bench(3);
    bench.lead();
    for token in 0..10 {
        bench.read(token);
    }
    let [round] = rounds(&bench)[..] else { panic!("one round, whatever the number of turns") };
    bench.hear(2, Body::HeartbeatAck { read_round: round });
    assert_eq!(bench.answers(), [(0, None)]);
    let [round] = rounds(&bench)[..] else { panic!("the next one, for all that came meanwhile") };
    bench.hear(2, Body::HeartbeatAck { read_round: round });
    assert_eq!(bench.answers().len(), 9);
}

#[test]
fn a_lost_round_is_asked_again_once_whoever_waits() {
    let mut bench = bench(3);
    bench.follow();
    for token in 0..10 {
        bench.read(token);
    }
    let asks = |bench: &Bench| bench.sent().iter().filter(|m| matches!(m.body, Body::ReadIndex { .. })).count();
    assert_eq!(asks(&bench), 1);
    for _ in 0..5 {
        bench.queue(2, Body::Heartbeat { commit: 3, read_round: 0 });
        bench.tick(1);
    }
    // the reads' round, and the one that opens service
    assert_eq!(asks(&bench), 2);
}

#[test]
fn reads_are_asked_of_a_new_leader_at_once() {
    let mut bench = bench(3);
    bench.follow();
    bench.read(1);
    bench.sent();
    bench.hear_in(3, 4, Body::Heartbeat { commit: 3, read_round: 0 });
    let asked: Vec<u64> =
        bench.sent().iter().filter(|m| matches!(m.body, Body::ReadIndex { .. })).map(|m| m.to).collect();
    assert_eq!(asked, [3, 3], "the reads' round, and the one that opens service");
}

#[test]
fn a_member_that_lost_acknowledged_entries_stops_with_a_sentence() {
    let mut bench = bench(3);
    bench.follow();
    bench.hear(2, Body::Heartbeat { commit: 1000, read_round: 0 });
    let why = bench.core.failure().expect("it must not go on");
    assert!(why.contains("ends at entry 3") && why.contains("add it again"), "{why}");
    assert!(bench.sent().is_empty(), "it acknowledges nothing");
}

#[test]
fn proposals_of_a_term_are_never_forwarded() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose_in_term(1, 2);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.answers(), [(1, Some(RequestError::NotLeader))]);
    bench.propose(2);
    assert!(matches!(bench.sent()[..], [Message { to: 2, body: Body::Propose(_), .. }]));
}

#[test]
fn forwarded_proposals_are_split_to_frames() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose_sized(&[600 << 10, 600 << 10, 3 << 20, 1, 1]);
    let lists: Vec<usize> = bench
        .sent()
        .iter()
        .filter_map(|m| match &m.body {
            Body::Propose(list) => Some(list.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lists, [1, 1, 1, 2]);
}

#[test]
fn a_forwarded_proposal_that_no_member_could_apply_does_not_enter_the_log() {
    let mut bench = bench(3);
    bench.lead();
    let last = bench.core.node().last_index();
    let damaged = raft::Proposal { kind: EntryKind::Normal, data: Bytes::from_static(b"no envelope") };
    bench.hear_in(2, 0, Body::Propose(vec![damaged]));
    assert_eq!(bench.core.node().last_index(), last);
    let origin = Origin { member: 2, epoch: 1, sequence: 1 };
    let command = model::Command::ClusterVersionSet(Default::default()).encode(1);
    let term = bench.core.node().term();
    // those of another term were given to a leader that is none any more, or is one again
    for (only_in_term, taken) in [(term - 1, 0), (term + 1, 0), (term, 1)] {
        let whole = Envelope { origin, only_in_term, command: command.clone() }.encode();
        bench.hear_in(2, 0, Body::Propose(vec![raft::Proposal { kind: EntryKind::Normal, data: whole }]));
        assert_eq!(bench.core.node().last_index(), last + taken, "bound to term {only_in_term} in term {term}");
    }
}

#[test]
fn a_proposal_that_members_could_not_send_each_other_is_refused_where_it_enters() {
    let mut bench = bench(3);
    bench.lead();
    let last = bench.core.node().last_index();
    bench.propose_sized(&[messages::propose::MAX_COMMAND_BYTES + 1, 1]);
    assert_eq!(bench.core.node().last_index(), last + 1);
    assert_eq!(bench.answers().iter().map(|(_, why)| *why).collect::<Vec<_>>(), [Some(RequestError::TooLarge)]);
}

#[test]
fn a_proposal_that_never_left_is_answered_at_once_and_one_that_may_have_is_not() {
    let mut bench = bench(3);
    bench.follow();
    bench.propose(1);
    bench.propose(2);
    let mut sent = bench.sent();
    sent.retain(|m| matches!(m.body, Body::Propose(_)));
    let second = sent.pop().expect("two lists");
    bench.report(PeerReport::Unreachable { peer: 2, never_left: vec![second] });
    assert_eq!(bench.answers(), [(2, Some(RequestError::LeaderChanged))]);
}

#[test]
fn a_follower_that_needs_entries_no_longer_in_memory_gets_them_from_the_log() {
    let mut bench = bench(3);
    bench.lead();
    let first = bench.core.node().last_index() + 1;
    for _ in 0..4 {
        bench.propose_sized(&[20 << 20]);
        bench.persist();
        bench.acknowledge();
        bench.apply();
    }
    // member 3 was away all the time, and takes now what it was sent first
    bench.sent();
    bench.hear(3, Body::AppendAccepted { index: first - 1 });
    let asked = bench.asked_of_log();
    let [ask] = asked[..] else { panic!("a range is read back, not {asked:?}") };
    assert_eq!(ask.lo, first);
    let term = bench.core.node().term();
    let data = Bytes::from_static(b"read back");
    let read = |index| Entry { term, index, kind: EntryKind::Normal, data: data.clone() };
    bench.loaded(ask.lo, vec![read(ask.lo), read(ask.lo + 1)]);
    let sent = bench.sent();
    let append = sent.iter().find_map(|m| match &m.body {
        Body::Append(append) if m.to == 3 => Some(append),
        _ => None,
    });
    let append = append.expect("without waiting to hear from it again");
    assert_eq!((append.prev_index + 1, append.entries[0].data.as_ref()), (ask.lo, &b"read back"[..]));
}

#[test]
fn a_member_that_was_removed_leaves_after_an_election_timeout() {
    let mut bench = bench(3);
    bench.follow();
    bench.report(PeerReport::Removed { by: 2, authenticated: true });
    for _ in 0..9 {
        bench.tick(1);
        assert!(!bench.core.has_left());
    }
    bench.tick(1);
    assert!(bench.core.has_left() && bench.core.failure().is_none());
}
