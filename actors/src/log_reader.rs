//! The log reader: reads ranges of the log back for followers that lag, on its own thread, so that neither the raft core nor
//! the WAL writer waits for the disk.
//!
//! Must never hand out an entry that pins more memory than itself: entries of one batch share a buffer, and are copied here.

use crate::death_watch::DeathWatch;
use crate::limits::LOG_READ_BYTES;
use crate::raft_core::inbox::InnerPort;
use bytes::Bytes;
use crossbeam_channel::{Receiver, select};
use raft::{Entry, Index};
use storage::wal::{ReadError, WalReader};

/// Raft core → log reader: entries from `lo` on are needed, none behind `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLog {
    /// First index.
    pub lo: Index,
    /// Last index that may be returned.
    pub last: Index,
}

/// Log reader → raft core. No entries: they are released, and the follower needs a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// First index that was asked for.
    pub lo: Index,
    /// Consecutive entries from `lo` on.
    pub entries: Vec<Entry>,
}

/// The log reader.
pub struct LogReader {
    reader: WalReader,
    inbox: Receiver<ReadLog>,
    stop: Receiver<()>,
    core: InnerPort,
}

impl LogReader {
    /// Around a reader of the open log. It ends when the other end of `stop` is dropped.
    pub fn new(reader: WalReader, inbox: Receiver<ReadLog>, stop: Receiver<()>, core: InnerPort) -> Self {
        Self { reader, inbox, stop, core }
    }

    /// Runs until it is told to stop or the log cannot be read.
    pub fn run(mut self, mut watch: DeathWatch) {
        loop {
            let ask = select! {
                recv(self.inbox) -> ask => ask.ok(),
                recv(self.stop) -> _ => None,
            };
            let Some(ask) = ask else { return watch.finish() };
            if let Err(why) = self.serve(ask) {
                return watch.fail(why);
            }
        }
    }

    /// Reads one range and tells the core.
    ///
    /// # Errors
    /// When the log is damaged: the node must stop.
    pub fn serve(&mut self, ask: ReadLog) -> Result<(), ReadError> {
        let hi = ask.last.min(self.reader.last_index()) + 1;
        let entries = match self.reader.read(ask.lo, hi.max(ask.lo), LOG_READ_BYTES) {
            // raft asks again, and is told what it may have then
            Err(ReadError::Released { .. } | ReadError::Unavailable { .. }) => Vec::new(),
            read => read?.into_iter().map(own).collect(),
        };
        self.core.log_read(LogRead { lo: ask.lo, entries });
        Ok(())
    }
}

/// The entry with data of its own.
fn own(entry: Entry) -> Entry {
    Entry { data: Bytes::copy_from_slice(&entry.data), ..entry }
}
