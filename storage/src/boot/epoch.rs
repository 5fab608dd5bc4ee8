//! The boot epoch: a number that grows with every start of a member, so that others can tell a connection of this run from
//! one of an earlier run.
//!
//! Two slots of one file are written in turn and in place, so that counting needs no room on a full disk. Must be durable
//! before anybody is told the number. What cannot be read is counted from the floor that the caller gives (its clock): a
//! member whose disk was set back to an older copy must not seem older than it is.

use crate::disk::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file in a member's folder.
pub const EPOCH_FILE: &str = "boot-epoch";
/// Distance of the slots: no single write can damage both.
const SLOT: u64 = 4096;
/// Number and checksum.
const SLOT_LEN: usize = 12;

/// The boot epoch could not be counted up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {source}; check the disk and the permissions, then start the member again", path.display())]
pub struct EpochError {
    op: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Counts up and returns the number of this start, which is durable then: above all earlier ones, and at least `floor`.
///
/// # Errors
/// [`EpochError`].
pub fn count_up(disk: &dyn Disk, member: &Path, floor: u64) -> Result<u64, EpochError> {
    let path = member.join(EPOCH_FILE);
    let failed = |op| {
        let path = path.clone();
        move |source| EpochError { op, path, source }
    };
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = disk.create(&path).map_err(failed("create"))?;
            // both slots get their room now
            file.fill_zero(0, 2 * SLOT).map_err(failed("write"))?;
            file
        }
        file => file.map_err(failed("open"))?,
    };
    let last = [0, SLOT].map(|at| read(file.as_ref(), at)).into_iter().flatten().max().unwrap_or(0);
    let epoch = last.saturating_add(1).max(floor);
    // the slot that does not hold the last one; a floor that skips numbers may lead back to the same slot
    let holds = |at| read(file.as_ref(), at) == Some(last);
    let at = if holds(0) { SLOT } else { 0 };
    file.write_all_at(&encode(epoch), at).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.sync_dir(member).map_err(failed("sync the folder of"))?;
    Ok(epoch)
}

fn encode(epoch: u64) -> [u8; SLOT_LEN] {
    let mut slot = [0; SLOT_LEN];
    slot[..8].copy_from_slice(&epoch.to_le_bytes());
    slot[8..].copy_from_slice(&crc32c::crc32c(&epoch.to_le_bytes()).to_le_bytes());
    slot
}

/// The number in a slot, if there is a whole one.
fn read(file: &dyn DiskFile, at: u64) -> Option<u64> {
    let mut slot = [0; SLOT_LEN];
    file.read_exact_at(&mut slot, at).ok()?;
    let (number, _) = slot.split_first_chunk::<8>()?;
    let epoch = u64::from_le_bytes(*number);
    (epoch != 0 && encode(epoch) == slot).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;
    use crate::disk::sim::Faults;

    const MEMBER: &str = "/member";

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new(MEMBER)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk
    }

    #[test]
    fn every_start_has_a_greater_number_whatever_crashes() {
        for seed in 0..200 {
            let disk = disk();
            let mut told = 0;
            for start in 0..6 {
                if (seed + start) % 2 == 0 {
                    disk.set_faults(Faults { stop_after: Some((seed + start) % 7), ..Default::default() }, seed);
                }
                if let Ok(epoch) = count_up(&disk, Path::new(MEMBER), 0) {
                    assert!(epoch > told, "seed {seed}: {epoch} after {told}");
                    told = epoch;
                }
                disk.crash(seed ^ start);
            }
        }
    }

    #[test]
    fn a_lost_file_is_counted_from_the_floor() {
        let disk = disk();
        let member = Path::new(MEMBER);
        assert_eq!(count_up(&disk, member, 1_000).unwrap(), 1_000);
        assert_eq!(count_up(&disk, member, 500).unwrap(), 1_001);
        assert_eq!(count_up(&disk, member, 0).unwrap(), 1_002);
        disk.remove(&member.join(EPOCH_FILE)).unwrap();
        assert_eq!(count_up(&disk, member, 2_000).unwrap(), 2_000);
    }

    #[test]
    fn a_damaged_slot_leaves_the_other_one() {
        let disk = disk();
        let member = Path::new(MEMBER);
        for epoch in 1..=4 {
            assert_eq!(count_up(&disk, member, 0).unwrap(), epoch);
        }
        let file = disk.open(&member.join(EPOCH_FILE)).unwrap();
        let newest = if read(file.as_ref(), 0) == Some(4) { 0 } else { SLOT };
        file.write_all_at(b"garbage", newest).unwrap();
        assert_eq!(count_up(&disk, member, 0).unwrap(), 4, "the number of the slot that is left, and one more");
    }
}
