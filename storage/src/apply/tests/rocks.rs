//! The same history on RocksDB: rows and outcomes are those of the deterministic engine, also after it was closed and opened.

use super::random::command;
use super::*;
use crate::engine::rocks::{RocksEngine, RocksOptions};
use proptest::collection::vec;
use proptest::prelude::*;

fn open(dir: &std::path::Path) -> Arc<RocksEngine> {
    Arc::new(RocksEngine::open(dir, &RocksOptions::default()).expect("the folder opens"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn rocksdb_holds_the_same_rows(commands in vec(command(), 100..200), chunk in prop::sample::select(vec![1usize, 1 << 20])) {
        let entries: Vec<_> = commands.into_iter().enumerate().map(|(n, c)| entry(n as u64 + 1, 1, c)).collect();
        let mut sim = Node::with_chunks(chunk);
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path());
        crate::apply::bootstrap(engine.as_ref(), &first()).unwrap();
        let mut rocks = StateMachine::open_with(engine.clone(), chunk).unwrap();
        for group in entries[..entries.len() / 2].chunks(7) {
            prop_assert_eq!(rocks.apply(group).unwrap().replies, sim.applier.apply(group).unwrap().replies);
        }
        engine.flush().unwrap();
        drop((rocks, engine));
        let engine = open(folder.path());
        let mut rocks = StateMachine::open_with(engine.clone(), chunk).unwrap();
        prop_assert_eq!(rocks.state(), sim.applier.state());
        for group in entries[entries.len() / 2..].chunks(7) {
            prop_assert_eq!(rocks.apply(group).unwrap().replies, sim.applier.apply(group).unwrap().replies);
        }
        while rocks.compaction_step(3).unwrap() != crate::apply::CompactionProgress::Idle {}
        while sim.applier.compaction_step(50).unwrap() != crate::apply::CompactionProgress::Idle {}
        prop_assert_eq!(dump(engine.as_ref()), dump(sim.engine.as_ref()));
    }
}
