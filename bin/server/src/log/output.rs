//! Where lines go: standard error, standard output, files.

use super::format::{self, Format, Level};
use super::rotate::{RotatingFile, Rotation};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// One place lines go to.
pub enum Sink {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file that only grows.
    File(std::fs::File),
    /// A file that is replaced when it is full.
    Rotating(RotatingFile),
}

impl Sink {
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

    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = line.as_bytes();
        match self {
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line)?;
                out.flush()
            }
            Self::File(file) => file.write_all(line),
            Self::Rotating(file) => file.write_all(line),
        }
    }
}

/// Writes lines; copies share their outputs.
#[derive(Clone)]
pub struct Logger {
    level: Level,
    format: Format,
    sinks: Arc<Mutex<Vec<Sink>>>,
}

impl Logger {
    /// A logger that drops what is less grave than `level`.
    pub fn new(level: Level, format: Format, sinks: Vec<Sink>) -> Self {
        Self { level, format, sinks: Arc::new(Mutex::new(sinks)) }
    }

    /// To standard error as JSON: what is used before the settings are known.
    pub fn early() -> Self {
        Self::new(Level::Info, Format::Json, vec![Sink::Stderr])
    }

    /// The least grave level that is written.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes a line. A full disk or a closed pipe loses the line, never the server.
    pub fn write(&self, level: Level, caller: &str, msg: &str, fields: &[(&str, Value)]) {
        if level < self.level {
            return;
        }
        let line = format::line(self.format, level, SystemTime::now(), caller, msg, fields);
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        for sink in sinks.iter_mut() {
            let _ = sink.write(&line);
        }
    }

    /// A line of the daemon itself.
    #[track_caller]
    pub fn log(&self, level: Level, msg: &str, fields: &[(&str, Value)]) {
        let place = std::panic::Location::caller();
        self.write(level, &format::caller(Some(place.file()), Some(place.line())), msg, fields);
    }
}
