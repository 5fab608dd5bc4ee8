//! What must hold after a crash: nothing acknowledged is lost, nothing is half done, nothing appears from nowhere.

use crate::log::Log;
use crate::writers::{Attempt, Want, by_name, name_of};
use api::etcdserverpb::LeaseLeasesRequest;
use api::mvccpb::Event;
use harness::Stubs;
use harness::request::all;
use std::collections::HashSet;

/// Checks every event and every attempt against each other.
pub fn history(log: &Log, attempts: &[Attempt]) {
    let known = by_name(attempts);
    let mut seen = HashSet::new();
    for revision in 2..=log.revision() {
        let events = log.at(revision);
        let mut names: Vec<_> = events.iter().filter(|e| e.r#type == 0).map(writer).collect();
        names.dedup();
        match names[..] {
            // a revoke writes nothing but deletes
            [] => assert!(events.len() == 1 && key(&events[0]).contains("/leased"), "{revision}: {events:?}"),
            [name] => {
                let attempt = known.get(name).unwrap_or_else(|| panic!("{revision}: nobody attempted {name}"));
                assert!(seen.insert(name), "{name} was applied twice, again at {revision}");
                whole(revision, events, attempt);
            }
            _ => panic!("{revision} mixes attempts: {names:?}"),
        }
    }
    for attempt in attempts {
        acknowledged(log, attempt, seen.contains(attempt.name.as_str()));
    }
}

fn key(event: &Event) -> &str {
    std::str::from_utf8(&event.kv.as_ref().expect("a key").key).expect("keys are text")
}

fn writer(event: &Event) -> &str {
    name_of(&event.kv.as_ref().expect("a key").value)
}

/// A revision holds all of an attempt and nothing else.
fn whole(revision: i64, events: &[Event], attempt: &Attempt) {
    let found: Vec<_> = events.iter().map(|e| (e.r#type == 0, key(e))).collect();
    match &attempt.want {
        Want::Put(keys) => {
            let wanted: Vec<_> = keys.iter().map(|k| (true, k.as_str())).collect();
            assert_eq!(found, wanted, "{revision}: {} is half applied", attempt.name);
        }
        Want::Delete(gone, note) => {
            // the key may not have been there
            let both = [(false, gone.as_str()), (true, note.as_str())];
            assert!(found == both || found == both[1..], "{revision}: {} is half applied: {found:?}", attempt.name);
        }
        Want::Grant(_) | Want::Revoke(..) => panic!("{revision}: {} writes no value: {events:?}", attempt.name),
    }
    if let Some(acknowledged) = attempt.acknowledged {
        assert_eq!(acknowledged, revision, "{} was promised another revision", attempt.name);
    }
}

fn acknowledged(log: &Log, attempt: &Attempt, applied: bool) {
    let Some(revision) = attempt.acknowledged else { return };
    match &attempt.want {
        Want::Put(_) | Want::Delete(..) => assert!(applied, "acknowledged write lost: {attempt:?}"),
        Want::Revoke(_, leased) => {
            let gone = log.at(revision).iter().any(|e| e.r#type != 0 && key(e) == leased);
            assert!(gone, "acknowledged revoke lost: {attempt:?}");
        }
        Want::Grant(_) => {}
    }
}

/// The present key-values are exactly what the events lead to.
pub async fn present(stubs: &Stubs, log: &Log) {
    let answer = stubs.range(all()).await.expect("range");
    assert_eq!(answer.header.expect("a header").revision, log.revision(), "somebody else writes");
    let wanted = log.present.kvs();
    assert_eq!(answer.count as usize, wanted.len());
    for (found, wanted) in answer.kvs.iter().zip(&wanted) {
        // events carry the whole key-value
        assert_eq!(found, wanted);
    }
}

/// Acknowledged leases exist, revoked ones do not; the last attempt of a task may be either.
pub async fn leases(stubs: &Stubs, attempts: &[Attempt]) {
    let answer = stubs.lease.clone().lease_leases(LeaseLeasesRequest {}).await.expect("list").into_inner();
    let standing: HashSet<_> = answer.leases.into_iter().map(|l| l.id).collect();
    let mut granted = HashSet::new();
    let mut unsure = HashSet::new();
    for attempt in attempts {
        match (&attempt.want, attempt.acknowledged) {
            (Want::Grant(id), Some(_)) => _ = granted.insert(*id),
            (Want::Revoke(id, _), Some(_)) => _ = granted.remove(id),
            (Want::Grant(id) | Want::Revoke(id, _), None) => _ = unsure.insert(*id),
            _ => {}
        }
    }
    for id in granted.symmetric_difference(&standing) {
        assert!(unsure.contains(id), "lease {id:x} is there and should not be, or the other way round");
    }
}
