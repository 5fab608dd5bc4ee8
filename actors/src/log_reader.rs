//! The log reader: reads ranges of the log back for followers that lag, on its own thread, so that neither the raft core nor
//! the WAL writer waits for the disk.
//!
//! What cannot be read back is noted: the log is let go of up to there, and the follower is sent a snapshot. Must never hand out an entry
//! that pins more memory than itself: entries of one batch share a buffer, and are copied here.

use crate::death_watch::DeathWatch;
use crate::limits::LOG_READ_BYTES;
use crate::raft_core::inbox::InnerPort;
use crate::wiring::log::{LogRead, ReadLog};
use bytes::Bytes;
use crossbeam_channel::{Receiver, select};
use messages::Gauges;
use raft::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;
use storage::wal::{ReadError, WalError, WalReader};

/// Pause behind a range that is damaged: raft asks for it again until it is let go of.
const DAMAGED_PAUSE: Duration = Duration::from_millis(100);

/// The log reader.
pub struct LogReader {
    reader: WalReader,
    inbox: Receiver<ReadLog>,
    stop: Receiver<()>,
    core: InnerPort,
    gauges: Arc<Gauges>,
}

impl LogReader {
    /// Around a reader of the open log. It ends when the other end of `stop` is dropped.
    pub fn new(
        reader: WalReader,
        inbox: Receiver<ReadLog>,
        stop: Receiver<()>,
        core: InnerPort,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self { reader, inbox, stop, core, gauges }
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
            if self.gauges.log_damaged_to.load(Acquire) > 0 {
                std::thread::sleep(DAMAGED_PAUSE);
            }
        }
    }

    /// Reads one range and tells the core.
    ///
    /// # Errors
    /// When the log's disk fails: the node must stop.
    pub fn serve(&mut self, ask: ReadLog) -> Result<(), ReadError> {
        let hi = ask.last.min(self.reader.last_index()) + 1;
        let entries = match self.reader.read(ask.lo, hi.max(ask.lo), LOG_READ_BYTES) {
            // raft asks again, and is told what it may have then
            Err(ReadError::Released { .. } | ReadError::Unavailable { .. }) => Vec::new(),
            Err(ReadError::Wal(why @ WalError::Corrupt { .. })) => {
                self.note_damage(&why);
                Vec::new()
            }
            read => read?.into_iter().map(own).collect(),
        };
        self.core.log_read(LogRead { lo: ask.lo, entries });
        Ok(())
    }

    fn note_damage(&self, why: &WalError) {
        let last = self.reader.last_index().max(1);
        if self.gauges.log_damaged_to.compare_exchange(0, last, Release, Acquire).is_ok() {
            tracing::error!(error = %why, "the log of this member is damaged: it is let go of, a follower that needs it is sent a snapshot");
        }
    }
}

/// The entry with data of its own.
fn own(entry: Entry) -> Entry {
    Entry { data: Bytes::copy_from_slice(&entry.data), ..entry }
}
