//! Effects too large for one batch: deletes, revocations and transactions in pieces, with a crash after each of them.

use super::cut::CutEngine;
use super::*;
use crate::schema::{Kind, meta};

const KEYS: [&str; 10] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"];

fn attached(key: &'static str) -> Command {
    Command::Put(PutRequest { lease: 7, ..put_request(key, "v") })
}

/// A store with ten keys on one lease, as entries.
fn history(last: Command) -> Vec<Committed> {
    let commands = [grant(7)].into_iter().chain(KEYS.map(attached)).chain([last]);
    commands.enumerate().map(|(n, c)| entry(n as u64 + 1, 1, c)).collect()
}

fn large_commands() -> Vec<Command> {
    let range = |end: &'static str| {
        RequestUnion::DeleteRange(DeleteRangeRequest { key: "k".into(), range_end: end.into(), prev_kv: true })
    };
    let nested = txn(vec![], vec![range("k6"), RequestUnion::Put(put_request("k9a", "x"))], vec![]);
    let refuse = Compare { key: "none".into(), ..Default::default() };
    let other = Compare { target_union: Some(TargetUnion::Version(1)), ..refuse };
    let failing = txn(vec![other], vec![], vec![range("l")]);
    let outer = txn(
        vec![],
        vec![
            RequestUnion::Put(put_request("k1", "again")),
            RequestUnion::Txn(nested),
            RequestUnion::Txn(failing),
            RequestUnion::Put(put_request("z", "last")),
        ],
        vec![],
    );
    vec![delete("k", "l"), delete("k", "\0"), revoke(7), Command::Txn(outer)]
}

#[test]
fn a_crash_after_any_piece_is_invisible() {
    for command in large_commands() {
        let entries = history(command.clone());
        let mut whole = Node::new();
        let expected = whole.applier.apply(&entries).unwrap().replies.pop().unwrap().unwrap().1;
        let mut met = 0;
        for batches in 0..40 {
            let engine = SimEngine::new();
            crate::apply::bootstrap(&engine, &first()).unwrap();
            engine.set_background_flush(Some(1));
            let cut = Arc::new(CutEngine::new(engine.clone(), batches));
            let mut applier = StateMachine::open_with(cut, 1).unwrap();
            let _ = applier.apply(&entries);
            let engine = engine.crash();
            met += usize::from(engine.get_persisted(meta::CHUNK).unwrap().is_some());
            let mut node = Node::open(Arc::new(engine), 1);
            let applied = node.applier.applied().index as usize;
            let report = node.applier.apply(&entries[applied..]).unwrap();
            if let Some(reply) = report.replies.last() {
                assert_eq!(reply.as_ref().unwrap().1, expected, "{command:?} cut after {batches}");
            }
            assert_eq!(dump(node.engine.as_ref()), dump(whole.engine.as_ref()), "{command:?} cut after {batches}");
        }
        assert!(met >= 2, "{command:?} was never cut in its middle");
    }
}

#[test]
fn events_of_a_large_effect_are_left_to_the_log() {
    let mut node = Node::with_chunks(1);
    let entries = history(delete("k", "l"));
    let report = node.applier.apply(&entries).unwrap();
    let revision = node.applier.revision();
    assert_eq!(report.unlisted, [revision]);
    assert_eq!(report.events.len(), KEYS.len());
    assert!(report.events.iter().all(|e| e.revision.main < revision && e.kind == Kind::Create));
    let log = dump(node.engine.as_ref()).into_iter().filter(|row| row.0 == Family::Log);
    let subs =
        log.filter_map(|row| ::model::Revision::from_bytes(&row.1)).filter(|r| r.main == revision).map(|r| r.sub);
    assert_eq!(subs.collect::<Vec<_>>(), (0..10).collect::<Vec<i64>>());
}

#[test]
fn a_small_delete_lists_its_events() {
    let mut node = Node::new();
    let report = node.applier.apply(&history(delete("k", "l"))).unwrap();
    assert!(report.unlisted.is_empty());
    let last: Vec<_> = report.events.iter().filter(|e| e.kind == Kind::Delete).collect();
    assert_eq!(last.iter().map(|e| e.revision.sub).collect::<Vec<_>>(), (0..10).collect::<Vec<i64>>());
    for (event, key) in last.iter().zip(KEYS) {
        assert_eq!(event.key, key);
        assert_eq!(kv(&event.kv), KeyValue { key: key.into(), mod_revision: 12, ..Default::default() });
        assert_eq!(event.superseded.main, 2 + key[1..].parse::<i64>().unwrap());
    }
}
