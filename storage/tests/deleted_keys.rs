//! Reads behind deleted keys over RocksDB: what they pass over is counted, not timed.
//!
//! Must fail when a read passes over what was deleted, however fast that is on some machine.

use bytes::Bytes;
use model::request::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, RequestUnion, TxnRequest,
};
use model::{Command, Envelope, KeyRange, Origin};
use raft::{ConfState, Entry, EntryKind, LogId};
use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
use std::sync::Arc;
use storage::apply::{Bootstrap, Committed, CompactionProgress, MemberIds, StateMachine};
use storage::engine::Engine;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::read::{Budget, RangeCursor, count};

/// Rows of the engine that one read, with the count beside it, may pass over: the dead keys of a few blocks, and their history.
const MOST: u64 = 7_000;
/// Seeks, each of which costs as much as some dozen rows.
const SEEKS: u64 = 100;
const KEYS: u32 = 30_000;

struct Store {
    engine: Arc<RocksEngine>,
    machine: StateMachine<RocksEngine>,
    _folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = RocksOptions { cache_bytes: 4 << 20, ..RocksOptions::default() };
        let engine = RocksEngine::open(&folder.path().join("db"), &options).expect("an empty folder opens");
        let engine = Arc::new(engine);
        let first = Bootstrap {
            identity: MemberIds { cluster_id: 7, member_id: 1 },
            applied: LogId::default(),
            conf_state: ConfState::default(),
            members: Vec::new(),
        };
        let machine = StateMachine::bootstrap(engine.clone(), &first).expect("an empty store");
        Self { engine, machine, _folder: folder }
    }

    fn drop_garbage(&mut self) {
        while self.machine.compaction_step(1_000).expect("the step is written") != CompactionProgress::Idle {}
    }

    fn revision(&self) -> i64 {
        self.machine.revision()
    }
}

fn run(store: &mut Store, command: Command) {
    run_all(store, vec![command]);
}

/// Applies entries as one batch.
fn run_all(store: &mut Store, commands: Vec<Command>) {
    let first = store.machine.applied().index + 1;
    let entry = |(index, command): (u64, Command)| {
        let origin = Origin { member: 1, epoch: 2, sequence: index };
        let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
        Committed { entry: Entry { term: 1, index, kind: EntryKind::Normal, data } }
    };
    let entries: Vec<Committed> = (first..).zip(commands).map(entry).collect();
    store.machine.apply(&entries).expect("the entries apply");
}

fn put(key: String) -> PutRequest {
    PutRequest { key: key.into(), value: "v".into(), ..Default::default() }
}

fn fill(store: &mut Store, prefix: &str) {
    for first in (0..KEYS).step_by(100) {
        let puts = (first..first + 100)
            .map(|n| RequestOp { request: Some(RequestUnion::Put(put(format!("{prefix}{n:07}")))) })
            .collect();
        run(store, Command::Txn(TxnRequest { success: puts, ..Default::default() }));
    }
}

fn delete(key: &str, end: &str) -> Command {
    let (key, range_end) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(end.as_bytes()));
    Command::DeleteRange(DeleteRangeRequest { key, range_end, ..Default::default() })
}

/// Keys found, rows passed over, and seeks. Passed over are those stepped to, and those that were deleted or superseded.
fn read(store: &Store, request: &RangeRequest) -> (Vec<Bytes>, u64, u64) {
    let view = store.machine.view();
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut work = PerfContext::default();
    work.reset();
    let mut cursor = RangeCursor::new(&view, request).expect("the revision is there");
    let chunk = cursor.next_chunk(&view, Budget { keys: 10, bytes: 1 << 20 }).expect("the store reads");
    let counted = cursor.count(&view, None).expect("the store reads");
    let metrics = [PerfMetric::InternalKeySkippedCount, PerfMetric::InternalDeleteSkippedCount];
    let passed = metrics.into_iter().map(|metric| work.metric(metric)).sum();
    let seeks = work.metric(PerfMetric::SeekOnMemtableCount);
    set_perf_stats(PerfStatsLevel::Disable);
    assert!(counted >= chunk.kvs.len() as i64);
    (chunk.kvs, passed, seeks)
}

/// The first keys of a prefix, the last ones, and the first ones in the past.
fn check(store: &Store, prefix: &str, found: usize, past: i64, when: &str) {
    let end = format!("{}\x7f", prefix);
    let first = RangeRequest { key: prefix.to_owned().into(), range_end: end.into(), limit: 1, ..Default::default() };
    let last = RangeRequest { sort_order: 2, ..first.clone() };
    let old = RangeRequest { revision: past, ..first.clone() };
    let old_last = RangeRequest { revision: past, ..last.clone() };
    for (what, request) in
        [("first", first), ("last", last), ("first in the past", old), ("last in the past", old_last)]
    {
        let (kvs, passed, seeks) = read(store, &request);
        assert_eq!(kvs.len(), found, "{when}: {what}");
        assert!(passed <= MOST, "{when}: the {what} key costs {passed} rows passed over");
        assert!(seeks <= SEEKS, "{when}: the {what} key costs {seeks} seeks");
    }
}

#[test]
fn a_read_behind_a_deleted_prefix_passes_over_a_block_of_it_at_most() {
    let mut store = Store::new();
    fill(&mut store, "/q/");
    run(&mut store, delete("/q/", "/q0"));
    let past = store.revision();
    run(&mut store, Command::Put(put("other".into())));
    check(&store, "/q/", 0, past, "at once");
    run(&mut store, Command::Compaction(CompactionRequest { revision: past, physical: true }));
    store.drop_garbage();
    check(&store, "/q/", 0, past, "after the compaction");
    store.engine.flush().expect("it flushes");
    check(&store, "/q/", 0, past, "after a flush");
    run(&mut store, Command::Put(put("/q/0015000".into())));
    let past = store.revision();
    run(&mut store, Command::Put(put("other".into())));
    check(&store, "/q/", 1, past, "with one key again");
}

#[test]
fn a_queue_passes_over_no_more_the_longer_it_goes_on() {
    let mut store = Store::new();
    for n in 0..10 {
        run(&mut store, Command::Put(put(format!("queue/{n:07}"))));
    }
    for n in 0..20_000 {
        run(&mut store, Command::Put(put(format!("queue/{:07}", n + 10))));
        run(&mut store, delete(&format!("queue/{n:07}"), ""));
        if n % 2_000 == 1_999 {
            let past = store.revision();
            run(&mut store, Command::Put(put("other".into())));
            check(&store, "queue/", 1, past, &format!("round {n}"));
        }
    }
    assert_eq!(count(&store.machine.view(), &KeyRange::new("queue/".into(), "queue0".into()), 0), Ok(10));
}

/// What the reads of the head and the tail of a queue cost, now and in the past: most rows passed over, and most seeks.
fn cost(store: &Store, past: i64) -> (u64, u64) {
    let first = RangeRequest { key: "queue/".into(), range_end: "queue0".into(), limit: 1, ..Default::default() };
    let mut most = (0, 0);
    for sort_order in [0, 2] {
        for revision in [0, past] {
            let (kvs, passed, seeks) = read(store, &RangeRequest { revision, sort_order, ..first.clone() });
            assert_eq!(kvs.len(), 1);
            most = (most.0.max(passed), most.1.max(seeks));
        }
    }
    most
}

#[test]
fn a_queue_costs_the_same_after_a_hundred_thousand_rounds() {
    const ROUNDS: u32 = 100_000;
    let mut store = Store::new();
    for n in 0..10 {
        run(&mut store, Command::Put(put(format!("queue/{n:07}"))));
    }
    let mut costs = Vec::new();
    for n in 0..ROUNDS {
        let put = Command::Put(put(format!("queue/{:07}", n + 10)));
        run_all(&mut store, vec![put, delete(&format!("queue/{n:07}"), "")]);
        if n % 10_000 == 9_999 {
            let past = store.revision();
            run(&mut store, Command::Put(self::put("other".into())));
            costs.push(cost(&store, past));
            // every third time it is compacted, and once flushed
            if n % 30_000 == 29_999 {
                run(&mut store, Command::Compaction(CompactionRequest { revision: past, physical: true }));
                store.drop_garbage();
                costs.push(cost(&store, past));
            }
            if n == ROUNDS / 2 - 1 {
                store.engine.flush().expect("it flushes");
                costs.push(cost(&store, past));
            }
        }
    }
    println!("rows passed over and seeks, at most: {costs:?}");
    assert!(costs.iter().all(|(passed, seeks)| *passed <= MOST && *seeks <= SEEKS), "{costs:?}");
    // flat: what the last third costs is what the first third cost
    let seeks = |part: &[(u64, u64)]| part.iter().map(|cost| cost.1).max().unwrap_or(0);
    let third = costs.len() / 3;
    assert!(seeks(&costs[2 * third..]) <= seeks(&costs[..third]) + 20, "{costs:?}");
}

#[test]
fn survivors_far_apart_are_found_without_what_lies_between() {
    let mut store = Store::new();
    fill(&mut store, "k/");
    for n in (0..KEYS).step_by(3_000) {
        run(&mut store, delete(&format!("k/{:07}", n + 1), &format!("k/{:07}", n + 3_000)));
    }
    let request = RangeRequest { key: "k/".into(), range_end: "k0".into(), limit: 10, ..Default::default() };
    let (kvs, passed, _) = read(&store, &request);
    assert_eq!(kvs.len(), 10);
    assert!(passed <= 10 * MOST / 4, "ten keys cost {passed} rows passed over");
}
