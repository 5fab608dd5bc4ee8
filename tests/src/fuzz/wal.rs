//! The log's files: whatever they hold, opening refuses or recovers; what it recovered opens again the same, and no entry is ever
//! another than was written.

use bytes::Bytes;
use raft::{Entry, EntryKind, HardState, LogId};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use storage::disk::{Disk, SimDisk};
use storage::wal::{BLOCK, Batch, Recovered, Start, UncheckedWal, Wal, WalConfig, WalError, WalMeta};

const META: WalMeta = WalMeta { cluster: 0xc1, member: 0xa1, log_id: 0x1234_5678_9abc_def0 };
const CONFIG: WalConfig = WalConfig {
    min_segment: 16 << 10,
    max_segment: 24 << 10,
    max_spares: 1,
    max_padding: 1 << 20,
    mark_every: 8 << 10,
};

fn dir() -> &'static Path {
    Path::new("/wal")
}

fn entry(index: u64) -> Entry {
    let data: Bytes = (0..20 + 37 * index % 3000).map(|i| (i * 7 + index) as u8).collect();
    Entry { term: 1 + index / 10, index, kind: EntryKind::Normal, data }
}

/// A log of a few segments, the first of which was released and used again.
fn base() -> &'static [(PathBuf, Vec<u8>)] {
    static BASE: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    BASE.get_or_init(|| {
        let disk = SimDisk::new();
        let mut wal = Wal::create(disk.shared(), dir(), CONFIG, META, Start::default()).expect("a new log");
        for first in (1..40).step_by(3) {
            let entries: Vec<_> = (first..first + 3).map(entry).collect();
            let term = entries[2].term;
            let hard_state = Some(HardState { term, vote: 1, commit: first });
            wal.append(&Batch { entries: &entries, hard_state }).expect("append");
            wal.sync().expect("sync");
            if first == 22 {
                wal.release_to(LogId { term: entry(18).term, index: 18 }).expect("release");
            }
        }
        drop(wal);
        files(&disk)
    })
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(dir()).expect("the folder").into_iter().filter(|name| name != "LOCK");
    let read = |name: String| {
        let path = dir().join(name);
        let file = disk.open(&path).expect("open");
        let mut bytes = vec![0; file.len().expect("length") as usize];
        file.read_exact_at(&mut bytes, 0).expect("read");
        (path, bytes)
    };
    names.map(read).collect()
}

/// First byte: 0 a segment of these bytes alone; 1 edits of a sound log; 2 the same with its checksums made right again.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let (files, sums_fixed) = match shape % 3 {
        0 => (vec![(dir().join("0000000000000001.wal"), rest.to_vec())], true),
        shape => {
            let mut files = base().to_vec();
            edit(&mut files, rest);
            if shape == 2 {
                files.iter_mut().for_each(|(_, bytes)| fix_sums(bytes));
            }
            (files, shape == 2)
        }
    };
    let disk = SimDisk::new();
    disk.create_dir_all(dir()).expect("a folder");
    for (path, bytes) in &files {
        disk.create(path).expect("create").write_all_at(bytes, 0).expect("write");
    }
    let Ok((first, entries)) = open(&disk) else { return };
    if !sums_fixed {
        for found in &entries {
            assert_eq!(*found, entry(found.index), "an entry that nobody wrote");
        }
    }
    let (again, same) = open(&disk).expect("what was recovered opens again");
    assert_eq!(again.cut, None, "cut twice");
    assert_eq!((again, same), (Recovered { cut: None, ..first }, entries));
}

fn open(disk: &SimDisk) -> Result<(Recovered, Vec<Entry>), WalError> {
    let (wal, recovered) = UncheckedWal::open(disk.shared(), dir(), CONFIG)?.recover()?;
    let mut reader = wal.reader();
    let (mut next, end) = (reader.first_index(), reader.last_index() + 1);
    let mut entries = Vec::new();
    while next < end {
        let part = reader.read(next, end, 4_000).expect("what was recovered can be read");
        assert!(!part.is_empty(), "a read gets further");
        next += part.len() as u64;
        entries.extend(part);
    }
    Ok((recovered, entries))
}

/// Edits of five bytes: what and which file, where (three bytes), a value.
fn edit(files: &mut Vec<(PathBuf, Vec<u8>)>, edits: &[u8]) {
    for edit in edits.chunks_exact(5).take(64) {
        let [what, a, b, c, value] = *edit else { return };
        if files.is_empty() {
            return;
        }
        let at_file = usize::from(what >> 4) % files.len();
        let bytes = &mut files[at_file].1;
        let at = u32::from_be_bytes([0, a, b, c]) as usize % bytes.len().max(1);
        match what & 7 {
            0..=2 if at < bytes.len() => bytes[at] ^= value,
            3 => bytes.truncate(at),
            4 => {
                files.remove(at_file);
            }
            5 => {
                let block = BLOCK as usize;
                let (from, to) = (at / block * block, usize::from(value) * block);
                if from + block <= bytes.len() && to + block <= bytes.len() {
                    bytes.copy_within(from..from + block, to);
                }
            }
            6 => bytes.iter_mut().skip(at).take(usize::from(value) * 64).for_each(|byte| *byte = 0),
            7 if at + 8 <= bytes.len() => bytes[at..at + 8].fill(value),
            _ => {}
        }
    }
}

/// Makes the checksums of all batches right, as docs/storage.md describes them.
fn fix_sums(bytes: &mut [u8]) {
    for at in (0..bytes.len()).step_by(BLOCK as usize) {
        if !bytes[at..].starts_with(b"CONCLWAL") || bytes.len() < at + 64 {
            continue;
        }
        let word = |from: usize| u32::from_le_bytes(bytes[at + from..at + from + 4].try_into().expect("four bytes"));
        let end = at + 64 + word(40) as usize;
        if end <= bytes.len() {
            let sum = crc32c::crc32c(&bytes[at + 64..end]);
            bytes[at + 44..at + 48].copy_from_slice(&sum.to_le_bytes());
        }
        let sum = crc32c::crc32c(&bytes[at..at + 60]);
        bytes[at + 60..at + 64].copy_from_slice(&sum.to_le_bytes());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = vec![
        // untouched; a flipped bit in a head, a header, a payload, behind the end
        vec![1],
        vec![1, 0, 0, 0, 70, 1],
        vec![1, 0x10, 0, 0x10, 50, 1],
        vec![1, 0, 0, 0x10, 100, 0x80],
        vec![1, 0x20, 0, 0x58, 0, 4],
        // a cut, a lost file, a block over another, zeros, the same with right sums
        vec![1, 0x23, 0, 0x30, 0, 0],
        vec![1, 4, 0, 0, 0, 0],
        vec![1, 5, 0, 0x10, 0, 2],
        vec![1, 0x26, 0, 0x20, 0, 64],
        vec![2, 0, 0, 0x10, 72, 9],
        vec![2, 0, 0, 0x10, 32, 1, 0x10, 0, 0x10, 64, 2],
        vec![2, 7, 0, 0, 72, 0xff],
    ];
    // the first blocks of a segment as they are
    let (_, segment) = &base()[0];
    out.push([&[0], &segment[..2 * BLOCK as usize]].concat());
    out
}
