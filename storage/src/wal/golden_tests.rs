//! The bytes of format version 1, as committed under `tests/golden/wal-v1`: every later program reads them, and this one still writes them.
//!
//! The files are made by `write_golden_files` (ignored, run by hand for a new version only).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft::{Entry, EntryKind, HardState, LogId};

use super::tests::{META, install_at};
use super::*;
use crate::disk::{Disk, OsDisk, SimDisk};

const TINY: WalConfig = WalConfig {
    min_segment: 16 << 10,
    max_segment: 16 << 10,
    max_spares: 0,
    max_padding: 1 << 20,
    mark_every: 8 << 10,
};

fn golden() -> PathBuf {
    // Asked when it runs: a build folder shared by two clones keeps the binary of the other one.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("../tests/golden/wal-v1")
}

fn entry(term: u64, index: u64, kind: EntryKind, data: &'static [u8]) -> Entry {
    Entry { term, index, kind, data: Bytes::from_static(data) }
}

/// A log with every kind of record, two segments long.
fn write_log(disk: &SimDisk) {
    let start = Start { at: LogId { term: 1, index: 10 }, hard_state: HardState { term: 1, vote: 0, commit: 10 } };
    let mut wal = Wal::create(disk.shared(), Path::new("/wal"), TINY, META, start).unwrap();
    let mut put = |entries: &[Entry], hard_state| {
        wal.append(&Batch { entries, hard_state }).unwrap();
        wal.sync().unwrap();
    };
    let first = [entry(2, 11, EntryKind::Normal, b""), entry(2, 12, EntryKind::Normal, b"first")];
    put(&first, Some(HardState { term: 2, vote: 0xa1, commit: 10 }));
    put(&[entry(3, 12, EntryKind::ConfChange, b"\x08\x01"), entry(3, 13, EntryKind::ConfChangeV2, b"\x08\x02")], None);
    wal.release_to(LogId { term: 2, index: 11 }).unwrap();
    wal.stage(&Batch { entries: &[], hard_state: Some(HardState { term: 3, vote: 0xa1, commit: 13 }) }).unwrap();
    wal.begin_install(&install_at(40, 3)).unwrap();
    wal.append(&Batch { entries: &[entry(4, 14, EntryKind::Normal, b"in the second segment")], hard_state: None })
        .unwrap();
    wal.sync().unwrap();
}

fn check(recovered: &Recovered, wal: &Wal) {
    assert_eq!(recovered.meta, META);
    assert_eq!(recovered.hard_state, HardState { term: 3, vote: 0xa1, commit: 13 });
    assert_eq!(recovered.truncated, LogId { term: 2, index: 11 });
    assert_eq!(recovered.last, LogId { term: 4, index: 14 });
    assert_eq!(recovered.terms, [LogId { term: 3, index: 12 }, LogId { term: 4, index: 14 }]);
    assert_eq!((&recovered.install, &recovered.cut), (&Some(install_at(40, 3)), &None));
    let want = [
        entry(3, 12, EntryKind::ConfChange, b"\x08\x01"),
        entry(3, 13, EntryKind::ConfChangeV2, b"\x08\x02"),
        entry(4, 14, EntryKind::Normal, b"in the second segment"),
    ];
    assert_eq!(wal.reader().read(12, 15, usize::MAX).unwrap(), want);
}

fn files(disk: &dyn Disk, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = disk.list(dir).unwrap().into_iter().filter(|name| name.ends_with(".wal"));
    names
        .map(|name| {
            let file = disk.open(&dir.join(&name)).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            (name, bytes)
        })
        .collect()
}

#[test]
fn the_committed_bytes_are_read() {
    let copy = tempfile::tempdir().unwrap();
    for name in ["0000000000000001.wal", "0000000000000002.wal"] {
        std::fs::copy(golden().join(name), copy.path().join(name)).unwrap();
    }
    let unchecked = UncheckedWal::open(OsDisk::shared(), copy.path(), TINY).unwrap();
    let (wal, recovered) = unchecked.recover().unwrap();
    check(&recovered, &wal);
}

#[test]
fn the_same_bytes_are_written_today() {
    let disk = SimDisk::new();
    write_log(&disk);
    let written = files(&disk, Path::new("/wal"));
    assert_eq!(written.len(), 2);
    for (name, bytes) in written {
        let committed = std::fs::read(golden().join(&name)).unwrap();
        let differs = bytes.iter().zip(&committed).position(|(a, b)| a != b);
        assert_eq!((bytes.len(), differs), (committed.len(), None), "{name}");
    }
}

#[test]
#[ignore = "makes the committed files; by hand, for a new format version only"]
fn write_golden_files() {
    let disk = SimDisk::new();
    write_log(&disk);
    std::fs::create_dir_all(golden()).unwrap();
    for (name, bytes) in files(&disk, Path::new("/wal")) {
        std::fs::write(golden().join(name), bytes).unwrap();
    }
}
