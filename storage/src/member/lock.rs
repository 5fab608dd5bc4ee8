//! Holding a member that is not running, so that it stays so while somebody looks at its files.
//!
//! A running member holds two locks: one of RocksDB on the store, one of the log. Both are asked for, because the log may lie
//! elsewhere. Must never create or change a file: holding is shared and read-only.

use super::folders::Folders;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a member cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A process has it open.
    #[error("{} is in use by a running process; stop that member first, or ask it through its client port", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// In the system's words.
        source: io::Error,
    },
}

/// No process can open the member for writing while this is held.
#[derive(Debug)]
pub struct HeldMember {
    /// The locks end with these handles.
    _files: Vec<File>,
}

/// Takes a lock; false while another process holds it.
type Take = fn(&File) -> io::Result<bool>;

/// Takes shared locks on those parts of the member that are there; waits up to `patience` for a process to end, without end for zero.
///
/// # Errors
/// [`LockError`].
pub fn hold(folders: &Folders, patience: Duration) -> Result<HeldMember, LockError> {
    let mut files = Vec::new();
    let takes: [(PathBuf, Take); 2] =
        [(folders.store.join("LOCK"), take_fcntl), (folders.wal.join("LOCK"), take_flock)];
    let start = Instant::now();
    for (path, take) in takes {
        let Some(file) = open(&path)? else { continue };
        while !take(&file).map_err(|source| LockError::Io { path: path.clone(), source })? {
            if !patience.is_zero() && start.elapsed() >= patience {
                return Err(LockError::InUse { path });
            }
            std::thread::sleep(PAUSE);
        }
        files.push(file);
    }
    Ok(HeldMember { _files: files })
}

fn open(path: &Path) -> Result<Option<File>, LockError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LockError::Io { path: path.to_owned(), source }),
    }
}

/// RocksDB's kind of lock. False while another process holds it.
fn take_fcntl(file: &File) -> io::Result<bool> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The log's kind of lock. False while another process holds it.
fn take_flock(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
