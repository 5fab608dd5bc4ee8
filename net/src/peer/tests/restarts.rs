//! Runs that end without a word, newer and older runs, and frames that are never sent twice.

use super::harness::{Member, config, introduce, lock, pair, pair_of, run, until};
use crate::peer::port::{Peers, Transport};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// An election timeout that nobody wants to wait for: what is faster did not need it.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_killed_member_is_reached_again_as_soon_as_its_next_run_shows_itself() {
    run(async {
        let mut patient = config(1);
        patient.election = LONG;
        let mut restarted = config(2);
        restarted.election = LONG;
        let (one, mut two) = pair_of(patient, restarted).await;
        for _ in 0..3 {
            two.transport.kill();
            let before = one.transport.active_since(2).expect("nobody has told it yet");
            two.restart();
            let start = Instant::now();
            introduce_again(&one, &two);
            until("the new run", || one.transport.active_since(2).is_some_and(|since| since > before)).await;
            two.reaches(&one).await;
            assert!(start.elapsed() < LONG / 3, "by the hello of the new run, not by a timeout");
            let came = two.recorder.heartbeats().len();
            one.heartbeat(&two, 1);
            until("a heartbeat", || two.recorder.heartbeats().len() > came).await;
        }
    });
}

/// The restarted member knows its peers from its store; the other one has never forgotten it.
fn introduce_again(one: &Member, two: &Member) {
    two.transport.set_peers(Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() });
}

#[test]
fn a_restarted_member_resets_what_its_last_run_had_even_before_it_dials() {
    run(async {
        let mut patient = config(1);
        patient.election = LONG;
        let mut restarted = config(2);
        restarted.election = LONG;
        let (one, mut two) = pair_of(patient, restarted).await;
        two.transport.kill();
        let before = one.transport.active_since(2).expect("nobody has told it yet");
        // it is told no peers: it says nothing on its own account
        two.restart();
        until("the reset is heard", || one.transport.active_since(2).is_some_and(|since| since > before)).await;
    });
}

#[test]
fn a_member_that_is_gone_is_noticed_and_told() {
    run(async {
        let (one, two) = pair().await;
        two.transport.kill();
        until("noticed", || one.transport.active_since(2).is_none()).await;
        until("told", || lock(&one.recorder.unreachable).iter().any(|(peer, _)| *peer == 2)).await;
    });
}

#[test]
fn of_two_runs_of_a_member_the_newer_one_counts() {
    run(async {
        let (one, two) = pair().await;
        let mut newer = config(2);
        newer.boot_epoch = 9;
        let newer = Member::start(newer);
        introduce_again(&one, &newer);
        newer.reaches(&one).await;
        newer.heartbeat(&one, 99);
        until("its word", || one.recorder.heartbeats() == [99]).await;
        // the older run dials again and again, and is refused
        until("the older run is cut off", || two.transport.active_since(1).is_none()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(newer.transport.active_since(1).is_some(), "the newer run stays");
        two.heartbeat(&one, 50);
        newer.heartbeat(&one, 100);
        until("its next word", || one.recorder.heartbeats().contains(&100)).await;
        assert!(!one.recorder.heartbeats().contains(&50), "the older run has no say");
    });
}

#[test]
fn nothing_comes_twice_and_nothing_that_never_left_comes_over_random_restarts() {
    run(async {
        let mut seed = 0x5eed_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let (one, mut two) = pair().await;
        let mut number = 0;
        for round in 0..12 {
            let until_break = Instant::now() + Duration::from_millis(20 + random() % 80);
            while Instant::now() < until_break {
                for _ in 0..50 {
                    number += 1;
                    one.propose(&two, number, (random() % 2_000) as usize);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if round % 3 == 2 {
                // a new address breaks the connection from this side
                introduce(&[&one, &two]);
                let moved = Peers { members: Vec::new(), removed: Vec::new() };
                one.transport.set_peers(moved);
                introduce(&[&one, &two]);
            } else {
                two.transport.kill();
                two.restart();
                introduce_again(&one, &two);
            }
            one.reaches(&two).await;
        }
        number += 1;
        until("connected at the end", || {
            one.propose(&two, number, 0);
            number += 1;
            two.recorder.proposals().iter().any(|came| *came + 20 > number)
        })
        .await;
        let came = two.recorder.proposals();
        let once: HashSet<u64> = came.iter().copied().collect();
        assert_eq!(once.len(), came.len(), "a proposal came twice");
        assert!(came.is_sorted(), "the order of one lane");
        let never_left = one.recorder.never_left();
        assert!(!never_left.is_empty() && came.len() > 100, "the breaks were real");
        assert!(!never_left.iter().any(|number| once.contains(number)), "what never left came");
    });
}
