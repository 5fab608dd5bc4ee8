//! The same reads over RocksDB: its scans and seeks must mean what the deterministic engine's mean.

use super::history::actions;
use super::requests::request;
use super::*;
use crate::engine::rocks::{RocksEngine, RocksOptions};
use crate::read::hash::hash_kv;
use proptest::prelude::*;
use std::time::Instant;

fn open(dir: &std::path::Path) -> RocksEngine {
    RocksEngine::open(dir, &RocksOptions::default()).expect("an empty folder opens")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn rocks_reads_as_the_deterministic_engine(
        history in actions(60),
        requests in prop::collection::vec(request(), 1..12),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::over(open(&folder.path().join("db"))).after(&history);
        for finished in [false, true] {
            if finished {
                store.drop_garbage(None);
            }
            let view = store.view();
            for request in &requests {
                for revision in -1..=view.status.revision + 1 {
                    let request = RangeRequest { revision, ..request.clone() };
                    let expected = store.naive.range(&request);
                    prop_assert_eq!(range(&view, &request), expected.clone(), "{:?}", &request);
                    let Ok(mut cursor) = RangeCursor::new(&view, &request) else { continue };
                    let mut kvs = Vec::new();
                    loop {
                        let chunk = cursor.next_chunk(&view, Budget { keys: 2, bytes: 900 }).expect("the store reads");
                        kvs.extend(chunk.kvs);
                        if chunk.done {
                            break;
                        }
                    }
                    prop_assert_eq!(Ok(kvs), expected.map(|e| e.kvs), "{:?}", &request);
                }
            }
            for revision in view.status.compact_revision.max(1)..=view.status.revision {
                prop_assert_eq!(hash_kv(&view, revision).map(|h| h.hash), Ok(store.naive.hash(revision)));
            }
        }
    }
}

/// Time this thread has been running; the machine may be shared.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

const KEYS: usize = 50_000;
/// How far back reads of the past go: every key has changed since.
const BACK: i64 = 700;

/// Three versions of each key; in the end every second value is small, the others have 1 KiB.
fn large_store(dir: &std::path::Path) -> Store<RocksEngine> {
    use ::model::request::{PutRequest, RequestOp, RequestUnion, TxnRequest};
    let mut store = Store::over(open(dir));
    for len in [200, 200, 1024] {
        for first in (0..KEYS).step_by(100) {
            let puts = (first..first + 100).map(|i| {
                let value = Bytes::from(vec![b'v'; if i % 2 == 0 { 200 } else { len }]);
                let put = PutRequest { key: format!("key/{i:07}").into(), value, ..Default::default() };
                RequestOp { request: Some(RequestUnion::Put(put)) }
            });
            store.run(Command::Txn(TxnRequest { success: puts.collect(), ..Default::default() }));
            store.naive = Naive::new();
        }
    }
    store
}

fn time(what: &str, times: usize, mut f: impl FnMut(usize)) {
    (0..times / 10 + 1).for_each(&mut f);
    let (start, cpu) = (Instant::now(), cpu_ns());
    (0..times).for_each(f);
    let per = |seconds: f64| seconds * 1e6 / times as f64;
    let cpu = per((cpu_ns() - cpu) as f64 / 1e9);
    println!("{what}: {cpu:.2} us of CPU, {:.2} us", per(start.elapsed().as_secs_f64()));
}

fn keys_found<S: Snapshot>(view: &View<S>, request: &RangeRequest) -> usize {
    range(view, request).expect("the store reads").kvs.len()
}

/// Prints what reads cost; run by hand: `cargo test -p conclave-storage --lib read_costs -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn read_costs() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = large_store(&folder.path().join("db"));
    let view = store.view();
    let past = view.status.revision - BACK;
    let one = |i: usize, revision: i64| {
        let key = format!("key/{:07}", i * 7919 % KEYS).into();
        RangeRequest { key, revision, ..Default::default() }
    };
    let all = |limit: i64, revision: i64| {
        let (key, range_end) = ("key/".into(), "key0".into());
        RangeRequest { key, range_end, limit, revision, ..Default::default() }
    };
    let small: Vec<_> = (0..KEYS).step_by(2).map(|i| one(i, 0)).collect();
    let large: Vec<_> = (1..KEYS).step_by(2).map(|i| one(i, 0)).collect();
    time("engine get, inline value", 200_000, |i| {
        let row = view.snapshot.get(crate::engine::Family::Cur, &small[i % small.len()].key);
        assert!(row.expect("the store reads").is_some());
    });
    time("range of one key, inline value", 200_000, |i| assert_eq!(keys_found(&view, &small[i % small.len()]), 1));
    time("range of one key, 1 KiB in log", 200_000, |i| assert_eq!(keys_found(&view, &large[i % large.len()]), 1));
    time("range of one key in the past", 100_000, |i| assert_eq!(keys_found(&view, &one(i, past)), 1));
    time("list of 500 keys", 500, |_| assert_eq!(keys_found(&view, &all(500, 0)), 500));
    let whole = ::model::KeyRange::new("key/".into(), "key0".into());
    time("count of 50,000 keys, past", 3, |_| assert_eq!(count(&view, &whole, past), Ok(KEYS as i64)));
    let mut memo = CountMemo::new(4);
    time("list of 500 keys, past, counted before", 100, |_| {
        let page = range_paged(&view, &all(500, past), &mut memo);
        assert_eq!(page.expect("the store reads").kvs.len(), 500);
    });
    time("measure of 50,000 keys", 10, |_| assert_eq!(measure(&view, &all(0, 0)).map(|m| m.kvs), Ok(KEYS)));
    time("list of 50,000 keys", 5, |_| assert_eq!(keys_found(&view, &all(0, 0)), KEYS));
    time("HashKV of 150,000 versions", 3, |_| assert!(hash_kv(&view, 0).is_ok()));
}
