//! Where lines go: standard error, standard output, files. Called by the thread of an output alone, which may block.

use super::rotate::{RotatingFile, Rotation};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// One place lines go to.
pub enum Sink {
    /// A standard stream, or whatever else is no file with a name. Not the library's own handle: its lock would be held while a full
    /// pipe blocks.
    Stream(Box<dyn Write + Send>),
    /// A file that only grows.
    File(File),
    /// A file that is replaced when it is full.
    Rotating(RotatingFile),
}

impl Sink {
    /// Standard error.
    ///
    /// # Errors
    /// When there is no further descriptor.
    pub fn stderr() -> io::Result<Self> {
        let own = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Self::Stream(Box::new(File::from(own))))
    }

    /// Standard output.
    ///
    /// # Errors
    /// When there is no further descriptor.
    pub fn stdout() -> io::Result<Self> {
        let own = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::Stream(Box::new(File::from(own))))
    }

    /// A file, rotated or not.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(path: &Path, rotation: Option<&Rotation>) -> io::Result<Self> {
        match rotation {
            Some(rotation) => RotatingFile::open(path, rotation.clone()).map(Self::Rotating),
            None => OpenOptions::new().create(true).append(true).open(path).map(Self::File),
        }
    }

    /// Writes a line; may block as long as the output does.
    ///
    /// # Errors
    /// What the output says.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let line = line.as_bytes();
        match self {
            Self::Stream(stream) => write_all(stream, line),
            Self::File(file) => write_all(file, line),
            Self::Rotating(file) => write_all(file, line),
        }
    }
}

/// Writes all of it, also to a pipe that was made non-blocking by a process at its other end.
fn write_all(mut to: impl Write, mut bytes: &[u8]) -> io::Result<()> {
    /// Pause before a full pipe is tried again.
    const PAUSE: Duration = Duration::from_millis(5);
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(why) => return Err(why),
        }
    }
    to.flush()
}
