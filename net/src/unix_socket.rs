//! Unix sockets that are listened on. A socket file that a dead process left behind is replaced; one that somebody answers on, or a file
//! that is no socket, never is.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Why a socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// A file that is no socket stands where the socket should be.
    #[error("there is a file that is no socket; remove it or choose another path")]
    NotASocket,
    /// Somebody answers on it.
    #[error("address already in use; stop the other process, or choose another path")]
    InUse,
    /// Anything else the operating system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Listens on `path`, without blocking.
///
/// # Errors
/// [`UnixSocketError`].
pub fn bind(path: &Path) -> Result<UnixListener, UnixSocketError> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(UnixSocketError::NotASocket);
        }
        if UnixStream::connect(path).is_ok() {
            return Err(UnixSocketError::InUse);
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
