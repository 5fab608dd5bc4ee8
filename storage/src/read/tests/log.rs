//! Log reads and compaction: events are the history, and what is left behind a compaction is exactly what etcd keeps.

use super::history::actions;
use super::*;
use crate::engine::{Direction, Family, Scan};
use crate::read::events::{EventsBudget, EventsChunk, LogEvent, events, prev_kv};
use crate::read::key_events::key_events;
use crate::schema::Kind;
use ::model::KeyRange;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Reads chunk by chunk to the end, checking what holds for each.
fn read_all(from: i64, to: i64, mut next: impl FnMut(Revision) -> EventsChunk) -> Vec<LogEvent> {
    let mut all: Vec<LogEvent> = Vec::new();
    let mut from = Revision::new(from, 0);
    while from.main <= to {
        let chunk = next(from);
        assert!(chunk.next > from, "a chunk goes on");
        assert!(
            chunk.split == (chunk.next.sub > 0 && chunk.revisions.last().is_some_and(|r| r.main == chunk.next.main))
        );
        assert!(!chunk.split || chunk.revisions.len() == 1, "only a revision alone is split");
        for revision in chunk.revisions {
            assert!(!revision.events.is_empty() && revision.events.iter().all(|e| e.revision.main == revision.main));
            assert!(revision.events.iter().all(|e| e.revision >= from && e.revision < chunk.next));
            all.extend(revision.events);
        }
        from = chunk.next;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn events_are_the_history(
        history in actions(40),
        bytes in prop_oneof![Just(0usize), 0usize..200, Just(usize::MAX)],
        scanned in prop_oneof![Just(0usize), 0usize..400, Just(usize::MAX)],
        (key, end) in super::history::range(),
    ) {
        let store = Store::with(&history);
        let view = store.view();
        let wanted = KeyRange::new(key.clone(), end);
        for from in 0..=view.status.revision {
            let budget = EventsBudget { bytes, scanned };
            let begin = Revision::new(from, 0);
            if from < view.status.compact_revision {
                prop_assert_eq!(events(&view, begin, i64::MAX, |_| true, budget), Err(ReadError::Compacted));
                prop_assert_eq!(key_events(&view, &key, begin, i64::MAX, bytes), Err(ReadError::Compacted));
                continue;
            }
            let to = view.status.revision - from % 2;
            let found = read_all(from, to, |from| {
                events(&view, from, to, |key| wanted.contains(key), budget).expect("the log reads")
            });
            let in_time = |v: &&naive::Version| (from..=to).contains(&v.revision.main);
            let expected = store.naive.versions.iter().filter(in_time);
            let named = |v: &naive::Version| (v.revision, v.kind, v.kv.clone());
            let of_range: Vec<_> = expected.clone().filter(|v| wanted.contains(&v.kv.key)).map(named).collect();
            let seen: Vec<_> = found.iter().map(|e| (e.revision, e.kind, kv(&e.kv))).collect();
            if from > view.status.compact_revision {
                prop_assert_eq!(&seen, &of_range);
            }
            for event in &found {
                prop_assert_eq!(&event.key, &kv(&event.kv).key);
                let before = event.revision.main - 1;
                let readable = event.kind != Kind::Create && before >= view.status.compact_revision;
                let one = KeyRange::new(event.key.clone(), Bytes::new());
                let expected = if readable { store.naive.living(&one, before).pop() } else { None };
                let found = prev_kv(&view, event).expect("the log reads");
                prop_assert_eq!(found.as_ref().map(kv), expected, "{:?}", event);
            }
            let found = read_all(from, to, |from| key_events(&view, &key, from, to, bytes).expect("the log reads"));
            let of_key: Vec<_> = expected.filter(|v| v.kv.key == key).map(named).collect();
            let seen: Vec<_> = found.iter().map(|e| (e.revision, e.kind, kv(&e.kv))).collect();
            if from > view.status.compact_revision {
                prop_assert_eq!(seen, of_key);
            }
        }
    }

    #[test]
    fn a_compaction_leaves_what_etcd_leaves(history in actions(60)) {
        let mut store = Store::with(&history);
        store.drop_garbage(None);
        let view = store.view();
        let mut left = BTreeSet::new();
        let mut scan = view.snapshot.scan(Family::Log, &[], None, Direction::Forward);
        let mut bytes = 0;
        while let Some((key, row)) = scan.next().expect("the log reads") {
            left.insert(Revision::from_bytes(key).expect("a row key is a revision"));
            bytes += (key.len() + row.len()) as i64;
        }
        prop_assert_eq!(&left, &store.naive.kept());
        prop_assert_eq!(store.applier.state().log_bytes, bytes, "freed bytes are exact");
        let newest = store.naive.newest(i64::MAX);
        let superseded = |v: &&naive::Version| newest[&v.kv.key].revision != v.revision || v.kind == Kind::Delete;
        let in_hist: BTreeSet<_> = store.naive.versions.iter().filter(superseded).map(|v| v.revision).collect();
        let mut hist = BTreeSet::new();
        let mut scan = view.snapshot.scan(Family::Hist, &[], None, Direction::Forward);
        while let Some((key, _)) = scan.next().expect("the engine reads") {
            hist.insert(crate::schema::split_hist_key(key).expect("a row of `hist`").1);
        }
        prop_assert_eq!(hist, &in_hist & &left);
    }

    #[test]
    fn steps_of_any_size_plan_the_same(history in actions(40), rows in 1usize..5, part in 0u8..=255) {
        let store = Store::with(&history);
        let view = store.view();
        let target = view.status.compact_revision.max(0) + (view.status.revision - view.status.compact_revision.max(0)) * i64::from(part) / 255;
        let plan = |rows: usize, bytes: usize| {
            let mut compaction = Compaction::new(view.status.compact_revision, target);
            let (mut ops, mut freed) = (Vec::new(), 0);
            loop {
                let step = compaction.step(&view.snapshot, rows, bytes).expect("the log reads");
                assert!(step.rows_walked <= rows);
                ops.extend(step.ops);
                freed += step.freed_bytes;
                if step.done {
                    return (ops, freed);
                }
                compaction = Compaction::resume(view.status.compact_revision, target, compaction.next());
            }
        };
        let whole = plan(usize::MAX, usize::MAX);
        prop_assert_eq!(&plan(rows, usize::MAX), &whole);
        prop_assert_eq!(&plan(usize::MAX, 0), &whole);
    }
}
