//! One contract, two engines: the same random operations on RocksDB and on its deterministic model, compared at every step.
//!
//! A crash of RocksDB is a close without flush: with its own log off, only flushed tables are found again.

use bytes::Bytes;
use model::KeyRange;
use proptest::collection::vec;
use proptest::prelude::*;
use std::ops::ControlFlow;
use storage::count::count_present;
use storage::engine::rocks::{RocksEngine, RocksOptions, RocksSnapshot};
use storage::engine::sim::{SimEngine, SimSnapshot};
use storage::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use storage::snapshot::{Hash, SnapshotSource, StreamEnd, StreamHeader, restore};

#[derive(Clone, Debug)]
enum Move {
    Next(u8),
    Rest,
    Seek(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Walk {
    family: Family,
    lower: Vec<u8>,
    upper: Option<Vec<u8>>,
    direction: Direction,
    moves: Vec<Move>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(Family, Vec<u8>, Option<Vec<u8>>)>),
    Keep,
    Forget(usize),
    Get(usize, Family, Vec<Vec<u8>>),
    Scan(usize, Walk),
    Persisted(Vec<u8>),
    Flush,
    CompactFiles,
    Checkpoint,
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0u8), Just(1), Just(7), Just(0xff)], 0..4)
}

fn family() -> impl Strategy<Value = Family> {
    proptest::sample::select(&Family::ALL[..])
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![3 => vec(any::<u8>(), 0..20).prop_map(Some), 1 => Just(None)];
    let moves = vec(prop_oneof![3 => (1u8..6).prop_map(Move::Next), 1 => key().prop_map(Move::Seek)], 1..8);
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    let walk = (family(), key(), proptest::option::of(key()), direction, moves)
        .prop_map(|(family, lower, upper, direction, moves)| Walk { family, lower, upper, direction, moves });
    prop_oneof![
        12 => vec((family(), key(), value), 1..12).prop_map(Step::Write),
        3 => Just(Step::Keep),
        1 => (0usize..4).prop_map(Step::Forget),
        4 => (0usize..5, family(), vec(key(), 1..5)).prop_map(|(n, family, keys)| Step::Get(n, family, keys)),
        8 => (0usize..5, walk).prop_map(|(n, walk)| Step::Scan(n, walk)),
        4 => key().prop_map(Step::Persisted),
        2 => Just(Step::Flush),
        1 => Just(Step::CompactFiles),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Crash),
    ]
}

type Row = (Vec<u8>, Vec<u8>);

fn walk<S: Snapshot>(snapshot: &S, walk: &Walk) -> Vec<Option<Row>> {
    let mut scan = snapshot.scan(walk.family, &walk.lower, walk.upper.as_deref(), walk.direction);
    let next = |scan: &mut S::Scan<'_>| scan.next().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec()));
    let mut seen = vec![];
    for step in &walk.moves {
        match step {
            Move::Next(times) => seen.extend((0..*times).map(|_| next(&mut scan))),
            Move::Rest => seen.extend(std::iter::from_fn(|| next(&mut scan)).map(Some)),
            Move::Seek(key) => scan.seek(key),
        }
    }
    seen
}

fn all<S: Snapshot>(snapshot: &S) -> Vec<Vec<Option<Row>>> {
    let moves = vec![Move::Rest];
    let of = |family| Walk { family, lower: vec![], upper: None, direction: Direction::Forward, moves: moves.clone() };
    Family::ALL.iter().map(|family| walk(snapshot, &of(*family))).collect()
}

fn is_empty<S: Snapshot>(snapshot: &S) -> bool {
    all(snapshot).iter().flatten().flatten().next().is_none()
}

/// Both engines, and the snapshots of both that are kept.
struct Pair {
    folder: tempfile::TempDir,
    sim: SimEngine,
    rocks: Option<RocksEngine>,
    kept: Vec<(SimSnapshot, RocksSnapshot)>,
    checkpoints: usize,
}

fn options() -> RocksOptions {
    RocksOptions { cache_bytes: 1 << 20, write_buffer_bytes: 8 << 20, flush_on_close: false, ..RocksOptions::default() }
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rocks = RocksEngine::open(&folder.path().join("store"), &options()).unwrap();
        Self { folder, sim: SimEngine::new(), rocks: Some(rocks), kept: vec![], checkpoints: 0 }
    }

    fn rocks(&self) -> &RocksEngine {
        self.rocks.as_ref().expect("open between the steps")
    }

    /// A kept pair of snapshots, or a fresh one.
    fn snapshots(&self, n: usize) -> (SimSnapshot, RocksSnapshot) {
        self.kept.get(n).cloned().unwrap_or_else(|| (self.sim.snapshot(), self.rocks().snapshot()))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Write(rows) => {
                let op = |(family, key, value): (Family, Vec<u8>, Option<Vec<u8>>)| match value {
                    Some(value) => Op::Put { family, key: key.into(), value: value.into() },
                    None => Op::Delete { family, key: key.into() },
                };
                let batch: Vec<_> = rows.into_iter().map(op).collect();
                self.sim.write(batch.clone()).unwrap();
                self.rocks().write(batch).unwrap();
            }
            Step::Keep => self.kept.push(self.snapshots(usize::MAX)),
            Step::Forget(n) if n < self.kept.len() => drop(self.kept.remove(n)),
            Step::Forget(_) => {}
            Step::Get(n, family, keys) => {
                let (sim, rocks) = self.snapshots(n);
                let keys: Vec<_> = keys.iter().map(|key| &key[..]).collect();
                let found = sim.multi_get(family, &keys).unwrap();
                prop_assert_eq!(&found, &rocks.multi_get(family, &keys).unwrap());
                for (key, row) in keys.iter().zip(&found) {
                    prop_assert_eq!(row, &sim.get(family, key).unwrap());
                    prop_assert_eq!(row, &rocks.get(family, key).unwrap());
                }
            }
            Step::Scan(n, steps) => {
                let (sim, rocks) = self.snapshots(n);
                prop_assert_eq!(walk(&sim, &steps), walk(&rocks, &steps));
            }
            Step::Persisted(key) => {
                prop_assert_eq!(self.sim.get_persisted(&key).unwrap(), self.rocks().get_persisted(&key).unwrap());
            }
            Step::Flush => {
                self.sim.flush().unwrap();
                self.rocks().flush().unwrap();
            }
            Step::CompactFiles => {
                self.sim.compact_files(&|| true).unwrap();
                self.rocks().compact_files(&|| true).unwrap();
            }
            Step::Checkpoint => self.checkpoint()?,
            Step::Crash => self.crash(),
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), TestCaseError> {
        let dir = |engine: &str| self.folder.path().join(format!("{engine}-{}", self.checkpoints));
        let (sim, rocks) = (dir("sim"), dir("rocks"));
        self.sim.checkpoint(&sim).unwrap();
        self.rocks().checkpoint(&rocks).unwrap();
        prop_assert!(self.sim.checkpoint(&sim).is_err() && self.rocks().checkpoint(&rocks).is_err());
        let copies = (SimEngine::open(&sim).unwrap(), RocksEngine::open(&rocks, &options()).unwrap());
        let now = all(&self.sim.snapshot());
        prop_assert_eq!(&now, &all(&copies.0.snapshot()));
        prop_assert_eq!(&now, &all(&copies.1.snapshot()));
        self.checkpoints += 1;
        Ok(())
    }

    fn crash(&mut self) {
        self.kept.clear();
        self.sim = self.sim.crash();
        self.rocks = None;
        self.rocks = Some(RocksEngine::open(&self.folder.path().join("store"), &options()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_keep_the_contract(steps in vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step)?;
            prop_assert_eq!(all(&pair.sim.snapshot()), all(&pair.rocks().snapshot()));
        }
        for (sim, rocks) in &pair.kept {
            prop_assert_eq!(all(sim), all(rocks));
        }
    }
}

fn stream<S: Snapshot>(snapshot: S) -> Vec<u8> {
    let mut out = vec![];
    let end = SnapshotSource::new(snapshot, &StreamHeader::default()).unwrap().send(|chunk| {
        out.extend_from_slice(&chunk);
        ControlFlow::Continue(())
    });
    let Ok(StreamEnd::Whole(hash)) = end else { panic!("the stream ended with {end:?}") };
    out.extend_from_slice(&hash);
    out
}

#[test]
fn a_snapshot_stream_is_the_same_from_both_engines_and_restores_into_rocksdb() {
    let pair = Pair::new();
    let value = |n: u32| Bytes::from(vec![n as u8; n as usize * 7 % 3_000]);
    let key = |n: u32| Bytes::from(n.wrapping_mul(0x9e37_79b9).to_be_bytes().to_vec());
    for n in 0..3_000u32 {
        let family = [Family::Log, Family::Cur, Family::Hist, Family::Meta][n as usize % 4];
        let batch = vec![Op::Put { family, key: key(n), value: value(n) }, Op::Delete { family, key: key(n / 3) }];
        pair.sim.write(batch.clone()).unwrap();
        pair.rocks().write(batch).unwrap();
    }
    let bytes = stream(pair.sim.snapshot());
    assert!(bytes == stream(pair.rocks().snapshot()), "the streams differ");
    let dir = pair.folder.path().join("restored");
    let into = RocksEngine::open_sharing(&dir, &options(), pair.rocks().memory()).unwrap();
    let summary = restore(&bytes[..], &into, Hash::Check).unwrap();
    drop(into);
    // Nothing is lost by a crash right after: a restore ends with a flush.
    let into = RocksEngine::open(&dir, &options()).unwrap().snapshot();
    for (family, (sim, rocks)) in Family::ALL.iter().zip(all(&pair.sim.snapshot()).iter().zip(&all(&into))) {
        assert!(*family == Family::Cnt || sim == rocks, "{family:?} differs");
    }
    let everything = KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]));
    assert_eq!(count_present(&into, &everything).unwrap() as u64, summary.keys());
    assert!(summary.keys() > 400);
}

/// Rows that are loaded go past the batches, and are durable at once. Key counts come in two runs, one of groups and one of blocks.
#[test]
fn a_load_fills_an_empty_engine_and_a_crash_right_after_loses_nothing() {
    let pair = Pair::new();
    let small = RocksOptions { file_bytes: 16 << 10, ..options() };
    let rocks = RocksEngine::open(&pair.folder.path().join("loaded"), &small).unwrap();
    let mut loads = [pair.sim.load().unwrap(), rocks.load().unwrap()];
    for load in &mut loads {
        for family in Family::ALL {
            for n in 0..4_000u32 {
                let key = [&[1][..], &n.to_be_bytes()].concat();
                load.put(family, &key, &n.to_le_bytes().repeat(n as usize % 40)).unwrap();
                if n % 100 == 0 {
                    load.put(family, &[&[0][..], &n.to_be_bytes()].concat(), b"group").unwrap();
                }
            }
        }
    }
    assert!(is_empty(&rocks.snapshot()), "nothing shows before the end");
    for load in loads {
        load.finish().unwrap();
    }
    let loaded = all(&pair.sim.snapshot());
    assert!(loaded.iter().all(|family| family.iter().flatten().count() == 4_040));
    assert!(loaded == all(&rocks.snapshot()), "the engines differ");
    assert!(loaded == all(&pair.sim.crash().snapshot()));
    // batches go on above them
    let put =
        |value: &'static str| Op::Put { family: Family::Cur, key: vec![1, 0, 0, 0, 7].into(), value: value.into() };
    rocks.write(vec![put("new")]).unwrap();
    assert_eq!(rocks.snapshot().get(Family::Cur, &[1, 0, 0, 0, 7]).unwrap(), Some("new".into()));
    drop(rocks);
    let again = RocksEngine::open(&pair.folder.path().join("loaded"), &small).unwrap();
    assert!(loaded == all(&again.snapshot()), "rows are lost by a crash");
}

#[test]
fn rows_in_no_order_are_refused_and_a_load_that_is_given_up_leaves_nothing() {
    let pair = Pair::new();
    let rocks = RocksEngine::open(&pair.folder.path().join("loaded"), &options()).unwrap();
    let mut load = rocks.load().unwrap();
    let refused = (0..9u8).rev().find_map(|n| load.put(Family::Log, &[n], b"").err());
    assert!(refused.is_some());
    drop(load);
    assert!(is_empty(&rocks.snapshot()));
    assert!(rocks.load().is_ok(), "another one may begin");
}

#[test]
fn a_clean_close_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions { flush_on_close: true, ..options() };
    let engine = RocksEngine::open(folder.path(), &options).unwrap();
    engine.write(vec![Op::Put { family: Family::Meta, key: "applied".into(), value: "7".into() }]).unwrap();
    assert_eq!(engine.get_persisted(b"applied").unwrap(), None);
    drop(engine);
    let engine = RocksEngine::open(folder.path(), &options).unwrap();
    assert_eq!(engine.get_persisted(b"applied").unwrap(), Some("7".into()));
}

/// RocksDB returns early from a manual flush while one by itself is under way: the engine must not.
#[test]
fn a_flush_during_a_background_flush_still_keeps_everything() {
    let row =
        |family, key: u32, len| Op::Put { family, key: key.to_be_bytes().to_vec().into(), value: vec![7; len].into() };
    // One of the rounds fills the write buffers just before its end, so that a flush by itself is under way there.
    for round in 12..24u32 {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(&folder.path().join("store"), &options()).unwrap();
        for family in [Family::Log, Family::Cur, Family::Hist] {
            engine.write((0..600).map(|n| row(family, n, 1_600)).collect()).unwrap();
        }
        engine.write(vec![row(Family::Cnt, 0, 1)]).unwrap();
        for n in 0..round * 50 {
            engine.write(vec![row(Family::Meta, n, 1_600)]).unwrap();
        }
        engine.write(vec![row(Family::Cnt, 1, 1)]).unwrap();
        let before = all(&engine.snapshot());
        let again = if round % 2 == 0 { "store" } else { "copy" };
        if again == "store" {
            engine.flush().unwrap();
        } else {
            engine.checkpoint(&folder.path().join(again)).unwrap();
        }
        drop(engine);
        let engine = RocksEngine::open(&folder.path().join(again), &options()).unwrap();
        assert!(all(&engine.snapshot()) == before, "rows are lost, round {round}");
    }
}

/// Background flushes happen in the middle of the batches: what a crash leaves must still be one state of all families.
#[test]
fn a_background_flush_takes_all_families_at_one_point() {
    let folder = tempfile::tempdir().unwrap();
    let small = RocksOptions { write_buffer_bytes: 8 << 20, ..options() };
    let mut next = 0u64;
    let mut flushed_alone = 0;
    for _ in 0..6 {
        let engine = RocksEngine::open(folder.path(), &small).unwrap();
        let snapshot = engine.snapshot();
        let applied = snapshot.get(Family::Meta, b"applied").unwrap();
        let applied = applied.map_or(0, |row| u64::from_be_bytes(row[..].try_into().unwrap()));
        assert!(applied <= next);
        flushed_alone += u64::from(applied > 0 && applied < next);
        for family in [Family::Log, Family::Cur, Family::Hist, Family::Cnt] {
            let mut last = snapshot.scan(family, &[], None, Direction::Backward);
            let last = last.next().unwrap().map_or(0, |(key, _)| u64::from_be_bytes(key.try_into().unwrap()));
            assert_eq!(last, applied, "{family:?} and the applied index disagree after a crash");
        }
        next = applied;
        for _ in 0..4_000 {
            next += 1;
            let row = |family| Op::Put {
                family,
                key: next.to_be_bytes().to_vec().into(),
                value: vec![next as u8; 1000].into(),
            };
            let mut batch: Vec<_> = [Family::Log, Family::Cur, Family::Hist, Family::Cnt].map(row).into();
            let value = next.to_be_bytes().to_vec().into();
            batch.push(Op::Put { family: Family::Meta, key: "applied".into(), value });
            engine.write(batch).unwrap();
        }
    }
    assert!(flushed_alone > 0, "no background flush happened, the test shows nothing");
}
