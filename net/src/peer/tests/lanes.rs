//! Order, independence of lanes, bounds, and drops that are told.

use super::harness::{Member, config, introduce, lock, pair, pair_of, run, until};
use crate::http::page::Page;
use crate::peer::config::PeerLimits;
use crate::peer::port::{PeerAddress, Peers, Transport, Vitals};
use raft::Body;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn each_lane_keeps_its_order_and_each_message_comes_once() {
    run(async {
        let (one, two) = pair().await;
        for number in 1..=2_000 {
            one.heartbeat(&two, number);
            one.propose(&two, number, (number % 300) as usize);
        }
        until("all messages", || two.recorder.heartbeats().len() >= 2_000 && two.recorder.proposals().len() >= 2_000)
            .await;
        let all: Vec<u64> = (1..=2_000).collect();
        assert_eq!(two.recorder.heartbeats(), all);
        assert_eq!(two.recorder.proposals(), all);
        assert!(one.recorder.never_left().is_empty());
    });
}

#[test]
fn control_never_waits_behind_a_full_append_lane() {
    run(async {
        let limits = PeerLimits { append_queue: 1 << 20, receive: 512 << 10, ..PeerLimits::default() };
        let mut receiver = config(2);
        receiver.limits = limits;
        let mut sender = config(1);
        sender.limits = limits;
        let (one, two) = pair_of(sender, receiver).await;
        // the core of the receiver takes nothing more
        *lock(&two.recorder.hold) = true;
        let counters = one.counters(&two);
        let mut index = 1;
        until("the lane of appends fills", || {
            one.append(&two, index, 100 << 10);
            index += 1;
            counters.dropped_append.load(Relaxed) > 10
        })
        .await;
        let came = lock(&two.recorder.data).len();
        assert!(came < 12, "{came} appends of 100 KiB are in flight, 512 KiB are allowed");
        for commit in 1..=100 {
            one.heartbeat(&two, commit);
        }
        until("heartbeats pass", || two.recorder.heartbeats().len() == 100).await;
        let told = lock(&one.recorder.unreachable).clone();
        assert!(told.iter().any(|(peer, left)| *peer == 2 && matches!(left[0].body, Body::Append(_))), "raft is told");
        assert!(one.transport.active_since(2).is_some(), "a full lane is no lost connection");
        *lock(&two.recorder.hold) = false;
        lock(&two.recorder.held).clear();
        let before = lock(&two.recorder.data).len();
        until("appends pass again", || lock(&two.recorder.data).len() > before).await;
    });
}

#[test]
fn what_cannot_be_sent_comes_back_at_once_and_is_not_sent_later() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        one.propose(&two, 1, 0);
        assert_eq!(one.recorder.never_left(), [1], "nobody knows that peer");
        let unheard = PeerAddress { member: 2, urls: Vec::new() };
        one.transport.set_peers(Peers { members: vec![unheard], removed: Vec::new() });
        one.propose(&two, 2, 0);
        assert_eq!(one.recorder.never_left(), [1, 2], "there is no connection");
        introduce(&[&one, &two]);
        one.reaches(&two).await;
        one.propose(&two, 3, 0);
        until("the third", || !two.recorder.proposals().is_empty()).await;
        assert_eq!(two.recorder.proposals(), [3]);
        assert_eq!(one.recorder.never_left(), [1, 2]);
    });
}

#[test]
fn a_message_that_no_frame_can_carry_is_told_and_the_lane_goes_on() {
    run(async {
        let (one, two) = pair().await;
        one.propose(&two, 1, 65 << 20);
        until("told", || one.recorder.never_left() == [1]).await;
        let since = one.transport.active_since(2);
        one.propose(&two, 2, 0);
        until("the second", || two.recorder.proposals() == [2]).await;
        assert_eq!(one.recorder.never_left(), [1]);
        assert_eq!(one.transport.active_since(2), since, "on the same connection");
    });
}

#[test]
fn vitals_come_by_themselves_and_measure_the_way() {
    run(async {
        let (one, two) = pair().await;
        let told =
            Vitals { applied: 77, unsynced_micros: 5, version: [0, 1, 0], hashes: vec![(3, 4)], ..Vitals::default() };
        one.transport.set_vitals(told);
        let is_told = |vitals: &Vitals| {
            vitals.applied == 77
                && vitals.unsynced_micros == 5
                && vitals.version == [0, 1, 0]
                && vitals.hashes == [(3, 4)]
        };
        until("vitals", || lock(&two.recorder.vitals).iter().any(|(from, vitals)| *from == 1 && is_told(vitals))).await;
        until("round trips", || one.counters(&two).round_trip.count() > 3).await;
        let mut page = Page::new();
        one.transport.metrics().render(1, &mut page);
        let page = page.into_text();
        for line in [
            "etcd_network_active_peers{Local=\"1\",Remote=\"2\"} 1\n",
            "etcd_network_peer_sent_failures_total{To=\"2\"} 0\n",
            "etcd_network_peer_round_trip_time_seconds_bucket{To=\"2\",le=\"0.0001\"} ",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
        assert!(one.counters(&two).sent_bytes.load(Relaxed) > 0 && one.counters(&two).received_bytes.load(Relaxed) > 0);
    });
}
