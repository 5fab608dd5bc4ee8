//! Random histories: outcomes and rows against the model, whatever the grouping, the chunk size and the crashes.

use super::cut::CutEngine;
use super::model::Model;
use super::random::command;
use super::*;
use crate::apply::{CompactionProgress, StoreEvent};
use crate::schema::{Head, LogRow, meta};
use proptest::collection::vec;
use proptest::prelude::*;

fn entries(commands: &[Command]) -> Vec<Committed> {
    commands.iter().enumerate().map(|(n, c)| entry(n as u64 + 1, 1 + n as u64 / 10, c.clone())).collect()
}

/// Applies entries in groups whose sizes go around in `groups`. Returns the answers.
fn apply(node: &mut Node, entries: &[Committed], groups: &[usize]) -> Vec<Applied> {
    let mut answers = Vec::new();
    let mut rest = entries;
    for size in groups.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        let report = node.applier.apply(now).expect("the entries apply");
        answers.extend(report.replies.into_iter().flatten().map(|(_, applied)| applied));
        rest = later;
        if rest.is_empty() {
            return answers;
        }
    }
    answers
}

fn compact_all(node: &mut Node, budget: usize) {
    while node.applier.compaction_step(budget).expect("a step") != CompactionProgress::Idle {}
}

/// Checks the store's rows and numbers against the model and against each other.
fn check(node: &Node, model: &Model) {
    let snapshot = node.engine.snapshot();
    let state = node.applier.state();
    assert_eq!((state.revision, state.compact), (model.revision, model.compact));
    let rows = dump(node.engine.as_ref());
    let of = |family| rows.iter().filter(move |row| row.0 == family);
    let size = |family| of(family).map(|row| (row.1.len() + row.2.len()) as i64).sum::<i64>();
    assert_eq!((state.log_bytes, state.cur_bytes), (size(Family::Log), size(Family::Cur)));
    let living = model.living(b"\0", b"\0", i64::MAX);
    assert_eq!((of(Family::Cur).count(), state.keys), (living.len(), living.len() as i64));
    let mut live = 0;
    for (row, kv) in of(Family::Cur).zip(&living) {
        let head = Head::decode(&row.2).unwrap();
        assert_eq!((&row.1, head.create, head.modified.main), (&kv.key, kv.create_revision, kv.mod_revision));
        assert_eq!((head.version, head.lease, head.len as usize), (kv.version, kv.lease, kv.encoded_len()));
        let log = snapshot.get(Family::Log, &head.modified.to_bytes()).unwrap().expect("the newest version is kept");
        live += 16 + log.len() as i64;
        assert_eq!(LogRow::decode(log).unwrap().kv, kv.encode_to_vec());
        assert_eq!(Head::inline(&row.2).is_some(), kv.encoded_len() <= crate::schema::INLINE_MAX);
        assert_eq!(Head::inline(&row.2).unwrap_or(&kv.encode_to_vec()), kv.encode_to_vec());
    }
    assert_eq!(state.live_log_bytes, live);
    assert_eq!(crate::count::Counts::new(&snapshot).unwrap().total(), state.keys);
    let leases: Vec<i64> =
        of(Family::Meta).filter(|r| r.1[0] == meta::LEASE).map(|r| meta::lease_id(&r.1).unwrap()).collect();
    assert_eq!(leases, model.leases.keys().copied().collect::<Vec<_>>());
    assert_eq!(state.leases, leases.len() as i64);
    let attached = of(Family::Meta).filter(|r| r.1[0] == meta::ATTACHED);
    let attached: Vec<_> = attached.map(|r| (meta::lease_id(&r.1).unwrap(), r.1[9..].to_vec())).collect();
    let expected = leases.iter().flat_map(|id| model.attached(*id).into_iter().map(|key| (*id, key)));
    assert_eq!(attached, expected.collect::<Vec<_>>());
    assert!(!rows.iter().any(|row| row.1 == meta::CHUNK), "no entry stands half done");
    assert_eq!(crate::check::check(&snapshot, &mut |_| ()).unwrap().problems, []);
}

/// Without compaction, `log` holds every version of the model, in order and with the version each superseded.
fn check_log(node: &Node, model: &Model) {
    let mut expected = Vec::new();
    for (key, versions) in &model.keys {
        let mut last = None;
        for v in versions {
            let tombstone = KeyValue { key: key.clone().into(), mod_revision: v.main, ..Default::default() };
            let kv = v.kv.as_ref().unwrap_or(&tombstone);
            expected.push(((v.main, v.sub), last, kv.encode_to_vec()));
            last = v.kv.is_some().then_some((v.main, v.sub));
        }
    }
    expected.sort();
    let rows = dump(node.engine.as_ref()).into_iter().filter(|row| row.0 == Family::Log);
    let found = rows.map(|(_, key, value)| {
        let name = ::model::Revision::from_bytes(&key).unwrap();
        let row = LogRow::decode(value).unwrap();
        let superseded = (row.superseded.main > 0).then_some((row.superseded.main, row.superseded.sub));
        ((name.main, name.sub), superseded, row.kv.to_vec())
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// Events are the rows of `log`, word for word.
fn check_events(node: &Node, events: &[StoreEvent]) {
    let rows = dump(node.engine.as_ref()).into_iter().filter(|row| row.0 == Family::Log);
    let expected = rows.map(|(_, key, value)| {
        let LogRow { kind, superseded, kv, .. } = LogRow::decode(value).unwrap();
        let revision = ::model::Revision::from_bytes(&key).unwrap();
        StoreEvent { revision, kind, superseded, key: KeyValue::decode(kv.clone()).unwrap().key, kv }
    });
    assert_eq!(events, expected.collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn outcomes_and_rows_are_those_of_the_model(commands in vec(command(), 1..40)) {
        let mut node = Node::new();
        let mut model = Model::new();
        let mut events = Vec::new();
        for committed in entries(&commands) {
            let command = Command::decode(Envelope::decode(&committed.entry.data).unwrap().command).unwrap();
            let expected = model.apply(&command);
            let report = node.applier.apply(std::slice::from_ref(&committed)).unwrap();
            let (_, applied) = report.replies[0].clone().unwrap();
            prop_assert_eq!(&applied.result, &expected, "{:?}", command);
            prop_assert_eq!(applied.revision, model.revision);
            prop_assert_eq!(report.view.status.revision, model.revision);
            events.extend(report.events);
            prop_assert_eq!(&*report.view.status.alarms, &model.alarms.iter().copied().collect::<Vec<_>>()[..]);
        }
        check_log(&node, &model);
        check_events(&node, &events);
        check(&node, &model);
        compact_all(&mut node, 2);
        check(&node, &model);
    }

    #[test]
    fn grouping_prefetch_and_chunks_change_nothing(
        commands in vec(command(), 1..40),
        groups in vec(1usize..9, 1..6),
        chunk in prop::sample::select(vec![1usize, 900, 1 << 20]),
        ahead in any::<bool>(),
    ) {
        let entries = entries(&commands);
        let mut one = Node::new();
        let mut other = Node::with_chunks(chunk);
        let expected = apply(&mut one, &entries, &[1]);
        if ahead {
            // An entry that loses against another leader's must leave no trace.
            let lost = entry(2, 9, put("a", "lost"));
            other.applier.prefetch([&lost.entry]).unwrap();
            other.applier.prefetch(entries.iter().map(|c| &c.entry)).unwrap();
        }
        prop_assert_eq!(apply(&mut other, &entries, &groups), expected);
        prop_assert_eq!(dump(other.engine.as_ref()), dump(one.engine.as_ref()));
    }

    #[test]
    fn a_crash_anywhere_is_invisible(
        commands in vec(command(), 1..40),
        groups in vec(1usize..5, 1..6),
        flush_every in 1u64..4,
        chunk in prop::sample::select(vec![1usize, 1, 900, 1 << 20]),
        batches in 0usize..60,
        budget in 1usize..5,
    ) {
        let entries = entries(&commands);
        let mut whole = Node::new();
        let expected = apply(&mut whole, &entries, &[3]);
        let engine = SimEngine::new();
        crate::apply::bootstrap(&engine, &first()).unwrap();
        engine.set_background_flush(Some(flush_every));
        run_until_cut(CutEngine::new(engine.clone(), batches), &entries, &groups, chunk, budget);
        let mut node = Node::open(Arc::new(engine.crash()), chunk);
        let applied = node.applier.applied().index as usize;
        // The log is replayed from somewhere before the applied index: what was applied is skipped.
        let from = applied.saturating_sub(3);
        let replayed = apply(&mut node, &entries[from..], &groups);
        prop_assert_eq!(&replayed[..], &expected[applied..]);
        for node in [&mut whole, &mut node] {
            compact_all(node, budget);
        }
        prop_assert_eq!(dump(node.engine.as_ref()), dump(whole.engine.as_ref()));
        prop_assert_eq!(node.applier.state(), whole.applier.state());
    }
}

/// Applies and compacts until the engine dies, or everything is applied.
fn run_until_cut(engine: CutEngine, entries: &[Committed], groups: &[usize], chunk: usize, budget: usize) {
    let mut applier = StateMachine::open_with(Arc::new(engine), chunk).expect("the store opens");
    let mut rest = entries;
    for size in groups.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        if applier.apply(now).is_err() || applier.compaction_step(budget).is_err() || later.is_empty() {
            return;
        }
        rest = later;
    }
}
