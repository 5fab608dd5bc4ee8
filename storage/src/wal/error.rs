//! What can go wrong with the log, each message saying what to do.
//!
//! Must never be used for a broken invariant of our own: that is a panic naming it.

use std::io;
use std::path::{Path, PathBuf};

use super::format::FORMAT_VERSION;

/// Why the log cannot be written, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system said no.
    #[error("write-ahead log: cannot {op} {}: {source}; check the disk and the permissions, then start the member again", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
    /// No room for another segment. Nothing of the log was touched; the call can be repeated once there is room.
    #[error("write-ahead log: no space left for {}; free disk space or grow the volume", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Bytes that had been durable are damaged or missing.
    #[error("write-ahead log: {} is corrupt at offset {offset}: {why}; do not start this member with this log, remove it from the \
             cluster and add it again, or restore the folder from a copy of the same disk", file.display())]
    Corrupt {
        /// The damaged segment.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// An earlier write or sync failed.
    #[error("write-ahead log: an earlier write or sync failed, so what is on disk is unknown; restart the member")]
    Poisoned,
    /// The log belongs to another cluster.
    #[error(
        "write-ahead log: written for cluster {found:x}, this member is of cluster {expected:x}; check the data folder and the initial cluster token"
    )]
    WrongCluster {
        /// Cluster id in the log.
        found: u64,
        /// Cluster id wanted.
        expected: u64,
    },
    /// The log belongs to another member.
    #[error("write-ahead log: written by member {found:x}, this is member {expected:x}; check the data folder")]
    WrongMember {
        /// Member id in the log.
        found: u64,
        /// Member id wanted.
        expected: u64,
    },
    /// Written by a newer program.
    #[error("write-ahead log: format version {found}, this program reads up to {known}; run the newer version")]
    NewerFormat {
        /// Version in the log.
        found: u16,
        /// Highest version this program reads.
        known: u16,
    },
    /// Another process has it open.
    #[error("write-ahead log: {} is in use by another process; stop that one first", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A log is to be made where there is one.
    #[error("write-ahead log: there is a log in {} already; open it, or choose an empty folder", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// A log is to be opened where there is none.
    #[error("write-ahead log: there is no log in {}; check the data folder, or start the member as a new one", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
}

impl WalError {
    /// Turns a file system's error into ours; a full disk (or quota) gets its own kind.
    pub(super) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path: path.to_owned() },
            _ => Self::Io { op, path: path.to_owned(), source },
        }
    }

    pub(super) fn corrupt(file: &Path, offset: u64, why: &'static str) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, why }
    }

    pub(super) fn newer(found: u16) -> Self {
        Self::NewerFormat { found, known: FORMAT_VERSION }
    }
}
