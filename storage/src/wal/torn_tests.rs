//! The torn-tail rule, exhaustively: every subset of sectors of the last batch, over zeros, recycled bytes and an earlier attempt; and
//! every kind of damage to what had been durable.

use std::path::PathBuf;

use raft::{Entry, LogId};

use super::format::Header;
use super::tests::*;
use super::*;
use crate::disk::SimDisk;
use crate::disk::sim::{Fate, Faults};

fn open_even(disk: &SimDisk) -> Result<(Wal, Recovered), WalError> {
    UncheckedWal::open(disk.shared(), dir(), EVEN)?.recover()
}

/// A log whose newest segment holds one batch of one block behind its head; the rest of the file is zeros, or batches of the same
/// sizes from an earlier use. Returns the last index and the newest segment.
fn prepared(recycled: bool) -> (SimDisk, Wal, u64, PathBuf) {
    let disk = SimDisk::new();
    let mut wal = Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).unwrap();
    let mut last = 0;
    let uses = if recycled { 3 } else { 1 };
    for segment in 1..=uses {
        // One block, then batches of two blocks as long as there is room: the next one begins a segment.
        for len in [100, 5000, 5000].into_iter().take(if segment == uses { 1 } else { 3 }) {
            last += 1;
            wal.release_to(LogId { term: 1, index: last - 1 }).unwrap();
            commit(&mut wal, &[entry(1, last, len)], None).unwrap();
        }
    }
    let newest = segment_file(uses);
    let mut behind = vec![0; 4096];
    disk.shared().open(&newest).unwrap().read_exact_at(&mut behind, 8192).unwrap();
    assert_eq!(behind.iter().any(|b| *b != 0), recycled, "the space behind is as wanted");
    (disk, wal, last, newest)
}

fn write_only(wal: &mut Wal, entries: &[Entry]) {
    wal.append(&Batch { entries, hard_state: None }).unwrap();
}

/// The machine loses power with exactly the sectors in `kept`, a bit set over the unsynced ones, on the disk.
fn lose_power(disk: &SimDisk, kept: u32) {
    let mut bit = 0;
    disk.crash_with(|_, _| {
        bit += 1;
        if kept & 1 << (bit - 1) != 0 { Fate::Kept } else { Fate::Lost }
    });
}

fn every_subset(recycled: bool) {
    let (disk, mut wal, last, newest) = prepared(recycled);
    let next = last + 1;
    write_only(&mut wal, &[entry(1, next, 5000)]);
    let sectors = disk.unsynced().len();
    assert!((10..=16).contains(&sectors), "{sectors} unsynced sectors");
    let mut whole = 0;
    for kept in 0..1u32 << sectors {
        let disk = disk.fork();
        lose_power(&disk, kept);
        let (mut wal, recovered) = open_even(&disk).unwrap_or_else(|e| panic!("subset {kept:b}: {e}"));
        let got = recovered.last.index;
        assert!(got == last || got == next, "subset {kept:b}");
        whole += u32::from(got == next);
        if kept + 1 == 1 << sectors {
            assert_eq!(got, next, "all of it is there");
        }
        if !recycled {
            assert_eq!(recovered.cut.is_some(), got == last && kept != 0, "subset {kept:b}");
        }
        if let Some(cut) = recovered.cut {
            assert_eq!((cut.file, cut.offset), (newest.clone(), 8192));
        }
        assert_eq!(all(&wal).last(), Some(&entry(1, got, if got == next { 5000 } else { 100 })));
        assert!(disk.unsynced().is_empty(), "the cut is durable before anything is written");
        // Life goes on over the remnants, with a smaller batch and a larger one.
        if kept % 61 == 3 {
            commit(&mut wal, &[entry(2, got + 1, 10)], None).unwrap();
            commit(&mut wal, &[entry(2, got + 2, 3000)], None).unwrap();
            drop(wal);
            disk.crash(u64::from(kept));
            let (_, after) = open_even(&disk).unwrap();
            assert_eq!((after.last, after.cut), (LogId { term: 2, index: got + 2 }, None), "subset {kept:b}");
        }
    }
    // Padding may be lost; every sector that carries a byte of the batch matters.
    assert!(whole.is_power_of_two() && whole <= 1 << (16 - 10), "{whole} subsets count as whole");
}

#[test]
fn every_subset_of_sectors_over_zeros() {
    every_subset(false);
}

#[test]
fn every_subset_of_sectors_over_recycled_bytes() {
    every_subset(true);
}

/// Two attempts at the same batch, each torn: no mixture of both, or with recycled bytes, is ever taken for a batch or for corruption.
#[test]
fn a_second_torn_attempt_over_the_remnants_of_the_first() {
    for recycled in [false, true] {
        let (disk, mut wal, last, _) = prepared(recycled);
        write_only(&mut wal, &[entry(1, last + 1, 5000)]);
        let sectors = disk.unsynced().len();
        let full = (1u32 << sectors) - 1;
        // Losing any one sector that matters; keeping any one; halves.
        let firsts =
            (0..10).map(|s| full & !(1 << s)).chain((0..10).map(|s| 1 << s)).chain([0x155, 0x2aa, 0x3e0, 0x01f]);
        for first in firsts {
            let disk = disk.fork();
            lose_power(&disk, first);
            let (mut wal, recovered) = open_even(&disk).unwrap();
            assert_eq!(recovered.last.index, last);
            write_only(&mut wal, &[entry(2, last + 1, 2500)]);
            let sectors = disk.unsynced().len();
            for second in 0..1u32 << sectors {
                let disk = disk.fork();
                lose_power(&disk, second);
                let (wal, recovered) = open_even(&disk).unwrap_or_else(|e| panic!("{first:b} then {second:b}: {e}"));
                let want = if recovered.last.index == last { entry(1, last, 100) } else { entry(2, last + 1, 2500) };
                assert_eq!(all(&wal).last(), Some(&want), "{first:b} then {second:b}");
            }
        }
    }
}

/// A value that holds a copy of real batches of the same log (say, a backup of the WAL folder), torn so that its blocks look like headers.
#[test]
fn a_value_full_of_old_headers_is_no_proof() {
    let (disk, mut wal, last, newest) = prepared(false);
    let mut copy = vec![0; 8192];
    disk.shared().open(&newest).unwrap().read_exact_at(&mut copy, 0).unwrap();
    // Bring the copied blocks onto block boundaries inside the new batch.
    let mut data = vec![0xaa; 4096 - 64 - 8 - 17];
    data.extend_from_slice(&copy);
    let value = Entry { data: data.into(), ..entry(1, last + 1, 0) };
    write_only(&mut wal, std::slice::from_ref(&value));
    let header_sector = 8192 / 512;
    disk.crash_with(|_, sector| if sector == header_sector { Fate::Lost } else { Fate::Kept });
    let (_, recovered) = open_even(&disk).unwrap();
    assert_eq!(recovered.last.index, last);
    assert_eq!(recovered.cut.map(|cut| cut.offset), Some(8192));
}

#[test]
fn only_a_header_of_this_log_and_segment_is_proof() {
    let (disk, wal, last, newest) = prepared(false);
    drop(wal);
    disk.kill_process();
    let header = Header { log_id: META.log_id, segment: 1, number: 99, ..Header::default() };
    let strangers = [Header { log_id: 5, ..header }, Header { segment: 7, ..header }, Header { number: 3, ..header }];
    for (found, proof) in strangers.into_iter().map(|h| (h, false)).chain([(header, true)]) {
        let disk = disk.fork();
        let mut bytes = [0; 64];
        found.encode(&mut bytes);
        disk.shared().open(&newest).unwrap().write_all_at(&bytes, 16 << 10).unwrap();
        let opened = open_even(&disk);
        if proof {
            assert_eq!(corrupt_at(opened), (newest.clone(), 8192));
        } else {
            assert_eq!(opened.unwrap().1.last.index, last, "{found:?}");
        }
    }
}

#[test]
fn a_stranger_at_the_very_place_of_the_next_batch_is_not_taken_for_it() {
    let (disk, wal, last, newest) = prepared(false);
    drop(wal);
    disk.kill_process();
    // The head is batch 1 and the entry batch 2, so 3 is next; an empty payload has checksum zero.
    let next = Header { log_id: META.log_id, segment: 1, number: 3, ..Header::default() };
    for (found, taken) in [(Header { segment: 7, ..next }, false), (Header { log_id: 5, ..next }, false), (next, true)]
    {
        let disk = disk.fork();
        let mut bytes = [0; 64];
        found.encode(&mut bytes);
        disk.shared().open(&newest).unwrap().write_all_at(&bytes, 8192).unwrap();
        let (_, recovered) = open_even(&disk).unwrap();
        assert_eq!((recovered.last.index, recovered.cut.is_none()), (last, taken), "{found:?}");
    }
}

/// A log of three segments, the newest with three batches.
fn three_segments() -> (SimDisk, u64) {
    let disk = SimDisk::new();
    let mut wal = Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).unwrap();
    for index in 1..=13 {
        commit(&mut wal, &[entry(1, index, 3000)], Some(hard(1, index))).unwrap();
    }
    (disk, 13)
}

fn corrupt_at(result: Result<(Wal, Recovered), WalError>) -> (PathBuf, u64) {
    match result {
        Err(WalError::Corrupt { file, offset, .. }) => (file, offset),
        Err(error) => panic!("another error: {error}"),
        Ok((_, recovered)) => panic!("opened: {recovered:?}"),
    }
}

#[test]
fn damage_to_what_was_durable_is_corruption_with_its_place() {
    let (disk, _) = three_segments();
    // Each block of each segment: header, payload, and the last byte of the payload.
    for id in 1..=3u64 {
        let batches = if id == 3 { 3 } else { 5 };
        for block in 0..=batches {
            for byte in [0u64, 20, 33, 61, 70, 3000] {
                let disk = disk.fork();
                disk.kill_process();
                if block == 0 && byte == 3000 {
                    continue;
                }
                disk.flip_bit(&segment_file(id), block * 4096 + byte, 3);
                let result = open_even(&disk);
                if id == 3 && block == batches {
                    // The last batch of all: nothing proves that it had been acknowledged.
                    let (_, recovered) = result.unwrap();
                    assert_eq!(recovered.last.index, 12);
                    assert!(recovered.cut.is_some());
                } else {
                    assert_eq!(corrupt_at(result), (segment_file(id), block * 4096), "byte {byte}");
                }
            }
        }
    }
}

#[test]
fn a_later_header_is_proof_even_when_its_payload_is_damaged() {
    let (disk, _) = three_segments();
    disk.kill_process();
    disk.flip_bit(&segment_file(3), 2 * 4096 + 100, 0);
    disk.flip_bit(&segment_file(3), 3 * 4096 + 100, 0);
    assert_eq!(corrupt_at(open_even(&disk)), (segment_file(3), 2 * 4096));
}

#[test]
fn a_lost_write_in_the_middle_is_corruption() {
    let (disk, _) = three_segments();
    disk.kill_process();
    let file = disk.shared().open(&segment_file(3)).unwrap();
    file.fill_zero(2 * 4096, 3 * 4096).unwrap();
    assert_eq!(corrupt_at(open_even(&disk)), (segment_file(3), 2 * 4096));
}

#[test]
fn a_lost_segment_is_corruption_and_a_released_one_that_came_back_is_not() {
    for id in 1..=2 {
        let (disk, _) = three_segments();
        disk.kill_process();
        disk.shared().remove(&segment_file(id)).unwrap();
        assert_eq!(corrupt_at(open_even(&disk)).0, segment_file(id + 1), "segment {id} is missing");
    }
    let (disk, last) = three_segments();
    disk.kill_process();
    let backup = disk.fork();
    let (mut wal, _) = open_even(&disk).unwrap();
    wal.release_to(LogId { term: 1, index: last }).unwrap();
    commit(&mut wal, &[entry(1, last + 1, 10)], None).unwrap();
    drop(wal);
    assert_eq!(disk.shared().list(dir()).unwrap().iter().filter(|n| n.ends_with(".wal")).count(), 1);
    // The first one's rename is undone by a crash, the second one's is not.
    let mut old = vec![0; 24 << 10];
    backup.shared().open(&segment_file(1)).unwrap().read_exact_at(&mut old, 0).unwrap();
    disk.shared().create(&segment_file(1)).unwrap().write_all_at(&old, 0).unwrap();
    let (wal, recovered) = open_even(&disk).unwrap();
    assert_eq!(recovered.last.index, last + 1);
    assert_eq!(all(&wal), [entry(1, last + 1, 10)]);
    assert!(!disk.shared().list(dir()).unwrap().contains(&"0000000000000001.wal".to_owned()));
}

#[test]
fn a_segment_of_another_history_is_corruption() {
    let (disk, other) = (SimDisk::new(), SimDisk::new());
    for (disk, vote) in [(&disk, 1), (&other, 2)] {
        let mut wal = Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).unwrap();
        for index in 1..=13 {
            let hard_state = raft::HardState { vote, ..hard(1, index) };
            commit(&mut wal, &[entry(1, index, 3000)], Some(hard_state)).unwrap();
        }
    }
    let mut bytes = vec![0; 24 << 10];
    other.shared().open(&segment_file(3)).unwrap().read_exact_at(&mut bytes, 0).unwrap();
    disk.shared().open(&segment_file(3)).unwrap().write_all_at(&bytes, 0).unwrap();
    assert_eq!(corrupt_at(open_even(&disk)), (segment_file(3), 0));
}

#[test]
fn a_batch_in_the_cache_alone_is_made_durable_by_opening() {
    let (disk, mut wal, last, _) = prepared(false);
    write_only(&mut wal, &[entry(1, last + 1, 5000)]);
    drop(wal);
    disk.kill_process();
    let (wal, recovered) = open_even(&disk).unwrap();
    assert_eq!(recovered.last.index, last + 1, "the cache survives the process");
    drop(wal);
    lose_power(&disk, 0);
    assert_eq!(open_even(&disk).unwrap().1.last.index, last + 1, "it was reported, so it must stay");
    disk.set_faults(Faults { fail_sync_after: Some(0), ..Faults::default() }, 1);
    assert!(matches!(open_even(&disk), Err(WalError::Io { op: "sync", .. })), "not durable, not reported");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Whatever rots: either the log is refused, or all of it is right but for the last batches, of which each lost its own header:
    /// one whole header behind a damaged batch is proof, so n flipped bits can hide n batches at most.
    #[test]
    fn rotten_bits_are_refused_or_cost_the_batches_at_the_end(
        flips in proptest::collection::vec((1u64..4, 0u64..(24 << 10), 0u8..8), 1..4)
    ) {
        let (disk, last) = three_segments();
        disk.kill_process();
        let flipped = flips.len() as u64;
        for (segment, offset, bit) in flips {
            disk.flip_bit(&segment_file(segment), offset, bit);
        }
        match open_even(&disk) {
            Err(WalError::Corrupt { .. } ) => {}
            Err(error) => panic!("{error}"),
            Ok((wal, recovered)) => {
                assert!((last - flipped..=last).contains(&recovered.last.index), "{} of {last}", recovered.last.index);
                assert_eq!(all(&wal), entries(1, 1..=recovered.last.index, 3000));
            }
        }
    }
}
