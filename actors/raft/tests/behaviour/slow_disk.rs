//! Entries and snapshots that cannot be read now, disks that are too slow to lead.

use bytes::Bytes;
use raft::{Body, ProgressState, Role};

use crate::group::{Group, payload};

#[test]
fn a_peer_whose_entries_are_cold_is_skipped() {
    let mut group = Group::led(3, |_| {});
    group.deaf = vec![3];
    (0..10).for_each(|_| assert!(group.node(1).propose(payload("a")).is_ok()));
    group.settle();
    group.deaf.clear();
    let last = group.node(1).last_index();
    group.node(1).report_unreachable(3);
    group.node(1).storage_mut().cold_below = last;
    group.node(1).tick();
    group.settle();
    assert_eq!(group.payloads(3).len(), 0);
    assert_eq!(group.payloads(2).len(), 10, "others go on");
    assert!(group.node(1).propose(payload("b")).is_ok());
    group.settle();
    assert_eq!(group.payloads(2).len(), 11);
    group.node(1).storage_mut().cold_below = 0;
    group.node(1).on_entries_loaded();
    group.settle();
    assert_eq!(group.payloads(3).len(), 11, "without waiting for a heartbeat");
}

#[test]
fn applying_waits_for_cold_entries() {
    let mut group = Group::led(1, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    let append = group.node(1).ready().append.expect("entries");
    group.node(1).storage_mut().log.append(&append.entries);
    group.node(1).on_persisted(append.token);
    group.node(1).storage_mut().cold_below = u64::MAX;
    assert!(group.node(1).ready().apply.is_none());
    let idle = (0..3).all(|_| {
        let ready = group.node(1).ready();
        ready.apply.is_none() && !group.node(1).has_ready()
    });
    assert!(idle, "waiting is not work");
    group.node(1).storage_mut().cold_below = 0;
    group.node(1).on_entries_loaded();
    assert!(group.node(1).has_ready());
    group.settle();
    assert_eq!(group.payloads(1), [Bytes::from("a")]);
}

#[test]
fn a_snapshot_is_asked_for_until_there_is_one() {
    let mut group = Group::led(3, |_| {});
    group.deaf = vec![3];
    (0..10).for_each(|_| assert!(group.node(1).propose(payload("a")).is_ok()));
    group.settle();
    group.deaf.clear();
    let applied = group.node(1).applied();
    let storage = group.node(1).storage_mut();
    storage.log.compact(applied);
    storage.snapshot_ready = false;
    group.node(1).report_unreachable(3);
    group.node(1).tick();
    group.settle();
    let state = |group: &mut Group| group.node(1).progress().and_then(|p| p.get(3)).map(|p| p.state);
    assert_eq!(state(&mut group), Some(ProgressState::Probe));
    // The snapshot of the memory log is at index 1: enough to see it go out.
    let storage = group.node(1).storage_mut();
    storage.snapshot_ready = true;
    let meta = raft::SnapshotMeta { index: applied, term: 2, conf_state: group.node(1).membership().clone() };
    group.node(1).storage_mut().log.set_snapshot(raft::Snapshot { meta, data: Bytes::from_static(b"state") });
    group.node(1).tick();
    group.settle();
    assert_eq!(state(&mut group), Some(ProgressState::Replicate));
    assert_eq!(group.node(3).committed(), group.node(1).committed());
}

#[test]
fn a_member_with_a_stalled_disk_does_not_lead() {
    let mut group = Group::led(3, |_| {});
    group.node(2).set_electable(false);
    group.node(1).transfer_leader(2);
    group.settle();
    assert_eq!((group.node(1).role(), group.node(2).role()), (Role::Leader, Role::Follower));
    (0..100).for_each(|_| group.node(2).tick());
    assert_eq!(group.node(2).role(), Role::Follower);
    group.node(2).set_electable(true);
    (0..20).for_each(|_| group.node(2).tick());
    assert_eq!(group.node(2).role(), Role::Candidate);
}

#[test]
fn nothing_is_promised_before_it_is_durable() {
    let mut group = Group::led(3, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    let messages = group.node(1).ready().messages;
    let to_2 = messages.into_iter().find(|m| m.to == 2).expect("an append to 2");
    group.node(2).step(to_2).expect("taken");
    let ready = group.node(2).ready();
    assert!(ready.messages.is_empty(), "the answer is not among what goes out at once");
    let append = ready.append.expect("entries");
    assert!(append.must_sync);
    assert!(matches!(append.responses[..], [raft::Message { body: Body::AppendAccepted { .. }, .. }]));
}

#[test]
fn a_snapshot_waits_for_what_is_being_applied() {
    let mut group = Group::led(3, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    group.node(1).propose(payload("b")).expect("a leader");
    // Member 3 learns of "b" and its commit, and is still applying it when a snapshot comes.
    let ready = group.node(1).ready();
    let append_of_1 = ready.append.expect("entries");
    group.node(1).storage_mut().log.append(&append_of_1.entries);
    group.node(1).on_persisted(append_of_1.token);
    for message in ready.messages.into_iter().filter(|m| m.to == 3) {
        group.node(3).step(message).expect("taken");
    }
    let append = group.node(3).ready().append.expect("entries");
    group.node(3).storage_mut().log.append(&append.entries);
    group.node(3).on_persisted(append.token);
    append.responses.into_iter().for_each(|m| group.node(1).step(m).expect("taken"));
    for message in group.node(1).ready().messages.into_iter().filter(|m| m.to == 3) {
        group.node(3).step(message).expect("taken");
    }
    let apply = group.node(3).ready().apply.expect("b is committed");
    let (term, committed) = (group.node(3).term(), group.node(3).committed());
    let meta = raft::SnapshotMeta { index: committed + 5, term, conf_state: group.node(3).membership().clone() };
    let body = Body::Snapshot(Box::new(raft::Snapshot { meta, data: Bytes::new() }));
    group.node(3).step(raft::Message { from: 1, to: 3, term, body }).expect("taken");
    assert_eq!(group.node(3).committed(), committed, "not yet");
    group.node(3).on_applied(apply.token);
    assert_eq!(group.node(3).committed(), committed + 5);
}

#[test]
fn messages_and_reads_leave_without_an_append_or_an_apply() {
    let mut group = Group::led(3, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.node(1).read_index(7);
    group.node(1).tick();
    let beats = group.node(1).take_messages();
    assert!(beats.iter().any(|m| m.to == 2 && matches!(m.body, Body::Heartbeat { .. })));
    for message in beats.into_iter().filter(|m| m.to == 2) {
        group.node(2).step(message).expect("taken");
    }
    let answers = group.node(2).take_messages();
    assert!(answers.iter().all(|m| matches!(m.body, Body::HeartbeatAck { .. })), "only what promises nothing");
    for message in answers {
        group.node(1).step(message).expect("taken");
    }
    assert_eq!(group.node(1).take_reads().iter().map(|read| read.tag).collect::<Vec<_>>(), [7]);
    let append = group.node(1).take_append().expect("the entry is still to be written");
    assert_eq!(append.entries.len(), 1);
    assert!(group.node(1).take_apply().is_none());
}
