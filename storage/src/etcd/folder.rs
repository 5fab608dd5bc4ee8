//! A data folder of etcd's: the database of a member that is not running, and the entries of its log that it does not have yet.
//!
//! Must never read a folder that etcd has open, nor change a file in it.

use super::error::EtcdError;
use super::import::{Imported, import, small};
use super::log::EtcdLog;
use super::replay::{Replayed, replay};
use super::rows;
use crate::apply::MemberIds;
use crate::engine::Engine;
use bbolt::Database;
use bytes::Bytes;
use prost::Message;
use raft::ConfState;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest snapshot file that is read: it holds the membership, and what the old API stored.
const MAX_SNAPSHOT: u64 = 1 << 30;

/// `snappb.Snapshot`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SavedSnapshot {
    #[prost(uint32, tag = "1")]
    crc: u32,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
}

/// `raftpb.Snapshot`, without its data.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RaftSnapshot {
    #[prost(message, optional, tag = "2")]
    metadata: Option<RaftSnapshotMetadata>,
}

/// `raftpb.SnapshotMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RaftSnapshotMetadata {
    #[prost(message, optional, tag = "1")]
    conf_state: Option<RaftConfState>,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint64, tag = "3")]
    term: u64,
}

/// `raftpb.ConfState`, as far as it says who votes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RaftConfState {
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    voters: Vec<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    learners: Vec<u64>,
}

/// What a snapshot file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedAt {
    /// Index of the last entry in it.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Members that vote.
    pub voters: Vec<u64>,
    /// Members that learn.
    pub learners: Vec<u64>,
}

/// See the file header.
#[derive(Debug)]
pub struct EtcdFolder {
    snap: PathBuf,
    wal: PathBuf,
    /// The database, locked as long as this lives.
    database: File,
    path: PathBuf,
}

impl EtcdFolder {
    /// The data folder `path`, or its folder `member`; the log elsewhere if that is said. `None` when it is none of etcd's.
    ///
    /// # Errors
    /// [`EtcdError::InUse`], [`EtcdError::File`].
    pub fn find(path: &Path, wal_dir: Option<&Path>) -> Result<Option<Self>, EtcdError> {
        let member = [path.join("member"), path.to_owned()].into_iter().find(|member| member.join("snap/db").is_file());
        let Some(member) = member else { return Ok(None) };
        let snap = member.join("snap");
        let path = snap.join("db");
        let database = File::open(&path).map_err(|source| EtcdError::File { path: path.clone(), source })?;
        match database.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EtcdError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(EtcdError::File { path, source }),
        }
        let wal = wal_dir.map_or_else(|| member.join("wal"), Path::to_owned);
        Ok(Some(Self { snap, wal, database, path }))
    }

    /// Where its database is.
    pub fn database(&self) -> &Path {
        &self.path
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.wal
    }

    /// What a snapshot file says of itself: that of this name, or the newest one that reads back.
    ///
    /// # Errors
    /// [`EtcdError::File`], for one with a name that does not read back as well.
    pub fn saved(&self, name: Option<&Path>) -> Result<Option<SavedAt>, EtcdError> {
        let found = match name {
            None => self.newest_snapshot()?,
            Some(name) => {
                let path = self.snap.join(name);
                let damaged =
                    || std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no snapshot that reads back");
                let found = std::fs::metadata(&path).and_then(|_| metadata(&path).ok_or_else(damaged));
                Some(found.map_err(|source| EtcdError::File { path, source })?)
            }
        };
        Ok(found.map(|saved| {
            let conf = saved.conf_state.unwrap_or_default();
            SavedAt { index: saved.index, term: saved.term, voters: conf.voters, learners: conf.learners }
        }))
    }

    /// Bytes of the database's file.
    ///
    /// # Errors
    /// [`EtcdError::File`].
    pub fn bytes(&self) -> Result<u64, EtcdError> {
        Ok(self.database.metadata().map_err(|source| self.unreadable(source))?.len())
    }

    fn unreadable(&self, source: std::io::Error) -> EtcdError {
        EtcdError::File { path: self.path.clone(), source }
    }

    /// Fills an empty engine with what etcd would show after a start. As [`import`], with its arguments.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub fn fill<E: Engine>(
        &self,
        engine: &Arc<E>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Imported, Replayed), EtcdError> {
        let saved = self.newest_snapshot()?;
        let file = self.database.try_clone().map_err(|source| self.unreadable(source))?;
        let mut database = Database::open(file)?;
        // one that was received from the leader and not put into its place
        if let Some(saved) = saved.as_ref().filter(|saved| saved.index > 0) {
            let received = self.snap.join(format!("{:016x}.snap.db", saved.index));
            if applied(&database)? < saved.index && received.is_file() {
                let file = File::open(&received);
                database = Database::open(file.map_err(|source| EtcdError::File { path: received, source })?)?;
            }
        }
        let log = EtcdLog::read(&self.wal, applied(&database)?)?;
        let (cluster_id, member_id) = log.ids;
        let imported = import(&database, engine.as_ref(), MemberIds { cluster_id, member_id }, progress)?;
        let conf = imported.conf_state.clone().or_else(|| saved.and_then(|saved| saved.conf_state).map(conf_state));
        // one who votes alone commits everything that is in its log; of several, this one need not know what is committed
        let is_alone = conf.is_some_and(|conf| conf.voters.len() == 1);
        let until = if is_alone { log.last() } else { log.commit.min(log.last()) };
        let replayed = replay(&log, engine, imported.state.applied.index, until)?;
        Ok((imported, replayed))
    }

    /// The newest snapshot file that reads back: what it says of itself.
    fn newest_snapshot(&self) -> Result<Option<RaftSnapshotMetadata>, EtcdError> {
        let fail = |source| EtcdError::File { path: self.snap.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.snap).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "snap") {
                names.push(path);
            }
        }
        names.sort();
        Ok(names.iter().rev().find_map(|path| metadata(path)))
    }
}

/// What a snapshot file says of itself; `None` when it is damaged: etcd then takes the one before, too.
fn metadata(path: &Path) -> Option<RaftSnapshotMetadata> {
    let length = std::fs::metadata(path).ok()?.len();
    let bytes = if length <= MAX_SNAPSHOT { std::fs::read(path).ok()? } else { return None };
    let saved = SavedSnapshot::decode(&bytes[..]).ok()?;
    if crc32c::crc32c(&saved.data) != saved.crc {
        return None;
    }
    RaftSnapshot::decode(saved.data).ok()?.metadata
}

fn conf_state(conf: RaftConfState) -> ConfState {
    ConfState { voters: conf.voters, learners: conf.learners, ..ConfState::default() }
}

/// Index of the last entry whose effects are in a database.
fn applied(database: &Database<File>) -> Result<u64, EtcdError> {
    let about = small(database, rows::META)?.ok_or(EtcdError::NoBucket(rows::META))?;
    Ok(about.get(rows::CONSISTENT_INDEX).and_then(|value| rows::number(value)).unwrap_or(0))
}
