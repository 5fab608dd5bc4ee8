//! The store pointer: a small file that names the folder of the current store. Without one it is `store`, as the first
//! version of the folder had it; an installed snapshot brings a store of its own and moves the pointer.
//!
//! Must never name a store that is not whole, and never be seen half written: it is replaced by a rename.

use crate::disk::Disk;
use std::io;
use std::path::Path;

/// Name of the store in a folder without a pointer.
pub const FIRST_STORE: &str = "store";
/// Name of the pointer's file.
pub const POINTER: &str = "current-store";
/// The next pointer, until it is renamed.
const NEXT: &str = "current-store.next";
/// Longer than any pointer; more is not read.
const LONGEST: u64 = 256;

/// Why the pointer cannot be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum PointerError {
    /// The file system said no.
    #[error("cannot {op} the store pointer: {source}; check the disk and the permissions, then start the member again")]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// In the system's words.
        source: io::Error,
    },
    /// It holds something else than a name of a store.
    #[error(
        "the store pointer is damaged; restore this member from a snapshot, or remove it from the cluster and add it again"
    )]
    Damaged,
}

fn failed(op: &'static str) -> impl Fn(io::Error) -> PointerError {
    move |source| PointerError::Io { op, source }
}

/// Name of the store that a snapshot at this index becomes.
pub fn store_name(index: u64) -> String {
    format!("{FIRST_STORE}-{index:016x}")
}

/// Whether a folder of this name may be a store.
pub fn is_store_name(name: &str) -> bool {
    let index = name.strip_prefix(FIRST_STORE).and_then(|rest| rest.strip_prefix('-'));
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name == FIRST_STORE || index.is_some_and(|index| index.len() == 16 && index.bytes().all(hex))
}

/// Name of the current store in a member's folder.
///
/// # Errors
/// [`PointerError`].
pub fn read(disk: &dyn Disk, member: &Path) -> Result<String, PointerError> {
    let file = match disk.open(&member.join(POINTER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FIRST_STORE.to_owned()),
        file => file.map_err(failed("open"))?,
    };
    let length = file.len().map_err(failed("read"))?;
    if length > LONGEST {
        return Err(PointerError::Damaged);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed("read"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| PointerError::Damaged)?;
    let (name, sum) = text.trim_end().split_once(' ').ok_or(PointerError::Damaged)?;
    if sum != checksum(name) || !is_store_name(name) {
        return Err(PointerError::Damaged);
    }
    Ok(name.to_owned())
}

/// Makes `store` the current one, durably.
///
/// # Errors
/// [`PointerError::Io`].
///
/// # Panics
/// When it is not the name of a store.
pub fn write(disk: &dyn Disk, member: &Path, store: &str) -> Result<(), PointerError> {
    assert!(is_store_name(store), "the pointer names stores, not {store:?}");
    let next = member.join(NEXT);
    match disk.remove(&next) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(failed("replace"))?,
    }
    let file = disk.create(&next).map_err(failed("write"))?;
    file.write_all_at(format!("{store} {}\n", checksum(store)).as_bytes(), 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.rename(&next, &member.join(POINTER)).map_err(failed("move"))?;
    disk.sync_dir(member).map_err(failed("sync"))
}

fn checksum(name: &str) -> String {
    format!("{:08x}", crc32c::crc32c(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    fn member() -> (SimDisk, &'static Path) {
        let dir = Path::new("/member");
        let disk = SimDisk::new();
        disk.create_dir_all(dir).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        (disk, dir)
    }

    #[test]
    fn without_a_pointer_the_store_is_the_first_one() {
        let (disk, dir) = member();
        assert_eq!(read(&disk, dir).unwrap(), "store");
    }

    #[test]
    fn a_pointer_that_was_moved_survives_a_crash() {
        let (disk, dir) = member();
        for index in [7, 0xffff] {
            write(&disk, dir, &store_name(index)).unwrap();
            disk.crash(index);
            assert_eq!(read(&disk, dir).unwrap(), store_name(index));
        }
        assert_eq!(store_name(0xffff), "store-000000000000ffff");
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_name_or_the_new_one() {
        for steps in 0..8 {
            let (disk, dir) = member();
            write(&disk, dir, &store_name(1)).unwrap();
            let faults = crate::disk::sim::Faults { stop_after: Some(steps), ..Default::default() };
            disk.set_faults(faults, steps);
            let moved = write(&disk, dir, &store_name(2)).is_ok();
            disk.crash(steps);
            let found = read(&disk, dir).unwrap();
            assert!(found == store_name(2) || (!moved && found == store_name(1)), "{steps}: {found}");
            write(&disk, dir, &store_name(3)).unwrap();
            assert_eq!(read(&disk, dir).unwrap(), store_name(3));
        }
    }

    #[test]
    fn damage_and_foreign_names_are_refused() {
        let (disk, dir) = member();
        let good = format!("store-0000000000000001 {}", checksum("store-0000000000000001"));
        let outside = format!("../evil {}", checksum("../evil"));
        for (text, is_good) in
            [(good.as_str(), true), ("store-0000000000000002 00000000", false), (&outside, false), ("", false)]
        {
            let _ = disk.remove(&dir.join(POINTER));
            disk.create(&dir.join(POINTER)).unwrap().write_all_at(text.as_bytes(), 0).unwrap();
            assert_eq!(read(&disk, dir).is_ok(), is_good, "{text:?}");
        }
        assert!(!is_store_name("store-1") && !is_store_name("stores") && !is_store_name("store-000000000000000G"));
    }
}
