//! Histories that must pass, and histories that must not: the judge itself is judged.

use super::linear::{Answer, Op, Record, State, Verdict, judge};
use crate::compare::chance::Chance;
use std::time::{Duration, Instant};

const MOST: usize = 1_000_000;

/// Operations as (called, answered, what, answer), times in milliseconds; zero is no answer.
fn history(of: &[(u64, u64, Op, Answer)]) -> Vec<Record> {
    let zero = Instant::now();
    let at = |millis: u64| zero + Duration::from_millis(millis);
    let record = |&(called, answered, op, answer): &(u64, u64, Op, Answer)| Record {
        called: at(called),
        answered: (answered != 0).then(|| (at(answered), answer)),
        op,
    };
    of.iter().map(record).collect()
}

fn verdict(of: &[(u64, u64, Op, Answer)]) -> Verdict {
    judge(&history(of), MOST)
}

#[test]
fn histories_with_an_order_pass() {
    use Answer::{All, Done, Swapped, Value, Was};
    assert_eq!(verdict(&[]), Verdict::Linearizable);
    // a read that overlaps a write may see either
    for seen in [None, Some(1)] {
        let both = [(1, 9, Op::Put(0, 1), Done), (2, 8, Op::Get(0), Value(seen))];
        assert_eq!(verdict(&both), Verdict::Linearizable, "{seen:?}");
    }
    // an unknown write may come late, or never
    let late = [(1, 0, Op::Put(0, 1), Done), (2, 3, Op::Get(0), Value(None)), (5, 6, Op::Get(0), Value(Some(1)))];
    assert_eq!(verdict(&late), Verdict::Linearizable);
    assert_eq!(verdict(&late[..2]), Verdict::Linearizable);
    let swaps = [
        (1, 2, Op::Swap(0, None, 5), Swapped(Ok(()))),
        (3, 4, Op::Swap(0, None, 6), Swapped(Err(Some(5)))),
        (5, 6, Op::PutAll(7), Done),
        (7, 8, Op::GetAll, All([Some(7); 3])),
        (9, 10, Op::Delete(1), Was(true)),
        (11, 12, Op::Delete(1), Was(false)),
    ];
    assert_eq!(verdict(&swaps), Verdict::Linearizable);
}

#[test]
fn histories_without_an_order_do_not() {
    use Answer::{All, Done, Swapped, Value};
    let stale = [(1, 2, Op::Put(0, 1), Done), (3, 4, Op::Get(0), Value(None))];
    let lost = [(1, 2, Op::Put(0, 1), Done), (3, 4, Op::Put(0, 2), Done), (5, 6, Op::Get(0), Value(Some(1)))];
    let back = [(1, 20, Op::Put(0, 1), Done), (2, 3, Op::Get(0), Value(Some(1))), (4, 5, Op::Get(0), Value(None))];
    let torn = [(1, 9, Op::PutAll(1), Done), (2, 8, Op::GetAll, All([Some(1), None, Some(1)]))];
    let twice = [(1, 9, Op::Swap(0, None, 1), Swapped(Ok(()))), (1, 9, Op::Swap(0, None, 2), Swapped(Ok(())))];
    // an unknown write that was seen cannot be undone
    let undone = [(1, 0, Op::Put(0, 1), Done), (2, 3, Op::Get(0), Value(Some(1))), (4, 5, Op::Get(0), Value(None))];
    let never_written = [(1, 2, Op::Get(0), Value(Some(9)))];
    // applied twice: the second time over a value that was read
    let again = [
        (1, 2, Op::Put(0, 1), Done),
        (3, 4, Op::Put(0, 2), Done),
        (5, 6, Op::Get(0), Value(Some(2))),
        (7, 8, Op::Get(0), Value(Some(1))),
    ];
    let all: [&[_]; 8] = [&stale, &lost, &back, &torn, &twice, &undone, &never_written, &again];
    for (at, bad) in all.into_iter().enumerate() {
        assert_eq!(verdict(bad), Verdict::Violated, "history {at}");
    }
}

/// A random history of a correct object with so many clients, some of whose answers are lost.
fn random(seed: u64, clients: usize, ops: usize) -> Vec<(u64, u64, Op, Answer)> {
    let mut chance = Chance::new(seed);
    let mut state = State::default();
    let mut out = Vec::new();
    let mut free = vec![0_u64; clients];
    for n in 0..ops {
        let client = (0..clients).min_by_key(|client| free[*client]).expect("a client");
        let at = chance.below(3);
        let op = match chance.below(6) {
            0 => Op::Put(at, n as u32),
            1 => Op::Delete(at),
            2 => Op::PutAll(n as u32),
            3 => Op::Swap(at, state[at], n as u32),
            4 => Op::GetAll,
            _ => Op::Get(at),
        };
        // effects follow each other in the order of n; calls begin before, answers come behind
        let moment = 1_000 + n as u64 * 10;
        let called = free[client].max(moment.saturating_sub(chance.below(60) as u64));
        let called = called.min(moment);
        let lost = chance.percent(3);
        let happens = !lost || chance.percent(50);
        let answer = if happens {
            let (after, answer) = apply(state, op);
            state = after;
            answer
        } else {
            Answer::Done
        };
        let answered = moment + 1 + chance.below(60) as u64;
        free[client] = answered + 1;
        out.push((called, if lost { 0 } else { answered }, op, answer));
    }
    out
}

/// Written a second time on purpose: the judge's own step must not judge itself.
fn apply(mut state: State, op: Op) -> (State, Answer) {
    let answer = match op {
        Op::Put(at, value) => {
            state[at] = Some(value);
            Answer::Done
        }
        Op::PutAll(value) => {
            state.fill(Some(value));
            Answer::Done
        }
        Op::Delete(at) => {
            let was = state[at].is_some();
            state[at] = None;
            Answer::Was(was)
        }
        Op::Get(at) => Answer::Value(state[at]),
        Op::GetAll => Answer::All(state),
        Op::Swap(at, wanted, value) => {
            let found = state[at];
            if found == wanted {
                state[at] = Some(value);
            }
            Answer::Swapped(if found == wanted { Ok(()) } else { Err(found) })
        }
    };
    (state, answer)
}

#[test]
fn random_histories_of_a_correct_object_pass_and_one_changed_answer_is_seen() {
    let mut seen = 0;
    for seed in 0..60 {
        let right = random(seed, 6, 200);
        assert_eq!(verdict(&right), Verdict::Linearizable, "seed {seed}");
        // a value that nobody ever wrote
        let mut wrong = right.clone();
        let changed = wrong.iter_mut().find(|(_, answered, op, _)| *answered != 0 && matches!(op, Op::Get(_)));
        let Some(changed) = changed else { continue };
        changed.3 = Answer::Value(Some(1_000_000));
        assert_eq!(verdict(&wrong), Verdict::Violated, "seed {seed}");
        seen += 1;
    }
    assert!(seen > 40, "histories had reads");
}

#[test]
fn a_write_that_is_lost_or_a_read_that_is_late_is_seen() {
    let mut found = 0;
    for seed in 100..140 {
        let mut wrong = random(seed, 4, 50);
        // the last answered write of all registers behind which somebody reads all: it did not happen
        let Some(at) = wrong.iter().rposition(|(_, answered, op, _)| *answered != 0 && matches!(op, Op::GetAll)) else {
            continue;
        };
        let (_, answered, ..) = wrong[at];
        wrong.push((answered + 500, answered + 501, Op::PutAll(9_999), Answer::Done));
        wrong.push((answered + 600, answered + 601, Op::GetAll, wrong[at].3));
        wrong.retain(|(called, ..)| *called <= answered || *called >= answered + 500);
        // a search that is given up says so; it never finds an order that is not there
        let said = judge(&history(&wrong), 100_000);
        assert_ne!(said, Verdict::Linearizable, "seed {seed}");
        found += usize::from(said == Verdict::Violated);
    }
    assert!(found > 20, "{found}");
}

#[test]
fn a_search_without_end_is_given_up() {
    let unknown: Vec<_> = (0..40).map(|n| (1, 0, Op::Put(0, n), Answer::Done)).collect();
    let mut hard = unknown;
    hard.push((2, 3, Op::Get(0), Answer::Value(Some(99))));
    assert_eq!(judge(&history(&hard), 1_000), Verdict::Unknown);
}
