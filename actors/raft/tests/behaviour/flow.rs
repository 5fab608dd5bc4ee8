//! Limits: what is in flight, what is not committed, how much is sent and applied at once. And where proposals go.

use bytes::Bytes;
use raft::{
    Body, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfigError, Message, ProgressState, ProposalDropped,
    Proposed,
};

use crate::group::{Group, payload};

fn appends_to(messages: &[Message], peer: u64) -> Vec<usize> {
    let to_peer = messages.iter().filter(|m| m.to == peer);
    to_peer.filter_map(|m| if let Body::Append(append) = &m.body { Some(append.entries.len()) } else { None }).collect()
}

#[test]
fn bytes_in_flight_are_bounded() {
    let mut group = Group::led(3, |config| (config.max_size_per_msg, config.max_inflight_bytes) = (100, 250));
    let payloads: Vec<Bytes> = (0..20).map(|_| Bytes::from(vec![b'x'; 80])).collect();
    group.node(1).propose(payloads).expect("a leader");
    group.settle();
    assert_eq!(group.payloads(3).len(), 20);
    // Nobody answers: 80 bytes at a time until the window of 250 is passed.
    for _ in 0..20 {
        group.node(1).propose(vec![Bytes::from(vec![b'y'; 80])]).expect("a leader");
    }
    let messages = group.node(1).ready().messages;
    assert_eq!(appends_to(&messages, 2), [1, 1, 1, 1]);
    let peer = group.node(1).progress().expect("a leader").get(2).expect("a member");
    assert!(peer.inflights.is_full() && peer.is_paused() && peer.state == ProgressState::Replicate);
}

#[test]
fn payload_bytes_that_wait_are_bounded() {
    let mut group = Group::led(3, |config| config.max_uncommitted_size = 100);
    group.deaf = vec![2, 3];
    group.node(1).propose(vec![Bytes::from(vec![b'x'; 500])]).expect("what stands alone may have any size");
    let refused = group.node(1).propose(payload("y"));
    assert_eq!(refused, Err(ProposalDropped::TooMuchUncommitted));
    group.deaf.clear();
    group.node(1).tick();
    group.settle();
    group.node(1).propose(payload("z")).expect("all is applied");
}

#[test]
fn what_is_applied_at_once_is_bounded() {
    let mut group = Group::led(1, |config| config.max_committed_size_per_ready = 100);
    let payloads: Vec<Bytes> = (0..50).map(|_| Bytes::from(vec![b'x'; 40])).collect();
    group.node(1).propose(payloads).expect("a leader");
    let append = group.node(1).ready().append.expect("entries");
    group.node(1).storage_mut().log.append(&append.entries);
    group.node(1).on_persisted(append.token);
    let apply = group.node(1).ready().apply.expect("committed entries");
    assert_eq!(apply.entries.len(), 2);
    assert!(group.node(1).ready().apply.is_none(), "until these are applied");
    group.node(1).on_applied(apply.token);
    assert!(group.node(1).has_ready());
    group.settle();
    assert_eq!(group.node(1).applied(), group.node(1).committed());
}

#[test]
fn proposals_know_their_place() {
    let mut group = Group::led(3, |_| {});
    let last = group.node(1).last_index();
    let term = group.node(1).term();
    let done = group.node(1).propose(["a", "b", "c"].map(Bytes::from).to_vec());
    assert_eq!(done, Ok(Proposed::Appended { term, first: last + 1, last: last + 3 }));
    assert_eq!(group.node(2).propose(payload("d")), Ok(Proposed::Forwarded { to: 1 }));
    group.settle();
    for id in 1..=3 {
        assert_eq!(group.payloads(id), ["a", "b", "c", "d"].map(Bytes::from), "member {id}");
    }
}

#[test]
fn followers_need_not_forward() {
    let mut group = Group::led(3, |config| config.disable_proposal_forwarding = true);
    assert_eq!(group.node(2).propose(payload("a")), Err(ProposalDropped::NotForwarding));
    group.node(3).forget_leader();
    assert_eq!(group.node(3).propose(payload("a")), Err(ProposalDropped::NoLeader));
}

#[test]
fn no_proposals_while_leadership_moves() {
    let mut group = Group::led(3, |_| {});
    group.deaf = vec![2];
    group.node(1).transfer_leader(2);
    assert_eq!(group.node(1).propose(payload("a")), Err(ProposalDropped::Transferring));
    group.settle();
    // Given up after an election timeout.
    (0..10).for_each(|_| group.node(1).tick());
    assert!(group.node(1).propose(payload("a")).is_ok());
    group.deaf.clear();
    group.settle();
    group.node(3).transfer_leader(2);
    group.settle();
    assert!(group.node(2).is_leader(), "a follower passes the wish on");
}

#[test]
fn windows_must_hold_a_message() {
    let config = raft::Config { max_inflight_bytes: 10, ..raft::Config::new(1) };
    let node = raft::Node::new(config, crate::group::storage(&[1]), raft::NoTrace);
    assert_eq!(node.err(), Some(ConfigError::InflightBytes));
}

#[test]
fn whom_a_change_removes_hears_of_it_while_it_is_probed() {
    let mut group = Group::new(3, |config| config.tell_probed_of_changes = true);
    // too slow to answer the new leader before the change is committed and applied
    group.mute = vec![3];
    group.node(1).campaign();
    group.settle();
    assert!(group.node(1).is_leader());
    let probed = group.node(1).progress().expect("a leader").get(3).expect("a member");
    assert!(probed.state == ProgressState::Probe && probed.is_paused());
    let leave = ConfChangeSingle { kind: ConfChangeKind::RemoveNode, node_id: 3 };
    let change = ConfChangeV2 { changes: vec![leave], ..Default::default() };
    group.node(1).propose_conf_change(change).expect("a leader");
    group.settle();
    for id in 1..=3 {
        assert_eq!(group.node(id).membership().voters, [1, 2], "member {id}");
    }
}
