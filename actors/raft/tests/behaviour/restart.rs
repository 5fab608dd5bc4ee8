//! Starting again from what was durable.

use bytes::Bytes;
use raft::{ConfChangeKind, ConfChangeSingle, ConfChangeV2, Config, Entry, EntryKind, Node, StepError, Storage};

use crate::group::{Group, payload, storage};

fn entry(index: u64) -> Entry {
    Entry { term: 1, index, kind: EntryKind::Normal, data: Bytes::from_static(b"x") }
}

#[test]
fn what_is_applied_is_committed() {
    let mut disk = storage(&[1]);
    disk.log.append(&[entry(2), entry(3), entry(4)]);
    // The hard state was not synced when commit moved, the state machine was.
    let node = Node::new(Config { applied: 3, ..Config::new(1) }, disk, raft::NoTrace).expect("a valid configuration");
    assert_eq!((node.committed(), node.applied(), node.last_index()), (3, 3, 4));
    assert!(!node.has_ready());
}

#[test]
#[should_panic(expected = "RI-1 committed <= last")]
fn a_lost_log_is_noticed() {
    let disk = storage(&[1]);
    let _ = Node::new(Config { applied: 3, ..Config::new(1) }, disk, raft::NoTrace);
}

#[test]
fn a_heartbeat_beyond_the_log_says_that_acknowledged_entries_are_lost() {
    let mut group = Group::led(3, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    let acknowledged = group.node(1).committed();
    // Member 2 comes back from an older copy of its disk.
    let fresh = Node::new(Config { applied: 1, ..Config::new(2) }, storage(&[1, 2, 3]), raft::NoTrace);
    *group.node(2) = fresh.expect("a valid configuration");
    group.node(1).tick();
    let beats = group.node(1).take_messages();
    let beat = beats.into_iter().find(|m| m.to == 2).expect("a heartbeat to 2");
    let lost = StepError::LogLost { leader: 1, acknowledged, last: 1 };
    assert_eq!(group.node(2).step(beat), Err(lost));
    assert!(group.node(2).take_messages().is_empty(), "nothing is acknowledged");
    assert!(lost.to_string().contains("add it again"));
}

#[test]
fn a_single_voter_needs_no_messages() {
    let mut group = Group::led(1, |_| {});
    for n in 0..10 {
        group.node(1).propose(payload(&n.to_string())).expect("a leader");
    }
    let ready = group.node(1).ready();
    assert!(ready.messages.is_empty());
    let append = ready.append.expect("entries");
    assert!(append.responses.is_empty());
    let log = &mut group.node(1).storage_mut().log;
    log.append(&append.entries);
    group.node(1).on_persisted(append.token);
    let apply = group.node(1).ready().apply.expect("all ten");
    assert_eq!(apply.entries.len(), 10);
}

#[test]
#[should_panic(expected = "RI-9")]
fn appends_complete_in_order() {
    let mut group = Group::led(1, |_| {});
    let mut take = |text| {
        group.node(1).propose(payload(text)).expect("a leader");
        group.node(1).ready().append.expect("entries")
    };
    let (first, second) = (take("a"), take("b"));
    let log = &mut group.node(1).storage_mut().log;
    log.append(&first.entries);
    log.append(&second.entries);
    group.node(1).on_persisted(second.token);
    group.node(1).on_persisted(first.token);
}

#[test]
fn commit_alone_needs_no_sync() {
    let mut group = Group::led(1, |config| config.lazy_commit = false);
    group.node(1).propose(payload("a")).expect("a leader");
    let append = group.node(1).ready().append.expect("entries");
    assert!(append.must_sync);
    group.node(1).storage_mut().log.append(&append.entries);
    group.node(1).on_persisted(append.token);
    let append = group.node(1).ready().append.expect("commit has moved");
    assert!(!append.must_sync && append.entries.is_empty());
    assert_eq!(append.hard_state.map(|hs| hs.commit), Some(group.node(1).committed()));
}

#[test]
fn commit_travels_with_the_next_entries() {
    let mut group = Group::led(1, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    assert!(!group.node(1).has_ready(), "that commit has moved is not worth a write");
    group.node(1).propose(payload("b")).expect("a leader");
    let committed = group.node(1).committed();
    let append = group.node(1).ready().append.expect("entries");
    assert_eq!(append.hard_state.map(|hs| hs.commit), Some(committed));
}

#[test]
fn a_commit_that_is_demanded_is_written_and_synced_by_itself() {
    let mut group = Group::led(1, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    group.node(1).demand_commit();
    let append = group.node(1).take_append().expect("it was demanded");
    assert!(append.must_sync && append.entries.is_empty());
    assert_eq!(append.hard_state.map(|hard| hard.commit), Some(group.node(1).committed()));
    group.node(1).on_persisted(append.token);
    group.node(1).demand_commit();
    assert!(group.node(1).take_append().is_none(), "it is on its way already");
}

#[test]
fn a_commit_that_left_with_an_answer_alone_is_still_synced_when_it_is_demanded() {
    let mut group = Group::led(2, |_| {});
    let committed = group.node(2).committed();
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    assert!(group.node(2).committed() > committed, "the leader has told it");
    // it left beside the answer to the leader, which needs no sync
    assert!(group.node(2).take_append().is_none());
    group.node(2).demand_commit();
    let append = group.node(2).take_append().expect("what was handed out is not durable yet");
    assert!(append.must_sync);
    assert_eq!(append.hard_state.map(|hard| hard.commit), Some(group.node(2).committed()));
}

#[test]
fn what_no_member_sends_is_refused() {
    let mut group = Group::led(2, |_| {});
    let append = |entries| {
        let append = raft::message::Append { prev_index: 1, prev_term: 1, commit: 1, entries };
        raft::Message { from: 1, to: 2, term: 2, body: raft::Body::Append(append) }
    };
    let gap = vec![entry(2), entry(4)];
    assert_eq!(group.node(2).step(append(gap)), Err(raft::StepError::Malformed));
    let back = vec![Entry { term: 2, ..entry(2) }, entry(3)];
    assert_eq!(group.node(2).step(append(back)), Err(raft::StepError::Malformed));
    let future = vec![Entry { term: 3, ..entry(2) }];
    assert_eq!(group.node(2).step(append(future)), Err(raft::StepError::Malformed));
    let body = raft::Body::AppendAccepted { index: u64::MAX };
    let far = raft::Message { from: 2, to: 1, term: 2, body };
    assert_eq!(group.node(1).step(far), Err(raft::StepError::Malformed));
}

#[test]
fn changes_that_cannot_be_carried_out_are_foreseen() {
    let group = Group::led(1, |_| {});
    let remove = ConfChangeSingle { kind: ConfChangeKind::RemoveNode, node_id: 1 };
    let change = ConfChangeV2 { changes: vec![remove], ..ConfChangeV2::default() };
    assert!(group.nodes[0].preview_conf_change(&change).is_err());
    let add = ConfChangeSingle { kind: ConfChangeKind::AddLearnerNode, node_id: 2 };
    let change = ConfChangeV2 { changes: vec![add], ..ConfChangeV2::default() };
    assert_eq!(group.nodes[0].preview_conf_change(&change).map(|cs| cs.learners), Ok(vec![2]));
    assert!(group.nodes[0].membership().learners.is_empty(), "a look changes nothing");
}

#[test]
fn terms_are_known_across_the_log() {
    let mut group = Group::led(1, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    let (first, last) = (group.node(1).storage().first_index(), group.node(1).last_index());
    assert_eq!(group.node(1).term_of(first - 1), Ok(1));
    assert_eq!(group.node(1).term_of(last), Ok(group.node(1).term()));
    assert_eq!(group.node(1).term_of(last + 1), Err(raft::StorageError::Unavailable));
}
