//! The logger: from a message and its fields to a line in the queue of every output.

use super::format::{self, Format, Level};
use super::queue::{Notice, Queue};
use super::sink::Sink;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

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
