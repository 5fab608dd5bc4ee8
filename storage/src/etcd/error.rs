//! Why etcd's files cannot be taken over. Every text names what is wrong and, where there is one, the next step.

use crate::apply::{ApplyFatal, OpenError};
use crate::engine::EngineError;
use bbolt::BoltError;
use std::io;
use std::path::PathBuf;

/// See the file header.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The database.
    #[error(transparent)]
    Database(#[from] BoltError),
    /// A bbolt file of another program.
    #[error("the database has no bucket {0:?}: it is not one of etcd's, or of a release before 3.0")]
    NoBucket(&'static str),
    /// A row that etcd would not have written.
    #[error("the row {key} in bucket {bucket} of etcd's database is damaged: {why}")]
    Row {
        /// The bucket.
        bucket: &'static str,
        /// The row's key, escaped.
        key: String,
        /// What does not read back.
        why: &'static str,
    },
    /// Versions that do not follow each other.
    #[error(
        "the history in etcd's database is broken at revision {main}.{sub}: {why}; take the snapshot of another member, or compact \
         etcd beyond that revision first"
    )]
    History {
        /// Main revision.
        main: i64,
        /// Place inside the transaction.
        sub: i64,
        /// What does not fit.
        why: &'static str,
    },
    /// There are rows where etcd's should go.
    #[error("the store to fill is not empty")]
    NotEmpty,
    /// A folder that is none of etcd's.
    #[error("{} is no data folder of etcd's: there is no member/snap/db in it", .0.display())]
    NoFolder(PathBuf),
    /// etcd has it open.
    #[error("{} is in use by a running etcd; stop it first, or take a snapshot of it with `etcdctl snapshot save`", .0.display())]
    InUse(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// In the system's words.
        source: io::Error,
    },
    /// A file of the log is not what was written.
    #[error("etcd's log is damaged in {} at offset {offset}: {why}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// Database and log do not meet.
    #[error(
        "etcd's log begins with entry {first}, its database ends with entry {applied}: what is between them is missing; name the folder \
         of the log if it lies elsewhere, or take the data folder of another member"
    )]
    Gap {
        /// First entry there is.
        first: u64,
        /// Last entry whose effects are in the database.
        applied: u64,
    },
    /// An entry that cannot be applied.
    #[error("entry {index} of etcd's log cannot be applied: {why}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// Our store.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Our store does not open after it was filled.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Applying an entry failed.
    #[error("applying etcd's log failed: {0}")]
    Apply(#[from] ApplyFatal),
}
