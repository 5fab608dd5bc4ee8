//! The disk: raft's log, in the write-ahead log of `storage`, and the newest snapshot, in a file beside it.
//!
//! Must never say that something is durable before it is, nor leave two files that contradict each other after a crash.

use raft::{Append, Entry, HardState, LogId, NodeId, Snapshot};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::disk::{Disk as FileSystem, OsDisk};
use storage::wal::{Batch, Install, ReadError, Start, UncheckedWal, Wal, WalConfig, WalError, WalMeta};

/// Id of every cluster of this program.
const CLUSTER: u64 = 0x1000;
/// The newest snapshot.
const SNAPSHOT: &str = "snapshot";
/// One that the leader sent, until the log says that it counts.
const RECEIVED: &str = "snapshot.received";
/// One that is being written.
const UNFINISHED: &str = "snapshot.tmp";

/// Why log or snapshot cannot be used. All of them end the program: what is on the disk then is what a restart begins with.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The log.
    #[error(transparent)]
    Log(#[from] WalError),
    /// Entries of the log.
    #[error(transparent)]
    Entries(#[from] ReadError),
    /// A file.
    #[error("{}: {source}; check the disk and the permissions, then start again", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The snapshot is not what was written.
    #[error("{} is damaged: remove this member by DELETE and add it with a new id and an empty folder", .0.display())]
    Damaged(PathBuf),
}

/// What a member begins with.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The newest snapshot; empty for a member that joins.
    pub snapshot: Snapshot,
    /// Term, vote and commit.
    pub hard_state: HardState,
    /// Entries behind the snapshot.
    pub entries: Vec<Entry>,
}

/// The open log, and where the snapshot is.
#[derive(Debug)]
pub struct Disk {
    files: Arc<dyn FileSystem>,
    dir: PathBuf,
    wal: Wal,
}

impl Disk {
    /// Opens the folder of a member. A new one begins with `founding`, or with nothing when it joins a cluster.
    ///
    /// # Errors
    /// [`DiskError`]: damage, another member's folder, a folder in use.
    pub fn open(dir: &Path, id: NodeId, founding: Option<&Snapshot>) -> Result<(Self, Recovered), DiskError> {
        let files = OsDisk::shared();
        let log = dir.join("log");
        let opened = match UncheckedWal::open(files.clone(), &log, WalConfig::default()) {
            Err(WalError::Missing { .. }) => {
                found(&files, dir, id, founding)?;
                UncheckedWal::open(files.clone(), &log, WalConfig::default())?
            }
            opened => opened?,
        };
        opened.expect(CLUSTER, id)?;
        let (wal, recovered) = opened.recover()?;
        let mut disk = Self { files, dir: dir.to_owned(), wal };
        if recovered.install.is_some() {
            disk.finish_install()?;
        }
        let snapshot = disk.read_snapshot()?;
        let (first, end) = (snapshot.meta.index.max(disk.wal.truncated().index) + 1, disk.wal.last().index + 1);
        let entries = disk.wal.reader().read(first.min(end), end, usize::MAX)?;
        let recovered = Recovered { snapshot, hard_state: disk.wal.hard_state(), entries };
        Ok((disk, recovered))
    }

    /// Writes entries and hard state. They are durable when this returns, if raft wants them to be; otherwise they go along
    /// with the next that are.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn append(&mut self, append: &Append) -> Result<(), DiskError> {
        self.wal.stage(&Batch { entries: &append.entries, hard_state: append.hard_state })?;
        if append.must_sync {
            self.wal.write()?;
            self.wal.sync()?;
        }
        Ok(())
    }

    /// Puts a snapshot of the leader in the place of everything there is. Three steps, so that a crash between any two
    /// leaves the old or the new: the file under another name, a record in the log that it counts, its name.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn install(&mut self, snapshot: &Snapshot, hard_state: Option<HardState>) -> Result<(), DiskError> {
        self.write_snapshot(snapshot, RECEIVED)?;
        self.wal.stage(&Batch { entries: &[], hard_state })?;
        self.wal.begin_install(&Install { meta: snapshot.meta.clone(), store: SNAPSHOT.to_owned() })?;
        self.finish_install()
    }

    /// Keeps a snapshot of the own state, and lets go of the log up to `keep`, which is at or before it.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn snapshot(&mut self, snapshot: &Snapshot, keep: LogId) -> Result<(), DiskError> {
        self.write_snapshot(snapshot, SNAPSHOT)?;
        Ok(self.wal.release_to(keep)?)
    }

    fn finish_install(&mut self) -> Result<(), DiskError> {
        let received = self.dir.join(RECEIVED);
        match self.files.rename(&received, &self.dir.join(SNAPSHOT)) {
            // a crash came after the rename
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(|source| DiskError::File { path: received, source })?,
        }
        self.sync_folder()?;
        Ok(self.wal.finish_install()?)
    }

    /// A checksum, then the snapshot. A reader finds all of it under `name`, or what was there before.
    fn write_snapshot(&self, snapshot: &Snapshot, name: &str) -> Result<(), DiskError> {
        write_snapshot(&self.dir, snapshot, name)?;
        self.sync_folder()
    }

    fn read_snapshot(&self) -> Result<Snapshot, DiskError> {
        let path = self.dir.join(SNAPSHOT);
        let bytes = match std::fs::read(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Snapshot::default()),
            bytes => bytes.map_err(|source| DiskError::File { path: path.clone(), source })?,
        };
        let whole = bytes.split_first_chunk().filter(|(sum, rest)| u32::from_le_bytes(**sum) == crc32c::crc32c(rest));
        let read = whole.and_then(|(_, rest)| postcard::from_bytes(rest).ok());
        read.ok_or(DiskError::Damaged(path))
    }

    fn sync_folder(&self) -> Result<(), DiskError> {
        sync_folder(&self.files, &self.dir)
    }
}

/// Makes the folder of a new member. The log comes last: without one there is no member, and a crash before it leaves
/// nothing that a second attempt would not write again.
fn found(files: &Arc<dyn FileSystem>, dir: &Path, id: NodeId, founding: Option<&Snapshot>) -> Result<(), DiskError> {
    files.create_dir_all(dir).map_err(|source| DiskError::File { path: dir.to_owned(), source })?;
    let mut start = Start::default();
    if let Some(first) = founding {
        write_snapshot(dir, first, SNAPSHOT)?;
        start.at = LogId { term: first.meta.term, index: first.meta.index };
        start.hard_state = HardState { term: first.meta.term, vote: 0, commit: first.meta.index };
    }
    let log_id = RandomState::new().build_hasher().finish();
    let meta = WalMeta { cluster: CLUSTER, member: id, log_id };
    drop(Wal::create(files.clone(), &dir.join("log"), WalConfig::default(), meta, start)?);
    sync_folder(files, dir)
}

fn write_snapshot(dir: &Path, snapshot: &Snapshot, name: &str) -> Result<(), DiskError> {
    let path = dir.join(UNFINISHED);
    let encoded = postcard::to_stdvec(snapshot).expect("a snapshot is always written: it goes to memory");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&crc32c::crc32c(&encoded).to_le_bytes())?;
        file.write_all(&encoded)?;
        file.sync_all()?;
        std::fs::rename(&path, dir.join(name))
    });
    written.map_err(|source| DiskError::File { path, source })
}

fn sync_folder(files: &Arc<dyn FileSystem>, dir: &Path) -> Result<(), DiskError> {
    files.sync_dir(dir).map_err(|source| DiskError::File { path: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{EntryKind, SnapshotMeta};

    fn snapshot(index: u64, text: &'static [u8]) -> Snapshot {
        Snapshot { meta: SnapshotMeta { index, term: 1, ..SnapshotMeta::default() }, data: text.into() }
    }

    fn entry(index: u64) -> Entry {
        Entry { term: 1, index, kind: EntryKind::Normal, data: vec![7; 9].into() }
    }

    fn stage(disk: &mut Disk, entries: &[Entry]) {
        disk.wal.append(&Batch { entries, hard_state: None }).expect("append");
        disk.wal.sync().expect("sync");
    }

    #[test]
    fn a_member_finds_again_what_was_durable() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = snapshot(1, b"founders");
        let (mut disk, new) = Disk::open(dir.path(), 3, Some(&first)).expect("a new folder");
        assert_eq!((new.snapshot, new.hard_state.commit, new.entries.len()), (first, 1, 0));
        stage(&mut disk, &[entry(2), entry(3), entry(4)]);
        disk.snapshot(&snapshot(3, b"later"), LogId { term: 1, index: 2 }).expect("a snapshot");
        stage(&mut disk, &[entry(5)]);
        drop(disk);
        let (disk, again) = Disk::open(dir.path(), 3, None).expect("the same folder");
        assert_eq!(again.snapshot, snapshot(3, b"later"));
        assert_eq!(again.entries, [entry(4), entry(5)], "what lies behind the snapshot");
        drop(disk);
        assert!(matches!(Disk::open(dir.path(), 4, None), Err(DiskError::Log(WalError::WrongMember { .. }))));
    }

    #[test]
    fn a_received_snapshot_counts_from_the_record_in_the_log_on() {
        for renamed in [false, true] {
            let dir = tempfile::tempdir().expect("a folder");
            let (mut disk, _) = Disk::open(dir.path(), 1, Some(&snapshot(1, b"old"))).expect("a new folder");
            stage(&mut disk, &[entry(2)]);
            let new = snapshot(90, b"new");
            disk.write_snapshot(&new, RECEIVED).expect("write");
            let (again, old) = reopen(disk, dir.path());
            assert_eq!((old.snapshot.meta.index, old.entries.len()), (1, 1), "a file alone changes nothing");
            disk = again;
            disk.write_snapshot(&new, RECEIVED).expect("write");
            disk.wal.begin_install(&Install { meta: new.meta.clone(), store: SNAPSHOT.to_owned() }).expect("begin");
            if renamed {
                std::fs::rename(dir.path().join(RECEIVED), dir.path().join(SNAPSHOT)).expect("rename");
            }
            let (_, found) = reopen(disk, dir.path());
            assert_eq!((found.snapshot, found.entries.len()), (new, 0), "renamed: {renamed}");
        }
    }

    #[test]
    fn a_damaged_snapshot_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Disk::open(dir.path(), 1, Some(&snapshot(1, b"text"))).expect("a new folder"));
        let path = dir.path().join(SNAPSHOT);
        let mut bytes = std::fs::read(&path).expect("read");
        *bytes.last_mut().expect("bytes") ^= 1;
        std::fs::write(&path, bytes).expect("write");
        assert!(matches!(Disk::open(dir.path(), 1, None), Err(DiskError::Damaged(_))));
    }

    fn reopen(disk: Disk, dir: &Path) -> (Disk, Recovered) {
        drop(disk);
        Disk::open(dir, 1, None).expect("the same folder")
    }
}
