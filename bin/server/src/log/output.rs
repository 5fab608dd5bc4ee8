//! Where lines go: standard error, standard output, files.

use super::format::{self, Format, Level};
use super::queue::{self, Notice, Queue};
use super::rotate::{RotatingFile, Rotation};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

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
            Self::Stream(stream) => queue::write_all(stream, line),
            Self::File(file) => queue::write_all(file, line),
            Self::Rotating(file) => queue::write_all(file, line),
        }
    }
}

/// Writes lines; copies share their outputs. Nobody who writes a line waits for an output.
#[derive(Clone)]
pub struct Logger {
    level: Level,
    format: Format,
    outputs: Arc<[Queue]>,
    dropped: Arc<AtomicU64>,
}

impl Logger {
    /// A logger that leaves out what is less grave than `level`. Each output has a thread of its own, so that one that is stuck
    /// does not hold up another.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn new(level: Level, format: Format, sinks: Vec<Sink>) -> io::Result<Self> {
        let dropped = Arc::new(AtomicU64::new(0));
        let start = |sink| Queue::start(sink, notice(format), dropped.clone());
        let outputs: io::Result<Vec<Queue>> = sinks.into_iter().map(start).collect();
        Ok(Self { level, format, outputs: outputs?.into(), dropped })
    }

    /// To standard error as JSON: what is used before the settings are known. Silent where that cannot be had.
    pub fn early() -> Self {
        let stderr = Sink::stderr().into_iter().collect();
        let silent = || Self { level: Level::Fatal, format: Format::Json, outputs: [].into(), dropped: Arc::default() };
        Self::new(Level::Info, Format::Json, stderr).unwrap_or_else(|_| silent())
    }

    /// The least grave level that is written.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Lines that were dropped because their output did not take them.
    pub fn dropped(&self) -> &Arc<AtomicU64> {
        &self.dropped
    }

    /// Writes a line. A full disk, a closed pipe or one that nobody reads loses the line, never the server.
    pub fn write(&self, level: Level, caller: &str, msg: &str, fields: &[(&str, Value)]) {
        if level < self.level {
            return;
        }
        let line = format::line(self.format, level, SystemTime::now(), caller, msg, fields);
        for output in self.outputs.iter() {
            output.push(line.clone());
        }
    }

    /// A line of the daemon itself.
    #[track_caller]
    pub fn log(&self, level: Level, msg: &str, fields: &[(&str, Value)]) {
        let place = std::panic::Location::caller();
        self.write(level, &format::caller(Some(place.file()), Some(place.line())), msg, fields);
    }

    /// Waits until what was written so far has reached its outputs, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        self.outputs.iter().all(|output| output.flush(end))
    }
}

/// The line about lines that were dropped.
fn notice(format: Format) -> Notice {
    let caller = format::caller(Some(file!()), Some(line!()));
    Box::new(move |count| {
        let fields = [("dropped", json!(count))];
        let msg = "log lines were dropped because the output did not take them in time";
        format::line(format, Level::Warn, SystemTime::now(), &caller, msg, &fields)
    })
}
