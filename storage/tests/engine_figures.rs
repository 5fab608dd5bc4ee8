//! Costs of the engine and of the key counts at size. Ignored by default, because figures are read, not asserted:
//! `cargo test -p conclave-storage --test engine_figures -- --ignored --nocapture`.

use bytes::Bytes;
use model::KeyRange;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use storage::count::{Counts, KeyChanges, count_present};
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::engine::sim::SimEngine;
use storage::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use storage::snapshot::{Hash, SnapshotSource, StreamEnd, StreamHeader, restore};

/// A full-period walk over 0..n, so that keys come in no order but each once.
fn created(keys: &[Bytes]) -> KeyChanges<'_> {
    KeyChanges { revision: 1, created: keys, deleted: &[] }
}

fn scattered(n: u64) -> impl Iterator<Item = u64> {
    let step = (n * 5 / 8) | 1;
    assert!(n.is_power_of_two());
    (0..n).map(move |i| i.wrapping_mul(step) & (n - 1))
}

fn key(n: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/{n:012}"))
}

fn put(family: Family, key: Bytes, value: Bytes) -> Op {
    Op::Put { family, key, value }
}

/// Nanoseconds this thread has run: others share the machine.
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds come first")
}

fn timed<T>(what: &str, times: u64, work: impl FnOnce() -> T) -> T {
    let (start, wall) = (ran(), Instant::now());
    let out = work();
    let each = |ns: u64| ns as f64 / times as f64 / 1e3;
    println!("{what:<44} {:>12.2} us CPU {:>12.2} us", each(ran() - start), each(wall.elapsed().as_nanos() as u64));
    out
}

/// Fills a store with `n` keys of `value` bytes, one per batch with everything a put writes, and prints what it took.
fn fill<E: Engine>(engine: &E, n: u64, value: usize) {
    let mut counts = Counts::new(&engine.snapshot()).unwrap();
    let (kv, head) = (Bytes::from(vec![0x5a; value]), Bytes::from(vec![7; 44 + value.min(512)]));
    let mut slowest = Duration::ZERO;
    let row = |at: u64| Bytes::from(at.to_be_bytes().repeat(2));
    let mut batch = vec![];
    let some = 1_000;
    let mut numbers = scattered(n).enumerate();
    let (mut noting, mut writing) = (0, 0);
    for _ in 0..n / some {
        // Noting and writing alternate in reality; here in runs of some, so that reading the clock costs little.
        let start = ran();
        let mut batches = Vec::with_capacity(some as usize);
        for (at, number) in numbers.by_ref().take(some as usize) {
            let (key, at) = (key(number), row(at as u64));
            batch.extend([put(Family::Log, at.clone(), kv.clone()), put(Family::Cur, key.clone(), head.clone())]);
            batch.extend([put(Family::Meta, "applied".into(), at.clone()), put(Family::Meta, "revisions".into(), at)]);
            batches.push((key, std::mem::take(&mut batch)));
        }
        let made = ran();
        for (key, ops) in batches {
            let mut ops = ops;
            let before = engine.snapshot();
            counts.note(&before, created(std::slice::from_ref(&key)), &mut ops).unwrap();
            let wall = Instant::now();
            engine.write(ops).unwrap();
            slowest = slowest.max(wall.elapsed());
        }
        writing += ran() - made;
        noting += made - start;
    }
    for (key, at) in numbers.map(|(at, number)| (key(number), row(at as u64))) {
        let mut ops = vec![put(Family::Log, at, kv.clone()), put(Family::Cur, key.clone(), head.clone())];
        counts.note(&engine.snapshot(), created(&[key]), &mut ops).unwrap();
        engine.write(ops).unwrap();
    }
    println!("{:<44} {:>12.2} us CPU", "rows of a create made", noting as f64 / n as f64 / 1e3);
    println!("{:<44} {:>12.2} us CPU", "snapshot, counts, write of 6 rows", writing as f64 / n as f64 / 1e3);
    println!("{:<44} {:>12.2} ms", "slowest write (wall)", slowest.as_secs_f64() * 1e3);
    assert_eq!(counts.total() as u64, n);
}

fn read<E: Engine>(engine: &E, n: u64) {
    timed("snapshot taken and dropped", 100_000, || {
        for _ in 0..100_000 {
            drop(engine.snapshot());
        }
    });
    let snapshot = engine.snapshot();
    let keys: Vec<_> = scattered(n).take(50_000).map(key).collect();
    let get = |keys: &[Bytes]| keys.iter().for_each(|key| assert!(snapshot.get(Family::Cur, key).unwrap().is_some()));
    get(&keys);
    timed("get", 50_000, || get(&keys));
    timed("get of what is not there", 50_000, || {
        for n in 0..50_000u64 {
            assert!(snapshot.get(Family::Cur, format!("/registry/pods/{n:012}x").as_bytes()).unwrap().is_none());
        }
    });
    let refs: Vec<_> = keys.iter().map(|key| &key[..]).collect();
    timed("multi_get of 100, per key", 50_000, || {
        refs.chunks(100).for_each(|keys| drop(snapshot.multi_get(Family::Cur, keys).unwrap()));
    });
    timed("scan opened, one row", 5_000, || {
        for key in &keys[..5_000] {
            assert!(snapshot.scan(Family::Cur, key, None, Direction::Forward).next().unwrap().is_some());
        }
    });
    timed("scan of cur, per row", n, || {
        let mut scan = snapshot.scan(Family::Cur, &[], None, Direction::Forward);
        while scan.next().unwrap().is_some() {}
    });
    let random: Vec<_> = scattered(n).skip(77).take(200).collect();
    timed("count_present of a random range", 100, || {
        for pair in random.chunks(2) {
            let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let found = count_present(&snapshot, &KeyRange::new(key(low), key(high))).unwrap();
            assert_eq!(found as u64, high - low);
        }
    });
    timed("write of 4 rows", 100_000, || {
        for n in 0..100_000u64 {
            let at = Bytes::from((n << 32).to_be_bytes().repeat(2));
            let row = |family| put(family, at.clone(), at.clone());
            engine.write(vec![row(Family::Log), row(Family::Hist), row(Family::Meta), row(Family::Log)]).unwrap();
        }
    });
    timed("count_present of everything", 100, || {
        for _ in 0..100 {
            let all = KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]));
            assert_eq!(count_present(&snapshot, &all).unwrap() as u64, n);
        }
    });
}

#[test]
#[ignore = "figures, read with --nocapture"]
fn rocksdb_at_size() {
    let n = 1 << 19;
    let folder = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(&folder.path().join("store"), &RocksOptions::default()).unwrap();
    fill(&engine, n, 256);
    println!("{:?}, {} MiB on disk", engine.memory(), engine.disk_bytes() >> 20);
    timed("flush of what was in memory", 1, || engine.flush().unwrap());
    read(&engine, n);
    timed("checkpoint", 1, || engine.checkpoint(&folder.path().join("copy")).unwrap());

    let source = timed("snapshot stream measured", 1, || {
        SnapshotSource::new(engine.snapshot(), &StreamHeader::default()).unwrap()
    });
    println!("stream of {} MiB", source.total_bytes() >> 20);
    let mut bytes = Vec::with_capacity(source.total_bytes() as usize + 32);
    let end = timed("snapshot stream produced", 1, || {
        source.send(|chunk| {
            bytes.extend_from_slice(&chunk);
            ControlFlow::Continue(())
        })
    });
    let Ok(StreamEnd::Whole(hash)) = end else { panic!("the stream ended with {end:?}") };
    bytes.extend_from_slice(&hash);
    let options = RocksOptions::default();
    let into = RocksEngine::open_sharing(&folder.path().join("restored"), &options, engine.memory()).unwrap();
    // The rows of `meta` are not real ones here, which only the last check of a restore notices.
    let refused = timed("snapshot restored", 1, || restore(&bytes[..], &into, Hash::Check));
    assert!(refused.is_err() && into.snapshot().get(Family::Meta, b"applied").unwrap().is_none());
    drop(engine);
    timed("open", 1, || RocksEngine::open(&folder.path().join("store"), &RocksOptions::default()).unwrap());
}

/// Bytes this process had written to disk, and nanoseconds all its threads have run.
fn spent() -> (u64, u64) {
    let io = std::fs::read_to_string("/proc/self/io").expect("Linux");
    let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).expect("a figure");
    let run = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    (bytes, std::fs::read_dir("/proc/self/task").expect("Linux").filter_map(run).sum())
}

#[test]
#[ignore = "figures, read with --nocapture"]
fn updates_of_one_kilobyte() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RocksEngine::open(&folder.path().join("store"), &RocksOptions::default()).unwrap();
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state ^ (state >> 29)).to_be_bytes()
    };
    let n = 400_000u64;
    let mut most = 0;
    let (bytes, cpu) = spent();
    for at in 0..n {
        let key = key(u64::from_be_bytes(noise()) % 100_000);
        let at = Bytes::from((at << 20).to_be_bytes().repeat(2));
        let value: Vec<u8> = (0..128).flat_map(|_| noise()).collect();
        let old = Bytes::from([&key[..], &[0, 1], &at[..]].concat());
        let mut ops = vec![put(Family::Log, at.clone(), value.into()), put(Family::Cur, key, at.repeat(3).into())];
        ops.extend([put(Family::Hist, old, at.clone()), put(Family::Meta, "applied".into(), at)]);
        engine.write(ops).unwrap();
        most = most.max(engine.memory().write_buffer_usage());
    }
    println!("write buffers held at most {} KiB", most >> 10);
    engine.flush().unwrap();
    let (bytes, cpu) = (spent().0 - bytes, spent().1 - cpu);
    println!(
        "per update of 1 KiB: {} bytes written, {:.1} us CPU of all threads",
        bytes / n,
        cpu as f64 / n as f64 / 1e3
    );
    println!("{} MiB on disk for {} MiB of values", engine.disk_bytes() >> 20, n >> 10);
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).for_each(|l| println!("{l}"));
    println!("{:?}", engine.memory());
}

/// Counts with blocks and groups of their real sizes, which the unit tests make small.
#[test]
fn counts_hold_at_their_real_sizes() {
    let engine = SimEngine::new();
    let mut counts = Counts::new(&engine.snapshot()).unwrap();
    let mut living = BTreeSet::new();
    let name = |n: u64| Bytes::copy_from_slice(&n.to_be_bytes());
    let mut batch = |create: &[Bytes], delete: &[Bytes]| {
        let created = create.iter().filter(|key| living.insert(Bytes::clone(key))).cloned().collect::<Vec<_>>();
        let deleted = delete.iter().filter(|key| living.remove(*key)).cloned().collect::<Vec<_>>();
        let mut ops: Vec<_> = created.iter().map(|key| put(Family::Cur, key.clone(), Bytes::new())).collect();
        ops.extend(deleted.iter().map(|key| Op::Delete { family: Family::Cur, key: key.clone() }));
        let changes = KeyChanges { revision: 1, created: &created, deleted: &deleted };
        counts.note(&engine.snapshot(), changes, &mut ops).unwrap();
        engine.write(ops).unwrap();
        living.len() as i64
    };
    let numbers: Vec<_> = (0..300_000).chain(scattered(1 << 17).map(|n| n * 3 + 1_000_000)).collect();
    for some in numbers.chunks(1_000) {
        let keys: Vec<_> = some.iter().map(|n| name(*n)).collect();
        batch(&keys, &[]);
    }
    let gone: Vec<_> = (100_000..250_000).map(name).collect();
    let left = gone.chunks(5_000).fold(0, |_, some| batch(&[], some));
    let snapshot = engine.snapshot();
    let count = |low: u64, high: u64| count_present(&snapshot, &KeyRange::new(name(low), name(high))).unwrap();
    assert_eq!(count(0, u64::MAX), left);
    assert_eq!(count(99_000, 251_000), 2_000);
    assert_eq!(count(100_000, 250_000), 0);
    assert_eq!(count(17, 290_001), 139_984);
    assert_eq!(count(1_000_000, 1_300_000), 100_000);
    assert_eq!(counts.total(), left);
}
