//! What a put costs on top of the engine: run with `--ignored --nocapture`, read the figures.
//!
//! Must never fail on a slow machine: it prints, it does not judge.

use super::*;
use crate::engine::rocks::{RocksEngine, RocksOptions};
use crate::engine::{EngineError, Load, Op, Step};
use crate::schema::Head;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An engine that keeps nothing: every key lives already, with the same row.
#[derive(Clone)]
struct Hollow {
    inner: SimEngine,
    cur: Bytes,
}

struct HollowEngine {
    rows: Hollow,
    batches: AtomicUsize,
}

/// Time this thread was on a processor: others' load does not count.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Engine for HollowEngine {
    type Snapshot = Hollow;

    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        drop(batch);
        Ok(())
    }

    fn snapshot(&self) -> Hollow {
        self.rows.clone()
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn get_persisted(&self, _key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(None)
    }

    fn checkpoint(&self, _dir: &Path) -> Result<(), EngineError> {
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }

    fn load(&self) -> Result<Box<dyn Load>, EngineError> {
        self.rows.inner.load()
    }

    fn closed(&self) -> Box<dyn Fn() -> bool + Send> {
        self.rows.inner.closed()
    }

    fn compact_files(&self, _: &dyn Fn() -> bool) -> Result<(), EngineError> {
        Ok(())
    }
}

struct Nothing;

impl Scan for Nothing {
    fn step(&mut self) -> Result<Step, EngineError> {
        Ok(Step::End)
    }

    fn row(&self) -> (&[u8], &[u8]) {
        unreachable!("there are no rows")
    }

    fn seek(&mut self, _key: &[u8]) {}
}

impl Snapshot for Hollow {
    type Scan<'a> = Nothing;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if family == Family::Cur { Ok(Some(self.cur.clone())) } else { self.inner.snapshot().get(family, key) }
    }

    fn multi_get(&self, _family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        Ok(vec![Some(self.cur.clone()); keys.len()])
    }

    fn scan(&self, _: Family, _: &[u8], _: Option<&[u8]>, _: Direction) -> Nothing {
        Nothing
    }
}

fn measure(name: &str, group: usize, command: impl Fn(u64) -> Command) {
    let inner = SimEngine::new();
    crate::apply::bootstrap(&inner, &first()).unwrap();
    let kv = KeyValue { key: "k".into(), create_revision: 2, mod_revision: 2, version: 3, ..Default::default() };
    let kv = kv.encode_to_vec();
    let modified = ::model::Revision::new(2, 0);
    let head = Head { create: 2, modified, version: 3, lease: 0, len: kv.len() as u32 };
    let rows = Hollow { inner, cur: head.encode(&kv) };
    let engine = Arc::new(HollowEngine { rows, batches: AtomicUsize::new(0) });
    let mut applier = StateMachine::open(engine.clone()).unwrap();
    let entries: Vec<_> = (1..=200_000u64).map(|n| entry(n, 1, command(n))).collect();
    let start = cpu_nanos();
    for group in entries.chunks(group) {
        std::hint::black_box(applier.apply(group).unwrap());
    }
    let each = (cpu_nanos() - start) as f64 / 1e3 / entries.len() as f64;
    println!("{name:>32}: {each:.2} µs of CPU per entry, {} batches", engine.batches.load(Ordering::Relaxed));
}

/// On RocksDB, engine included: creates, then updates of the same keys.
fn measure_rocks(group: usize, command: impl Fn(u64) -> Command) {
    let folder = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
    let mut applier = StateMachine::bootstrap(Arc::new(engine), &first()).unwrap();
    for (name, from) in [("create", 1), ("update", 100_001)] {
        let entries: Vec<_> = (from..from + 100_000u64).map(|n| entry(n, 1, command(n))).collect();
        let start = cpu_nanos();
        for group in entries.chunks(group) {
            std::hint::black_box(applier.apply(group).unwrap());
        }
        let each = (cpu_nanos() - start) as f64 / 1e3 / entries.len() as f64;
        println!("{name:>14} on RocksDB, {group} per batch: {each:.2} µs of CPU per entry");
    }
}

#[test]
#[ignore = "prints figures"]
fn cost_per_put() {
    let value = Bytes::from(vec![b'v'; 256]);
    let request = |n: u64| PutRequest {
        key: format!("/registry/pods/default/pod-{:06}", n % 100_000).into(),
        value: value.clone(),
        ..Default::default()
    };
    for group in [1, 8, 64, 512] {
        measure(&format!("update, {group} per batch"), group, |n| Command::Put(request(n)));
        measure(&format!("kubernetes txn, {group} per batch"), group, |n| {
            let put = request(n);
            let guard = Compare {
                target: CompareTarget::Mod as i32,
                key: put.key.clone(),
                target_union: Some(TargetUnion::ModRevision(2)),
                ..Default::default()
            };
            let range = RangeRequest { key: put.key.clone(), ..Default::default() };
            Command::Txn(txn(vec![guard], vec![RequestUnion::Put(put)], vec![RequestUnion::Range(range)]))
        });
    }
    for group in [1, 64] {
        measure_rocks(group, |n| Command::Put(request(n)));
    }
}
