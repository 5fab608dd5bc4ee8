//! Calls: exactly one outcome each.

use super::harness::{Member, lock, pair, run, until};
use crate::peer::codec::talk::NoAnswer;
use crate::peer::port::{CallError, Question, Responder, Transport};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Outcomes = Arc<Mutex<Vec<(u16, Result<Bytes, CallError>)>>>;

fn ask(from: &Member, to: u64, kind: u16, patience: Duration, outcomes: &Outcomes) {
    let outcomes = outcomes.clone();
    let question = Question { kind, body: Bytes::from(format!("question {kind}")), deadline: patience };
    from.transport.call(to, question, Box::new(move |outcome| lock(&outcomes).push((kind, outcome))));
}

#[test]
fn every_call_has_one_outcome() {
    run(async {
        let (one, two) = pair().await;
        let forgotten: Arc<Mutex<Vec<Responder>>> = Arc::default();
        let keep = forgotten.clone();
        *lock(&two.recorder.on_call) = Some(Box::new(move |from, call, respond| match call.kind {
            1 => respond.answer(Ok(Bytes::from([&call.body[..], &from.to_le_bytes()].concat()))),
            2 => respond.answer(Ok(Bytes::from(vec![5; 3 << 20]))),
            3 => respond.answer(Err(NoAnswer::Busy)),
            4 => drop(respond),
            5 => lock(&keep).push(respond),
            _ => respond.answer(Err(NoAnswer::NotCapable)),
        }));
        let outcomes: Outcomes = Arc::default();
        let long = Duration::from_secs(20);
        for kind in [1, 2, 3, 4, 99] {
            ask(&one, 2, kind, long, &outcomes);
        }
        ask(&one, 2, 5, Duration::from_millis(200), &outcomes);
        ask(&one, 7, 6, long, &outcomes);
        until("all outcomes", || lock(&outcomes).len() == 7).await;
        let find = |kind| lock(&outcomes).iter().find(|(of, _)| *of == kind).expect("told").1.clone();
        let echoed = [&b"question 1"[..], &1_u64.to_le_bytes()].concat();
        assert_eq!(find(1), Ok(Bytes::from(echoed)));
        assert_eq!(find(2).map(|body| body.len()), Ok(3 << 20));
        assert_eq!(find(3), Err(CallError::Refused(NoAnswer::Busy)));
        assert_eq!(find(4), Err(CallError::Refused(NoAnswer::Failed)));
        assert_eq!(find(5), Err(CallError::Unknown), "out of patience");
        assert_eq!(find(6), Err(CallError::Unreachable), "no such peer");
        assert_eq!(find(99), Err(CallError::Refused(NoAnswer::NotCapable)), "a kind of a newer build");
        // an answer that comes too late is dropped
        lock(&forgotten).drain(..).for_each(|respond| respond.answer(Ok(Bytes::new())));
        ask(&one, 2, 3, long, &outcomes);
        until("the connection still serves", || lock(&outcomes).len() == 8).await;
    });
}

#[test]
fn calls_that_left_are_unknown_when_the_connection_breaks_and_later_ones_unreachable() {
    run(async {
        let (one, two) = pair().await;
        let open: Arc<Mutex<Vec<Responder>>> = Arc::default();
        let keep = open.clone();
        *lock(&two.recorder.on_call) = Some(Box::new(move |_, _, respond| lock(&keep).push(respond)));
        let outcomes: Outcomes = Arc::default();
        ask(&one, 2, 1, Duration::from_secs(60), &outcomes);
        until("it arrived", || lock(&open).len() == 1).await;
        two.transport.kill();
        until("told", || lock(&outcomes).len() == 1).await;
        until("gone", || one.transport.active_since(2).is_none()).await;
        ask(&one, 2, 2, Duration::from_secs(60), &outcomes);
        let told = lock(&outcomes).clone();
        assert_eq!(told, [(1, Err(CallError::Unknown)), (2, Err(CallError::Unreachable))]);
    });
}
