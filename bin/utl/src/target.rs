//! What a path on the command line is: a snapshot file, a member that is not running, or the folder of a store alone; and how its
//! rows are read.
//!
//! Must never open a member that runs, and never write to what it was given: a snapshot is unpacked elsewhere.

use crate::failure::Failure;
use crate::progress::{Meter, Metered, Unit};
use model::StoreStatus;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::apply::State;
use storage::engine::rocks::{RocksEngine, RocksOptions, RocksSnapshot};
use storage::member::{Folders, HeldMember, hold};
use storage::snapshot::{Hash, Summary, restore};
use storage::view::View;
use tempfile::TempDir;

/// What a path is.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A file: a snapshot, if it is anything.
    Snapshot(PathBuf),
    /// Folders of a member.
    Member(Folders),
}

impl Target {
    /// Looks at the path.
    ///
    /// # Errors
    /// [`Failure`] when there is nothing, or something of etcd's.
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
        refuse_etcd(path)?;
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
        }
    }
}

/// Says so when a folder is one of etcd's.
///
/// # Errors
/// [`Failure`] with the way to migrate.
pub fn refuse_etcd(data_dir: &Path) -> Result<(), Failure> {
    let database = data_dir.join("member").join("snap").join("db");
    match database.is_file() {
        true => Err(Failure::new(format!(
            "{} is a data folder of etcd's, which Conclave does not read; to move the data over, start etcd on it and copy the keys with \
             `etcdctl make-mirror` into a running Conclave",
            data_dir.display()
        ))),
        false => Ok(()),
    }
}

/// Rows that can be read.
pub struct Opened {
    /// All rows.
    pub rows: RocksSnapshot,
    /// Of a snapshot file: what its check said.
    pub summary: Option<Summary>,
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
        Target::Snapshot(file) => {
            let folder = tempfile::Builder::new().prefix("conclaveutl-").tempdir();
            let folder = folder.map_err(|error| Failure::io("make a folder in", &std::env::temp_dir(), &error))?;
            let store = folder.path().join("store");
            let engine = RocksEngine::open(&store, &options())?;
            let summary = unpack(file, &engine, Hash::Check, "unpacking")?;
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

/// Reads a snapshot file into an empty store, with a line on the terminal meanwhile.
///
/// # Errors
/// [`Failure`], naming the file.
pub fn unpack(path: &Path, engine: &RocksEngine, hash: Hash, what: &'static str) -> Result<Summary, Failure> {
    let (file, bytes) = open_file(path)?;
    let mut meter = Meter::new(what, Unit::Bytes, Some(bytes));
    let summary = restore(Metered::new(file, &mut meter), engine, hash);
    drop(meter);
    summary.map_err(|why| Failure::from(why).within(path.display()))
}

/// A file and its length.
///
/// # Errors
/// [`Failure`] in the words of etcd's tools.
pub fn open_file(path: &Path) -> Result<(File, u64), Failure> {
    let file = File::open(path).map_err(|error| Failure::io("open", path, &error))?;
    let found = file.metadata().map_err(|error| Failure::io("stat", path, &error))?;
    if found.is_dir() {
        return Err(Failure::io("read", path, &io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok((file, found.len()))
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
