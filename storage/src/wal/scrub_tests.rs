//! Reading the durable part of a log beside its writer: every flipped bit of a batch is found and named, and nothing else is.

use super::tests::{EVEN, META, SMALL, commit, create, dir, entries, entry, hard, install_at, open, segment_file};
use super::*;
use crate::disk::SimDisk;
use std::ops::ControlFlow;

fn walk(scrub: &WalScrub) -> Option<LogDamage> {
    scrub.walk(&mut |_| ControlFlow::Continue(()))
}

/// Segment and offset of each batch.
fn batches(disk: &SimDisk) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    inspect(disk, dir(), |logged| found.push((logged.segment, logged.offset))).expect("a sound log");
    found.dedup();
    found
}

#[test]
fn a_flipped_bit_of_a_durable_batch_is_found_where_it_is() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    for index in 1..=30 {
        commit(&mut wal, &[entry(1, index, 1_500)], Some(hard(1, index - 1))).unwrap();
    }
    let scrub = wal.scrub();
    assert_eq!(walk(&scrub), None);
    let batches = batches(&disk);
    assert!(batches.last().is_some_and(|(segment, _)| *segment > 2), "several segments: {batches:?}");
    for (segment, offset) in batches {
        // of the header, and of the payload
        for at in [9, 64 + 11] {
            let file = segment_file(segment);
            disk.flip_bit(&file, offset + at, 3);
            let found = walk(&scrub).map(|damage| (damage.file, damage.offset, damage.last));
            assert_eq!(found, Some((file.clone(), offset, 30)), "byte {at}");
            disk.flip_bit(&file, offset + at, 3);
        }
    }
    assert_eq!(walk(&scrub), None);
}

#[test]
fn a_segment_that_is_lost_is_found() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    (1..=30).for_each(|index| commit(&mut wal, &[entry(1, index, 1_500)], None).unwrap());
    crate::disk::Disk::remove(&disk, &segment_file(2)).unwrap();
    let found = walk(&wal.scrub()).map(|damage| (damage.file, damage.offset));
    assert_eq!(found, Some((segment_file(2), 0)));
}

#[test]
fn what_is_written_and_not_durable_yet_is_not_looked_at() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=3, 900), None).unwrap();
    let (scrub, end) = (wal.scrub(), batches(&disk).last().map_or(0, |(_, offset)| offset + 4096));
    wal.append(&Batch { entries: &entries(1, 4..=4, 900), hard_state: None }).unwrap();
    disk.flip_bit(&segment_file(1), end + 100, 1);
    assert_eq!(walk(&scrub), None);
}

#[test]
fn a_log_that_nobody_damaged_is_sound_whatever_becomes_of_it() {
    for config in [SMALL, EVEN] {
        let disk = SimDisk::new();
        let mut wal = Wal::create(disk.shared(), dir(), config, META, Start::default()).unwrap();
        let mut scrub = wal.scrub();
        for index in 1..=120 {
            wal.stage(&Batch { entries: &entries(1, index..=index, 700), hard_state: None }).unwrap();
            if index % 10 == 0 {
                wal.release_to(LogId { term: 1, index: index - 3 }).unwrap();
            }
            wal.write().unwrap();
            assert_eq!(walk(&scrub), None, "in flight, {index}");
            wal.sync().unwrap();
            assert_eq!(walk(&scrub), None, "{index}");
            if index % 40 == 0 {
                drop(wal);
                disk.crash(index);
                wal = UncheckedWal::open(disk.shared(), dir(), config).unwrap().recover().unwrap().0;
                scrub = wal.scrub();
                assert_eq!(walk(&scrub), None, "opened again, {index}");
            }
        }
        wal.begin_install(&install_at(500, 4)).unwrap();
        assert_eq!(walk(&scrub), None, "an install has begun");
        wal.finish_install().unwrap();
        assert_eq!(walk(&scrub), None, "behind an install");
        commit(&mut wal, &[entry(4, 501, 20)], None).unwrap();
        assert_eq!(walk(&scrub), None);
    }
}

#[test]
fn a_segment_is_read_from_its_beginning_when_one_is_reused_under_way() {
    let disk = SimDisk::new();
    let mut wal = Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).unwrap();
    (1..=12).for_each(|index| commit(&mut wal, &[entry(1, index, 3_000)], None).unwrap());
    let scrub = wal.scrub();
    let (mut steps, mut index) = (0, 12);
    let found = scrub.walk(&mut |_| {
        steps += 1;
        // the writer goes round below the reader
        for _ in 0..6 {
            index += 1;
            wal.release_to(LogId { term: 1, index: index - 2 }).unwrap();
            commit(&mut wal, &[entry(1, index, 3_000)], None).unwrap();
        }
        if steps < 40 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(found, None);
}

#[test]
fn what_is_damaged_goes_with_its_segment() {
    let disk = SimDisk::new();
    let mut wal = create(&disk);
    commit(&mut wal, &entries(1, 1..=3, 900), None).unwrap();
    disk.flip_bit(&segment_file(1), 4096 + 70, 1);
    let scrub = wal.scrub();
    let damage = walk(&scrub).expect("a flipped bit");
    assert_eq!((damage.offset, damage.last), (4096, 3));
    wal.roll();
    wal.release_to(LogId { term: 1, index: 3 }).unwrap();
    commit(&mut wal, &[entry(1, 4, 10)], None).unwrap();
    assert_eq!(walk(&scrub), None);
    drop((wal, scrub));
    let (wal, recovered) = open(&disk).expect("what is left is sound");
    assert_eq!((recovered.truncated.index, recovered.last.index), (3, 4));
    drop(wal);
}
