//! Where the parts of a member lie in its data folder.

use super::pointer::{self, FIRST_STORE};
use crate::disk::ReadOnlyDisk;
use std::path::{Path, PathBuf};

/// Name of the folder that a restore fills, beside what will be `member`. A member must not be started next to it: it would be an
/// empty one in the place of the data.
pub const RESTORING: &str = "member.restoring";

/// Folders of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Everything of the member, below the data folder.
    pub member: PathBuf,
    /// RocksDB: the current store, as the store pointer says.
    pub store: PathBuf,
    /// Log segments.
    pub wal: PathBuf,
    /// Checkpoints in the making; emptied at start.
    pub scratch: PathBuf,
}

impl Folders {
    /// Below the data folder, the log elsewhere if asked for.
    pub fn of(data_dir: &Path, wal_dir: Option<&Path>) -> Self {
        Self::below(&data_dir.join("member"), wal_dir)
    }

    /// As [`Self::of`], given the member's own folder.
    pub fn below(member: &Path, wal_dir: Option<&Path>) -> Self {
        // a pointer that cannot be read is refused by a start; a tool that looks for the store finds none
        let store = pointer::read(&ReadOnlyDisk, member);
        Self {
            member: member.to_owned(),
            store: member.join(store.as_deref().unwrap_or(FIRST_STORE)),
            wal: wal_dir.map_or_else(|| member.join("wal"), Path::to_owned),
            scratch: member.join("scratch"),
        }
    }
}
