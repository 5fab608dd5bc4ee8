//! The log reader: reads ranges of the log back for followers that lag, on its own thread, so that neither the raft core nor
//! the WAL writer waits for the disk.
//!
//! Must never hand out an entry that pins more memory than itself: entries of one batch share a buffer, and are copied here.

use crate::death_watch::DeathWatch;
use crate::limits::LOG_READ_BYTES;
use crate::raft_core::inbox::InnerPort;
use crate::wiring::log::{LogRead, ReadLog};
use bytes::Bytes;
use crossbeam_channel::{Receiver, select};
use raft::Entry;
use storage::wal::{ReadError, WalReader};

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
