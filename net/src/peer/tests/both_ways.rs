//! One connection for both directions: which one, what it carries, what takes its place, and who is never sent anything on one.

use super::harness::{Member, config, introduce, lock, pair, run, until};
use super::hostile::greeted_as;
use super::paths::Firewall;
use crate::peer::codec::hello::DialNumbers;
use crate::peer::port::{PeerAddress, Peers, Question, Transport};
use bytes::Bytes;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Waits until so many connections are there that `one` and `two` have accepted.
async fn accepted(one: &Member, two: &Member, wanted: (usize, usize)) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let there = (one.transport.accepted().await, two.transport.accepted().await);
        if there == wanted || (wanted == ANY_ONE && there.0 + there.1 == 1) {
            return;
        }
        assert!(Instant::now() < patience, "{there:?} connections, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One connection, whoever accepted it.
const ANY_ONE: (usize, usize) = (usize::MAX, usize::MAX);

/// A port of the loopback where nobody listens, as a URL.
fn nowhere() -> String {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    format!("http://{}", socket.local_addr().expect("bound"))
}

/// Tells `one` that `two` listens where nobody does, and `two` where `one` really listens.
fn one_sided(one: &Member, two: &Member) {
    let lost = PeerAddress { member: two.id(), urls: vec![nowhere()] };
    one.transport.set_peers(Peers { members: vec![one.peer(), lost], removed: Vec::new() });
    two.transport.set_peers(Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() });
}

async fn talks(from: &Member, to: &Member, number: u64) {
    let came = || to.recorder.proposals().contains(&number) && to.recorder.heartbeats().contains(&number);
    let mut said = None::<Instant>;
    until("a proposal and a heartbeat", || {
        // a machine with much to do may lose a connection meanwhile
        if said.is_none_or(|at| at.elapsed() > Duration::from_secs(2)) {
            said = Some(Instant::now());
            from.propose(to, number, 50_000);
            from.heartbeat(to, number);
        }
        came()
    })
    .await;
}

#[test]
fn a_member_that_cannot_dial_sends_on_the_connection_of_the_one_that_can() {
    run(async {
        // whoever has the lower id
        for (unable, able) in [(1, 2), (2, 1)] {
            let one = Member::start(config(unable));
            let two = Member::start(config(able));
            one_sided(&one, &two);
            one.reaches(&two).await;
            two.reaches(&one).await;
            talks(&one, &two, 5).await;
            talks(&two, &one, 6).await;
            *lock(&two.recorder.on_call) = Some(Box::new(|_, call, respond| respond.answer(Ok(call.body))));
            let answer: Arc<Mutex<Option<Bytes>>> = Arc::default();
            let take = answer.clone();
            let body = Bytes::from_static(b"both ways?");
            let question = Question { kind: 1, body, deadline: Duration::from_secs(20) };
            one.transport.call(able, question, Box::new(move |outcome| *lock(&take) = outcome.ok()));
            until("an answer", || lock(&answer).as_deref() == Some(b"both ways?")).await;
            until("vitals come", || lock(&two.recorder.vitals).iter().any(|(from, _)| *from == unable)).await;
            until("and are echoed", || one.counters(&two).round_trip.count() > 3).await;
            let since = (one.transport.active_since(able), two.transport.active_since(unable));
            tokio::time::sleep(2 * one.config.election).await;
            assert_eq!(since, (one.transport.active_since(able), two.transport.active_since(unable)), "it lasts");
        }
    });
}

#[test]
fn a_pair_ends_with_one_connection_whoever_dials_first() {
    run(async {
        for round in 0..10 {
            let (one, two) = pair().await;
            let moment = || (one.transport.active_since(2), two.transport.active_since(1));
            talks(&one, &two, 5).await;
            talks(&two, &one, 6).await;
            accepted(&one, &two, ANY_ONE).await;
            let since = moment();
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(moment(), since, "round {round}: nothing is dialled any more");
            accepted(&one, &two, ANY_ONE).await;
        }
    });
}

#[test]
fn when_the_connection_dies_the_other_member_dials() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        let firewall = Firewall::before(&two).await;
        firewall.passes_udp.set(true);
        let behind = PeerAddress { member: 2, urls: vec![firewall.url()] };
        one.transport.set_peers(Peers { members: vec![one.peer(), behind], removed: Vec::new() });
        one.reaches(&two).await;
        // it knows nobody to send to yet, and so nobody to dial
        two.transport.set_peers(Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() });
        two.reaches(&one).await;
        talks(&one, &two, 5).await;
        talks(&two, &one, 6).await;
        accepted(&one, &two, (0, 1)).await;
        let before = one.transport.active_since(2);
        firewall.passes_udp.set(false);
        until("both reach each other anew", || {
            let since = one.transport.active_since(2);
            since.is_some() && since != before && two.transport.active_since(1).is_some()
        })
        .await;
        talks(&one, &two, 7).await;
        talks(&two, &one, 8).await;
    });
}

#[test]
fn a_removed_member_hears_what_was_still_to_be_said_on_the_connection_that_it_dialled() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        one_sided(&one, &two);
        one.reaches(&two).await;
        two.reaches(&one).await;
        for number in 1..=10 {
            one.append(&two, number, 20 << 10);
        }
        one.transport.set_peers(Peers { members: vec![one.peer()], removed: vec![2] });
        until("all of it", || lock(&two.recorder.data).len() == 10).await;
        until("told", || !lock(&two.recorder.told_removed).is_empty()).await;
        until("cut off", || two.transport.active_since(1).is_none()).await;
    });
}

#[test]
fn a_member_of_an_older_build_only_sends_and_is_dialled() {
    run(async {
        let two = Member::start(config(2));
        let numbers = None;
        let (connection, _out, _back) = greeted_as(&two, 7, numbers).await;
        let seven = PeerAddress { member: 7, urls: vec![nowhere()] };
        two.transport.set_peers(Peers { members: vec![two.peer(), seven], removed: Vec::new() });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(two.transport.active_since(7).is_none(), "it would not read what is sent");
        drop(connection);
        let (connection, _out, _back) = greeted_as(&two, 7, Some(DialNumbers { own: 1, seen: 0 })).await;
        until("used", || two.transport.active_since(7).is_some()).await;
        assert!(!two.transport.metrics().of(7).over_tcp.load(Relaxed));
        let control = tokio::time::timeout(Duration::from_secs(20), connection.accept_bi()).await;
        assert!(matches!(control, Ok(Ok(_))), "{control:?}");
    });
}

#[test]
fn both_members_restarting_at_once_again_and_again_find_each_other() {
    run(async {
        let (mut one, mut two) = pair().await;
        for number in 1..=15 {
            one.transport.kill();
            two.transport.kill();
            one.restart();
            two.restart();
            introduce(&[&one, &two]);
            one.reaches(&two).await;
            two.reaches(&one).await;
            talks(&one, &two, number).await;
            talks(&two, &one, number).await;
        }
    });
}

#[test]
fn a_member_that_sends_on_the_others_connection_tries_its_own_way_once() {
    run(async {
        let one = Member::start(config(1));
        let two = Member::start(config(2));
        two.transport.set_peers(Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() });
        two.reaches(&one).await;
        let silent = tokio::net::UdpSocket::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("bound"));
        let lost = PeerAddress { member: 2, urls: vec![url] };
        one.transport.set_peers(Peers { members: vec![one.peer(), lost], removed: Vec::new() });
        one.reaches(&two).await;
        let mut bytes = [0; 2_000];
        let tried = tokio::time::timeout(Duration::from_secs(20), silent.recv_from(&mut bytes)).await;
        assert!(matches!(tried, Ok(Ok(_))), "{tried:?}");
        talks(&one, &two, 5).await;
    });
}
