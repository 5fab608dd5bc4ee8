//! What a path on the command line is: a snapshot file, a member that is not running, or the folder of a store alone; and how its
//! rows are read.
//!
//! Must never open a member that runs, and never write to what it was given: a snapshot is unpacked elsewhere.

use crate::failure::Failure;
use crate::unpack::{Unpacked, is_etcds, unpack};
use model::StoreStatus;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::apply::State;
use storage::engine::rocks::{RocksEngine, RocksOptions, RocksSnapshot};
use storage::etcd::EtcdFolder;
use storage::member::{Folders, HeldMember, hold};
use storage::snapshot::Hash;
use storage::view::View;
use tempfile::TempDir;

/// What a path is.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A file: a snapshot, ours or etcd's, if it is anything.
    Snapshot(PathBuf),
    /// A data folder of etcd's.
    Etcd(PathBuf),
    /// Folders of a member.
    Member(Folders),
}

impl Target {
    /// Looks at the path.
    ///
    /// # Errors
    /// [`Failure`] when there is nothing, or etcd has its folder open.
    pub fn of(path: &Path, wal_dir: Option<&Path>) -> Result<Self, Failure> {
        let found = std::fs::metadata(path).map_err(|error| Failure::io("stat", path, &error))?;
        if !found.is_dir() {
            return Ok(Self::Snapshot(path.to_owned()));
        }
        let folders = Folders::of(path, wal_dir);
        if folders.store.is_dir() {
            return Ok(Self::Member(folders));
        }
        // the folder `member` itself, or the store in it
        let below = Folders::below(path, wal_dir);
        if below.store.is_dir() {
            return Ok(Self::Member(below));
        }
        if path.join("CURRENT").is_file() {
            let member = path.parent().unwrap_or(path);
            return Ok(Self::Member(Folders { store: path.to_owned(), ..Folders::below(member, wal_dir) }));
        }
        if EtcdFolder::find(path, wal_dir)?.is_some() {
            return Ok(Self::Etcd(path.to_owned()));
        }
        let shown = path.display();
        Err(Failure::new(format!(
            "{shown} is no data folder of Conclave: there is no store in it (looked for member/store)"
        )))
    }

    /// As [`Self::of`], for commands that work on members alone.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn member(path: &Path, wal_dir: Option<&Path>) -> Result<Folders, Failure> {
        match Self::of(path, wal_dir)? {
            Self::Member(folders) => Ok(folders),
            Self::Snapshot(file) => Err(Failure::new(format!("{} is a file, not a data folder", file.display()))),
            Self::Etcd(folder) => Err(Failure::new(format!(
                "{} is a data folder of etcd's; make one of Conclave's of it with `conclaveutl snapshot restore {0} --data-dir <new folder>`",
                folder.display()
            ))),
        }
    }
}

/// Rows that can be read.
pub struct Opened {
    /// All rows.
    pub rows: RocksSnapshot,
    /// Of what was unpacked: what its check said.
    pub summary: Option<Unpacked>,
    /// Keeps a member from being started meanwhile.
    _held: Option<HeldMember>,
    /// Where a snapshot was unpacked; removed with this.
    _unpacked: Option<TempDir>,
}

/// Opens the rows of a member for reading, or unpacks a snapshot into a temporary folder.
///
/// # Errors
/// [`Failure`].
pub fn open(target: &Target, patience: Duration) -> Result<Opened, Failure> {
    match target {
        Target::Member(folders) => {
            let held = hold(folders, patience)?;
            let rows = RocksEngine::read_only(&folders.store, &options())?;
            Ok(Opened { rows, summary: None, _held: Some(held), _unpacked: None })
        }
        Target::Snapshot(path) | Target::Etcd(path) => {
            let folder = tempfile::Builder::new().prefix("conclaveutl-").tempdir();
            let folder = folder.map_err(|error| Failure::io("make a folder in", &std::env::temp_dir(), &error))?;
            let store = folder.path().join("store");
            let engine = Arc::new(RocksEngine::open(&store, &options())?);
            // etcd's tools look at databases without a hash as well: each page of them has to be sound
            let hash = if path.is_file() && is_etcds(path)? { Hash::Skip } else { Hash::Check };
            let summary = unpack(path, None, &engine, hash, "unpacking")?;
            drop(engine);
            let rows = RocksEngine::read_only(&store, &options())?;
            Ok(Opened { rows, summary: Some(summary), _held: None, _unpacked: Some(folder) })
        }
    }
}

/// Settings of stores that this tool opens.
pub fn options() -> RocksOptions {
    RocksOptions { cache_bytes: 32 << 20, ..RocksOptions::default() }
}

/// The view of a store at rest.
///
/// # Errors
/// [`Failure`] when its numbers do not read back.
pub fn view(rows: RocksSnapshot) -> Result<View<RocksSnapshot>, Failure> {
    let state = State::read(&rows)?;
    let status = StoreStatus {
        revision: state.revision,
        compact_revision: state.compact,
        applied_index: state.applied.index,
        applied_term: state.applied.term,
        logical_bytes: state.logical_bytes(),
        live_bytes: state.in_use_bytes(),
        keys: state.keys,
        alarms: std::sync::Arc::default(),
    };
    Ok(View { snapshot: rows, auth: std::sync::Arc::default(), v2: Default::default(), status })
}
