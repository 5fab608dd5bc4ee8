//! Who may connect: cluster, member, removal; peers that come, go and move.

use super::harness::{Member, config, introduce, lock, pair, run, until};
use crate::peer::port::{PeerAddress, Peers, Transport};
use std::time::Duration;

/// Long enough for many dials.
const A_WHILE: Duration = Duration::from_millis(700);

#[test]
fn members_of_other_clusters_are_refused() {
    run(async {
        let mut foreign = config(2);
        foreign.cluster = 0xbad;
        let one = Member::start(config(1));
        let two = Member::start(foreign);
        introduce(&[&one, &two]);
        tokio::time::sleep(A_WHILE).await;
        assert!(one.transport.active_since(2).is_none() && two.transport.active_since(1).is_none());
        assert!(lock(&one.recorder.vitals).is_empty() && lock(&two.recorder.vitals).is_empty());
    });
}

#[test]
fn another_member_at_the_address_is_refused() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        let mistaken = PeerAddress { member: 3, urls: vec![two.url()] };
        one.transport.set_peers(Peers { members: vec![mistaken], removed: Vec::new() });
        tokio::time::sleep(A_WHILE).await;
        assert!(one.transport.active_since(3).is_none());
        assert!(lock(&two.recorder.vitals).is_empty());
    });
}

#[test]
fn a_removed_member_is_cut_off_and_told() {
    run(async {
        let (one, two) = pair().await;
        one.transport.set_peers(Peers { members: vec![one.peer()], removed: vec![2] });
        until("told", || !lock(&two.recorder.told_removed).is_empty()).await;
        assert_eq!(lock(&two.recorder.told_removed)[0], (1, false), "over http anybody could say so");
        until("cut off", || two.transport.active_since(1).is_none() && one.transport.active_since(2).is_none()).await;
        let came = one.recorder.proposals().len();
        two.propose(&one, 1, 0);
        one.propose(&two, 2, 0);
        assert_eq!(two.recorder.never_left(), [1]);
        assert_eq!(one.recorder.never_left(), [2]);
        assert_eq!(one.recorder.proposals().len(), came);
    });
}

#[test]
fn peers_are_added_and_move_at_run_time() {
    run(async {
        let (one, two) = pair().await;
        let three = Member::start(config(3));
        introduce(&[&one, &two, &three]);
        three.reaches(&one).await;
        one.reaches(&three).await;
        let since = one.transport.active_since(2).expect("undisturbed by the newcomer");
        // the second moves to another port, with the same id
        let mut moved = config(2);
        moved.boot_epoch = 2;
        let moved = Member::start(moved);
        drop(two);
        introduce(&[&one, &moved, &three]);
        until("moved", || one.transport.active_since(2).is_some_and(|at| at > since)).await;
        one.heartbeat(&moved, 5);
        until("its heartbeat", || moved.recorder.heartbeats() == [5]).await;
    });
}

#[test]
fn urls_are_tried_in_turn_and_names_are_resolved() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        let urls = vec![
            "http://no-such-host.invalid:1".to_owned(),
            "not a url".to_owned(),
            format!("http://localhost:{}", two.address().port()),
        ];
        let peer = PeerAddress { member: 2, urls };
        one.transport.set_peers(Peers { members: vec![peer], removed: Vec::new() });
        one.reaches(&two).await;
    });
}
