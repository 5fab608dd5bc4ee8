//! The real disk: a reader beside a writer, and the cost of a batch (ignored, printed by hand).

use std::time::{Duration, Instant};

use raft::LogId;

use super::tests::*;
use super::*;
use crate::disk::OsDisk;

/// A reader on another thread sees a growing, consistent log while segments come and go.
#[test]
fn a_reader_runs_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let disk = OsDisk::shared();
    let mut wal = Wal::create(disk.clone(), folder.path(), SMALL, META, Start::default()).unwrap();
    let mut reader = wal.reader();
    let reading = std::thread::spawn(move || {
        let (mut seen, mut released) = (0u64, 0u64);
        while seen < 600 {
            let (lo, hi) = (reader.first_index(), reader.last_index() + 1);
            match reader.read(lo, hi, 40_000) {
                Ok(got) => {
                    for (at, found) in got.iter().enumerate() {
                        assert_eq!(*found, entry(1, lo + at as u64, 700), "entry {}", lo + at as u64);
                    }
                    seen = seen.max(lo + got.len() as u64 - 1);
                }
                Err(ReadError::Released { .. } | ReadError::Unavailable { .. }) => released += 1,
                Err(error) => panic!("{error}"),
            }
        }
        released
    });
    for index in 1..=600u64 {
        if let Some(request) = wal.wants_segment() {
            wal.offer_prepared(Some(prepare_segment(disk.as_ref(), &request, &mut || {}).unwrap())).unwrap();
        }
        commit(&mut wal, &[entry(1, index, 700)], None).unwrap();
        if index < 590 {
            wal.release_to(LogId { term: 1, index: index.saturating_sub(20) }).unwrap();
        }
    }
    reading.join().unwrap();
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{name}: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
}

/// Run with `cargo test -p conclave-storage --lib batch_latency -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn batch_latency() {
    let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let config = WalConfig { min_segment: 64 << 20, ..WalConfig::default() };
    let disk = OsDisk::shared();
    let mut index = 0;
    for (name, count, len, rounds) in
        [("1 x 300 B", 1, 300, 2000), ("100 x 300 B", 100, 300, 1000), ("1 x 64 KiB", 1, 65_000, 500)]
    {
        let dir = folder.path().join(name);
        let start = Start { at: LogId { term: 1, index }, ..Start::default() };
        let mut wal = Wal::create(disk.clone(), &dir, config, META, start).unwrap();
        let (mut stage, mut write, mut sync, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let entries = entries(1, index + 1..=index + count, len);
            index += count;
            let t0 = Instant::now();
            wal.stage(&Batch { entries: &entries, hard_state: None }).unwrap();
            let t1 = Instant::now();
            wal.write().unwrap();
            let t2 = Instant::now();
            wal.sync().unwrap();
            let t3 = Instant::now();
            stage.push(t1 - t0);
            write.push(t2 - t1);
            sync.push(t3 - t2);
            whole.push(t3 - t0);
        }
        report(&format!("{name} stage"), stage);
        report(&format!("{name} write"), write);
        report(&format!("{name} sync"), sync);
        report(&format!("{name} in all"), whole);
        drop(wal);
        let t = Instant::now();
        let (_, recovered) = UncheckedWal::open(disk.clone(), &dir, config).unwrap().recover().unwrap();
        println!("{name} open: {:?} for {} entries", t.elapsed(), recovered.last.index - recovered.truncated.index);
    }
}
