//! That the simulated disk loses, tears and reorders as its header says: a tame one would make every crash test worthless.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::*;

const FILE: &str = "/d/f";

fn with_file(bytes: &[u8]) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    let file = disk.create(Path::new(FILE)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    (disk, file)
}

fn contents(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open(Path::new(FILE)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn unsynced_sectors_are_kept_in_every_combination_and_every_version() {
    let (disk, file) = with_file(&[1; 3 * SECTOR]);
    file.write_all_at(&[2; 3 * SECTOR], 0).unwrap();
    file.write_all_at(&[3; SECTOR], SECTOR as u64).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = disk.fork();
        disk.crash(seed);
        let bytes = contents(&disk);
        let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|s| s[0]).collect();
        assert!(bytes.chunks(SECTOR).all(|s| s.iter().all(|b| *b == s[0])), "a sector is whole");
        seen.insert(sectors);
    }
    assert_eq!(seen.len(), 2 * 3 * 2, "{seen:?}");
    file.sync_data().unwrap();
    disk.crash(0);
    assert_eq!(contents(&disk)[SECTOR], 3, "synced is synced");
    assert!(file.sync_data().is_err(), "handles do not outlive a crash");
}

#[test]
fn names_that_were_not_synced_may_go_in_order() {
    let (disk, _) = with_file(b"x");
    disk.rename(Path::new(FILE), Path::new("/d/a")).unwrap();
    disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let disk = disk.fork();
        disk.crash(seed);
        seen.insert(disk.list(Path::new("/d")).unwrap());
    }
    assert_eq!(seen.into_iter().flatten().collect::<Vec<_>>(), ["a", "b", "f"]);
}

#[test]
fn a_failed_sync_leaves_a_cache_that_lies() {
    let (disk, file) = with_file(&[1; 8 * SECTOR]);
    file.write_all_at(&[2; 8 * SECTOR], 0).unwrap();
    disk.set_faults(Faults { fail_sync_after: Some(0), ..Faults::default() }, 3);
    assert!(file.sync_data().is_err());
    disk.set_faults(Faults::default(), 0);
    file.sync_data().unwrap();
    assert_eq!(contents(&disk), [2; 8 * SECTOR]);
    disk.crash(1);
    assert!(
        contents(&disk).contains(&1) && contents(&disk).contains(&2),
        "a part never made it, whatever later syncs say"
    );
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, file) = with_file(&[1; 1000]);
    disk.set_faults(Faults { capacity: Some(1500), ..Faults::default() }, 0);
    assert_eq!(file.write_all_at(&[2; 1000], 900).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1500);
    file.write_all_at(&[3; 1000], 0).unwrap();
}

#[test]
fn a_hanging_sync_returns_when_it_is_let_go() {
    let (disk, file) = with_file(b"x");
    disk.hang_syncs(true);
    let waiting = std::thread::spawn(move || file.sync_data().is_ok());
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());
    disk.hang_syncs(false);
    assert!(waiting.join().unwrap());
}
