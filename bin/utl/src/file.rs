//! Opening a file that a command names.
//!
//! Must never open one for writing.

use crate::failure::Failure;
use std::fs::File;
use std::io;
use std::path::Path;

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
