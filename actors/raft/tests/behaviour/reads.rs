//! Linearizable reads.

use raft::{Config, ReadOnly, Role};

use crate::group::{Group, payload};

#[test]
fn leader_and_follower_get_the_commit_index() {
    let mut group = Group::led(3, |_| {});
    group.node(1).propose(payload("a")).expect("a leader");
    group.settle();
    let committed = group.node(1).committed();
    group.node(1).read_index(7);
    group.node(3).read_index(8);
    group.settle();
    assert_eq!(group.reads[0].iter().map(|r| (r.tag, r.index)).collect::<Vec<_>>(), [(7, committed)]);
    assert_eq!(group.reads[2].iter().map(|r| (r.tag, r.index)).collect::<Vec<_>>(), [(8, committed)]);
}

#[test]
fn reads_share_a_round_and_keep_their_order() {
    let mut group = Group::led(3, |_| {});
    (1..=100).for_each(|tag| group.node(1).read_index(tag));
    group.settle();
    assert_eq!(group.reads[0].iter().map(|r| r.tag).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_leader_without_quorum_grants_nothing() {
    let mut group = Group::led(3, |_| {});
    group.deaf = vec![2, 3];
    group.node(1).read_index(7);
    group.settle();
    assert!(group.reads[0].is_empty());
    // The next heartbeat confirms it.
    group.deaf.clear();
    group.node(1).tick();
    group.settle();
    assert_eq!(group.reads[0].len(), 1);
}

#[test]
fn reads_wait_for_the_first_commit_of_the_term() {
    for size in [1, 3] {
        let mut group = Group::new(size, |_| {});
        group.node(1).campaign();
        // Elect without letting anything commit: the vote is durable, the first entry is not.
        for _ in 0..2 {
            let append = group.node(1).ready().append.expect("term and vote");
            let term = group.node(1).term();
            group.node(1).on_persisted(append.token);
            for from in 2..=size {
                let body = raft::Body::VoteResp { rejected: false };
                let _ = group.node(1).step(raft::Message { from, to: 1, term, body });
            }
            if group.node(1).role() == Role::Leader {
                break;
            }
        }
        assert!(group.node(1).is_leader());
        group.node(1).read_index(7);
        assert!(group.node(1).ready().read_states.is_empty(), "size {size}");
    }
}

#[test]
fn a_lease_saves_the_round() {
    let lease = |config: &mut Config| (config.check_quorum, config.read_only) = (true, ReadOnly::LeaseBased);
    let mut group = Group::led(3, lease);
    group.deaf = vec![2, 3];
    group.node(1).read_index(7);
    group.settle();
    assert_eq!(group.reads[0].len(), 1);
    // Without contact the lease ends with the leadership.
    (0..20).for_each(|_| group.node(1).tick());
    group.node(1).read_index(8);
    group.settle();
    assert_eq!(group.reads[0].len(), 1);
}

#[test]
fn a_removed_leader_alone_with_its_view_grants_nothing() {
    let mut group = Group::led(2, |_| {});
    let leave = raft::ConfChangeSingle { kind: raft::ConfChangeKind::RemoveNode, node_id: 1 };
    let change = raft::ConfChangeV2 { changes: vec![leave], ..Default::default() };
    group.node(1).propose_conf_change(change).expect("a leader");
    group.settle();
    assert!(group.node(1).is_leader(), "it leads on, as it was not told to step down");
    group.deaf = vec![2];
    group.node(1).read_index(7);
    group.settle();
    assert!(group.reads[0].is_empty());
}
