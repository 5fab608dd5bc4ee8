//! The judge is judged: histories doctored in each way that a bad server could produce are refused.
//!
//! Must never start a server.

use crate::checks::history;
use crate::log::Log;
use crate::writers::{Attempt, Want};
use api::mvccpb::{Event, KeyValue};

fn put(key: &str, name: &str, revision: i64, version: i64) -> Event {
    let create_revision = revision - version + 1;
    let kv = KeyValue {
        key: key.to_owned().into(),
        value: format!("{name};xx").into(),
        create_revision,
        mod_revision: revision,
        version,
        lease: 0,
    };
    Event { r#type: 0, kv: Some(kv), prev_kv: None }
}

fn attempt(name: &str, keys: &[&str], acknowledged: Option<i64>) -> Attempt {
    let want = Want::Put(keys.iter().map(|k| (*k).to_owned()).collect());
    Attempt { name: name.into(), want, acknowledged, refused: None }
}

fn log(answers: Vec<Vec<Event>>) -> Log {
    let mut log = Log::default();
    answers.into_iter().for_each(|events| log.take(events));
    log
}

#[test]
fn a_true_history_passes() {
    let log = log(vec![vec![put("a", "1", 2, 1)], vec![put("a", "2", 3, 2), put("b", "2", 3, 1)]]);
    let attempts = [attempt("1", &["a"], Some(2)), attempt("2", &["a", "b"], None), attempt("3", &["c"], None)];
    history(&log, &attempts);
}

#[test]
#[should_panic(expected = "acknowledged write lost")]
fn a_lost_write_is_found() {
    history(&log(vec![vec![put("a", "1", 2, 1)]]), &[attempt("1", &["a"], Some(2)), attempt("2", &["b"], Some(3))]);
}

#[test]
#[should_panic(expected = "half applied")]
fn half_a_transaction_is_found() {
    history(&log(vec![vec![put("a", "1", 2, 1)]]), &[attempt("1", &["a", "b"], None)]);
}

#[test]
#[should_panic(expected = "applied twice")]
fn a_write_applied_twice_is_found() {
    let log = log(vec![vec![put("a", "1", 2, 1)], vec![put("a", "1", 3, 2)]]);
    history(&log, &[attempt("1", &["a"], Some(2))]);
}

#[test]
#[should_panic(expected = "promised another revision")]
fn a_moved_revision_is_found() {
    history(&log(vec![vec![put("a", "1", 2, 1)]]), &[attempt("1", &["a"], Some(3))]);
}

#[test]
#[should_panic(expected = "nobody attempted")]
fn a_write_from_nowhere_is_found() {
    history(&log(vec![vec![put("a", "1", 2, 1)]]), &[]);
}

#[test]
#[should_panic(expected = "misses or repeats")]
fn a_gap_is_found() {
    log(vec![vec![put("a", "1", 2, 1)], vec![put("b", "2", 4, 1)]]);
}

#[test]
#[should_panic(expected = "misses or repeats")]
fn a_repeated_revision_is_found() {
    log(vec![vec![put("a", "1", 2, 1)], vec![put("b", "1", 2, 1)]]);
}
