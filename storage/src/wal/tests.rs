//! What the log promises while nothing goes wrong, and the errors that operators meet. Helpers for the other test files.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft::{ConfState, Entry, EntryKind, HardState, LogId, SnapshotMeta};

use super::*;
use crate::disk::SimDisk;
use crate::disk::sim::Faults;

pub(super) const DIR: &str = "/member/wal";
pub(super) const META: WalMeta = WalMeta { cluster: 0xc1, member: 0xa1, log_id: 0x1234_5678_9abc_def0 };
pub(super) const SMALL: WalConfig = WalConfig {
    min_segment: 16 << 10,
    max_segment: 64 << 10,
    max_spares: 2,
    max_padding: 256 << 10,
    mark_every: 8 << 10,
};

/// All segments of one size: they are recycled from the first on, and old batches lie exactly where new ones go.
pub(super) const EVEN: WalConfig = WalConfig { min_segment: 24 << 10, max_segment: 24 << 10, ..SMALL };

pub(super) fn dir() -> &'static Path {
    Path::new(DIR)
}

pub(super) fn segment_file(id: u64) -> PathBuf {
    segment::segment_path(dir(), id)
}

/// Data that tells term, index and a salt, of `len` bytes.
pub(super) fn entry(term: u64, index: u64, len: usize) -> Entry {
    let seed = term.wrapping_mul(31).wrapping_add(index);
    let data: Bytes = (0..len).map(|i| (seed as usize).wrapping_add(i * 7) as u8).collect();
    Entry { term, index, kind: EntryKind::Normal, data }
}

pub(super) fn entries(term: u64, range: std::ops::RangeInclusive<u64>, len: usize) -> Vec<Entry> {
    range.map(|index| entry(term, index, len)).collect()
}

pub(super) fn create(disk: &SimDisk) -> Wal {
    Wal::create(disk.shared(), dir(), SMALL, META, Start::default()).unwrap()
}

pub(super) fn open(disk: &SimDisk) -> Result<(Wal, Recovered), WalError> {
    UncheckedWal::open(disk.shared(), dir(), SMALL)?.recover()
}

/// Stage, write, sync.
pub(super) fn commit(wal: &mut Wal, entries: &[Entry], hard_state: Option<HardState>) -> Result<(), WalError> {
    wal.append(&Batch { entries, hard_state })?;
    wal.sync()
}

/// All entries that are not truncated.
pub(super) fn all(wal: &Wal) -> Vec<Entry> {
    let mut reader = wal.reader();
    let (lo, hi) = (reader.first_index(), reader.last_index() + 1);
    if lo < hi { reader.read(lo, hi, usize::MAX).unwrap() } else { Vec::new() }
}

pub(super) fn hard(term: u64, commit: u64) -> HardState {
    HardState { term, vote: 1, commit }
}

pub(super) fn install_at(index: u64, term: u64) -> Install {
    let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    Install { meta: SnapshotMeta { conf_state, index, term }, store: format!("store-{index}") }
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

#[test]
fn what_was_synced_is_there_after_reopening() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=3, 10), Some(hard(1, 2))).unwrap();
    commit(&mut wal, &entries(2, 3..=4, 5000), None).unwrap();
    wal.stage(&Batch { entries: &[], hard_state: Some(hard(2, 3)) }).unwrap();
    assert!(!wal.write().is_ok_and(|wrote| !wrote), "a staged hard state makes a batch when the caller insists");
    wal.sync().unwrap();
    let before = all(&wal);
    drop(wal);
    disk.crash(1);
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.hard_state, hard(2, 3));
    assert_eq!((recovered.truncated, recovered.last), (id(0, 0), id(2, 4)));
    assert_eq!(recovered.terms, [id(1, 1), id(2, 3)]);
    assert_eq!((recovered.meta, recovered.cut, recovered.install), (META, None, None));
    assert_eq!(all(&wal), before);
    let want = [entries(1, 1..=2, 10), entries(2, 3..=4, 5000)].concat();
    assert_eq!(before, want);
}

#[test]
fn a_deferred_hard_state_travels_with_the_next_batch() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=1, 1), Some(hard(1, 0))).unwrap();
    let syncs = disk.sync_count();
    wal.stage(&Batch { entries: &[], hard_state: Some(hard(1, 1)) }).unwrap();
    wal.sync().unwrap();
    assert_eq!(disk.sync_count(), syncs, "staging alone costs nothing");
    commit(&mut wal, &entries(1, 2..=2, 1), None).unwrap();
    assert_eq!(disk.sync_count(), syncs + 1);
    assert!(!wal.write().unwrap(), "nothing is left to write");
    drop(wal);
    disk.crash(2);
    assert_eq!(open(&disk).unwrap().1.hard_state, hard(1, 1));
}

#[test]
fn several_callers_share_one_batch_and_may_overwrite_each_other() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=4, 3), None).unwrap();
    for entries in [entries(2, 3..=6, 3), entries(3, 2..=3, 3)] {
        wal.stage(&Batch { entries: &entries, hard_state: None }).unwrap();
    }
    wal.write().unwrap();
    wal.sync().unwrap();
    let want = [entries(1, 1..=1, 3), entries(3, 2..=3, 3)].concat();
    assert_eq!(all(&wal), want);
    drop(wal);
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(all(&wal), want);
    assert_eq!(recovered.terms, [id(1, 1), id(3, 2)]);
}

#[test]
fn segments_grow_are_released_and_come_back_as_spares() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    for index in 1..=200 {
        if let Some(request) = wal.wants_segment() {
            let prepared = prepare_segment(disk.shared().as_ref(), &request, &mut || {}).unwrap();
            wal.offer_prepared(Some(prepared)).unwrap();
        }
        commit(&mut wal, &[entry(1, index, 3000)], Some(hard(1, index))).unwrap();
        wal.release_to(id(1, index.saturating_sub(10))).unwrap();
    }
    let names = disk.shared().list(dir()).unwrap();
    let live = names.iter().filter(|n| n.ends_with(".wal")).count();
    let spares = names.iter().filter(|n| n.ends_with(".spare"));
    let spare: u64 = spares.map(|n| disk.shared().open(&dir().join(n)).unwrap().len().unwrap()).sum();
    assert!(live <= 3 && spare <= SMALL.spare_bytes(), "{names:?}");
    assert_eq!(disk.shared().open(&disk_newest(&names)).unwrap().len().unwrap(), 64 << 10, "grown to the largest size");
    drop(wal);
    disk.crash(3);
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.truncated, id(1, 189), "released with the batch after the call");
    assert_eq!(all(&wal), entries(1, 190..=200, 3000));
    assert_eq!(recovered.terms, [id(1, 190)]);
}

/// Clients that wait for each other's syncs fill the log with padding: it is released in time, and written again instead of being made anew.
#[test]
fn a_padded_log_asks_for_its_release_and_goes_round() {
    const BATCHES: u64 = 2_000;
    let config = WalConfig { max_padding: 64 << 10, ..SMALL };
    let disk = SimDisk::new();
    let mut wal = Wal::create(disk.shared(), dir(), config, WalMeta::default(), Start::default()).unwrap();
    let (mut made, mut most) = (0, 0);
    for index in 1..=BATCHES {
        commit(&mut wal, &[entry(1, index, 100)], None).unwrap();
        if wal.wants_release() {
            wal.release_to(wal.last()).unwrap();
        }
        if let Some(request) = wal.wants_segment() {
            made += 1;
            assert_eq!(request.size, config.min_segment, "small batches need no larger ones");
            let prepared = prepare_segment(disk.shared().as_ref(), &request, &mut || {}).unwrap();
            wal.offer_prepared(Some(prepared)).unwrap();
        }
        most = most.max(wal.disk_len());
    }
    // three batches and a head fill a segment
    assert!(made < 12, "{made} of {} segments were made anew", BATCHES / 3);
    assert!(most <= 2 * config.max_padding, "{most} bytes");
    // large batches need larger ones, whatever is left of the small ones
    for index in BATCHES + 1..=BATCHES + 60 {
        if let Some(request) = wal.wants_segment() {
            let prepared = prepare_segment(disk.shared().as_ref(), &request, &mut || {}).unwrap();
            wal.offer_prepared(Some(prepared)).unwrap();
        }
        commit(&mut wal, &[entry(1, index, 3_500)], None).unwrap();
    }
    let names = disk.shared().list(dir()).unwrap();
    assert_eq!(disk.shared().open(&disk_newest(&names)).unwrap().len().unwrap(), config.max_segment);
}

fn disk_newest(names: &[String]) -> PathBuf {
    dir().join(names.iter().rfind(|n| n.ends_with(".wal")).unwrap())
}

#[test]
fn nothing_goes_before_the_truncation_itself_is_durable() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=3, 3000), None).unwrap();
    commit(&mut wal, &entries(1, 4..=6, 3000), None).unwrap();
    wal.append(&Batch { entries: &entries(1, 7..=7, 10), hard_state: None }).unwrap();
    wal.release_to(id(1, 6)).unwrap();
    wal.sync().unwrap();
    assert_eq!(all(&wal), [entries(1, 1..=6, 3000), entries(1, 7..=7, 10)].concat());
    drop(wal);
    disk.crash(8);
    let (mut wal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.truncated.index, recovered.last.index), (0, 7));
    wal.release_to(id(1, 6)).unwrap();
    wal.write().unwrap();
    wal.sync().unwrap();
    assert_eq!(all(&wal), entries(1, 7..=7, 10));
}

#[test]
fn a_batch_larger_than_any_segment_gets_one_of_its_own() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &[entry(1, 1, 10)], None).unwrap();
    commit(&mut wal, &[entry(1, 2, 200_000)], None).unwrap();
    commit(&mut wal, &[entry(1, 3, 10)], None).unwrap();
    drop(wal);
    disk.crash(4);
    let (wal, _) = open(&disk).unwrap();
    assert_eq!(all(&wal), [entry(1, 1, 10), entry(1, 2, 200_000), entry(1, 3, 10)]);
}

#[test]
fn an_install_survives_at_every_step() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=5, 100), Some(hard(1, 5))).unwrap();
    wal.stage(&Batch { entries: &[], hard_state: Some(hard(4, 50)) }).unwrap();
    wal.begin_install(&install_at(50, 3)).unwrap();
    drop(wal);
    disk.crash(5);
    let (mut wal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.install, recovered.hard_state), (Some(install_at(50, 3)), hard(4, 50)));
    assert_eq!(recovered.last, id(1, 5), "the old log is in force until the reset");
    wal.finish_install().unwrap();
    commit(&mut wal, &entries(4, 51..=52, 9), None).unwrap();
    drop(wal);
    disk.crash(6);
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.install, recovered.truncated, recovered.last), (None, id(3, 50), id(4, 52)));
    assert_eq!(recovered.hard_state, hard(4, 50));
    assert_eq!(all(&wal), entries(4, 51..=52, 9));
    assert!(matches!(wal.reader().read(5, 6, 1), Err(ReadError::Released { first: 51 })));
}

#[test]
fn a_log_may_start_from_a_restored_store() {
    let disk = SimDisk::new();
    let start = Start { at: id(2, 20), hard_state: hard(2, 20) };
    let mut wal = Wal::create(disk.shared(), dir(), SMALL, META, start).unwrap();
    commit(&mut wal, &entries(2, 21..=22, 9), None).unwrap();
    drop(wal);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.truncated, recovered.last, recovered.terms), (id(2, 20), id(2, 22), vec![id(2, 21)]));
}

#[test]
fn the_reader_follows_overwrites_budgets_and_bounds() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    let mut reader = wal.reader();
    for index in 1..=40 {
        commit(&mut wal, &[entry(1, index, 1000)], None).unwrap();
    }
    commit(&mut wal, &entries(2, 15..=30, 500), None).unwrap();
    commit(&mut wal, &entries(3, 31..=33, 0), None).unwrap();
    let want = [entries(1, 1..=14, 1000), entries(2, 15..=30, 500), entries(3, 31..=33, 0)].concat();
    for lo in 1..=33u64 {
        for hi in lo..=34 {
            let got = reader.read(lo, hi, usize::MAX).unwrap();
            assert_eq!(got, want[lo as usize - 1..hi as usize - 1], "{lo}..{hi}");
        }
        assert_eq!(reader.read(lo, 34, 1).unwrap().len(), 1, "at least one");
    }
    assert_eq!(reader.read(1, 34, 3500).unwrap().len(), 3);
    assert!(matches!(reader.read(1, 35, 1), Err(ReadError::Unavailable { last: 33 })));
    wal.append(&Batch { entries: &entries(3, 34..=34, 1), hard_state: None }).unwrap();
    assert_eq!(reader.last_index(), 33, "written is not durable");
    wal.sync().unwrap();
    assert_eq!(reader.read(34, 35, 1).unwrap(), entries(3, 34..=34, 1));
}

#[test]
fn a_reader_of_a_recycled_segment_is_told_so() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    let mut reader = wal.reader();
    commit(&mut wal, &entries(1, 1..=3, 2000), None).unwrap();
    assert_eq!(reader.read(1, 2, 1).unwrap().len(), 1);
    let stale = wal.reader();
    let view = stale.clone();
    for index in 4..=100 {
        wal.release_to(id(1, index - 2)).unwrap();
        commit(&mut wal, &[entry(1, index, 3000)], None).unwrap();
    }
    assert!(matches!(reader.read(1, 4, 9999), Err(ReadError::Released { first: 99 })));
    assert_eq!(view.first_index(), 99);
}

#[test]
fn the_wrong_owner_is_refused() {
    let disk = SimDisk::new();
    assert!(matches!(open(&disk), Err(WalError::Missing { .. })));
    let wal = create(&disk);
    assert!(matches!(open(&disk), Err(WalError::Locked { .. })));
    drop(wal);
    let again = Wal::create(disk.shared(), dir(), SMALL, META, Start::default());
    assert!(matches!(again, Err(WalError::Exists { .. })));
    let unchecked = UncheckedWal::open(disk.shared(), dir(), SMALL).unwrap();
    assert_eq!(unchecked.meta(), META);
    unchecked.expect(META.cluster, META.member).unwrap();
    assert!(matches!(unchecked.expect(1, META.member), Err(WalError::WrongCluster { found: 0xc1, expected: 1 })));
    assert!(matches!(unchecked.expect(META.cluster, 1), Err(WalError::WrongMember { found: 0xa1, expected: 1 })));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let disk = SimDisk::new();
    drop(create(&disk));
    let file = disk.shared().open(&segment_file(1)).unwrap();
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).unwrap();
    head[8] = 7;
    let crc = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&head, 0).unwrap();
    assert!(matches!(open(&disk), Err(WalError::NewerFormat { found: 7, known: 1 })));
}

#[test]
fn a_full_disk_is_said_and_can_be_waited_out() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=2, 1000), None).unwrap();
    disk.set_faults(Faults { capacity: Some(20 << 10), ..Faults::default() }, 0);
    let batch = entries(1, 3..=3, 9000);
    let error = wal.append(&Batch { entries: &batch, hard_state: None }).unwrap_err();
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert!(disk.shared().list(dir()).unwrap().iter().all(|n| !n.ends_with(".partial")), "half a file is not left");
    disk.set_faults(Faults::default(), 0);
    assert!(wal.write().unwrap(), "what was staged is still staged");
    wal.sync().unwrap();
    assert_eq!(wal.last(), id(1, 3));
    drop(wal);
    disk.crash(7);
    assert_eq!(open(&disk).unwrap().1.last, id(1, 3));
}

#[test]
fn a_disk_without_room_for_a_whole_segment_is_used_to_its_last_block() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    let held = wal.disk_len();
    // room for a few batches of 12 KiB with their heads, and not for one more segment of the usual size
    disk.set_faults(Faults { capacity: Some(held + (30 << 10)), ..Faults::default() }, 0);
    let mut acknowledged = 0;
    let error = loop {
        match commit(&mut wal, &entries(1, acknowledged + 1..=acknowledged + 1, 9_000), None) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "48 KiB do not take 100 entries of 9 kB");
    };
    assert!(matches!(error, WalError::NoSpace { .. }), "{error}");
    assert!(acknowledged >= 2, "only {acknowledged}: the second one needs a segment that does not fit at full size");
    assert!(disk.shared().list(dir()).unwrap().iter().all(|n| !n.ends_with(".partial")), "half a file is not left");
    drop(wal);
    disk.crash(3);
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.last, id(1, acknowledged));
    assert_eq!(all(&wal), entries(1, 1..=acknowledged, 9_000));
}

#[test]
fn a_spare_is_smaller_where_room_is_short() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    let request = wal.wants_segment().unwrap();
    assert_eq!(request.size, 32 << 10);
    disk.set_faults(Faults { capacity: Some(wal.disk_len() + (40 << 10)), ..Faults::default() }, 0);
    let spare = prepare_segment(&disk, &request, &mut || {}).unwrap();
    assert_eq!(disk.shared().open(&spare.path).unwrap().len().unwrap(), 16 << 10, "half of 40 KiB, not all of it");
    wal.offer_prepared(Some(spare)).unwrap();
    for index in 1..=4 {
        commit(&mut wal, &entries(1, index..=index, 4_000), None).unwrap();
    }
    assert_eq!(wal.last(), id(1, 4));
}

#[test]
fn a_failed_write_or_sync_poisons_for_good() {
    for faults in [
        Faults { fail_sync_after: Some(0), ..Faults::default() },
        Faults { fail_write_after: Some(0), ..Faults::default() },
    ] {
        for seed in 0..30 {
            let disk = SimDisk::new();
            let mut wal = create(&disk);
            commit(&mut wal, &entries(1, 1..=2, 1000), Some(hard(1, 1))).unwrap();
            disk.set_faults(faults, seed);
            // Fits into the segment: it is this batch's own write or sync that fails.
            let error = commit(&mut wal, &entries(1, 3..=5, 1500), None).unwrap_err();
            assert!(matches!(error, WalError::Io { .. }), "{error}");
            disk.set_faults(Faults::default(), 0);
            assert!(matches!(wal.write(), Err(WalError::Poisoned)));
            assert!(matches!(wal.sync(), Err(WalError::Poisoned)));
            assert!(matches!(wal.stage(&Batch::default()), Err(WalError::Poisoned)));
            assert!(matches!(wal.release_to(id(1, 1)), Err(WalError::Poisoned)));
            assert!(matches!(wal.begin_install(&install_at(9, 1)), Err(WalError::Poisoned)));
            assert_eq!(all(&wal), entries(1, 1..=2, 1000), "readers see what was durable");
            drop(wal);
            // The process starts again over the same cache, which may show more than the disk has; then the power fails.
            disk.kill_process();
            let (wal, recovered) = open(&disk).unwrap();
            assert!(matches!(recovered.last.index, 2 | 5));
            drop(wal);
            disk.crash(seed);
            let (_, again) = open(&disk).unwrap();
            assert_eq!((again.last, again.cut), (recovered.last, None), "what was reported once is durable");
        }
    }
}
