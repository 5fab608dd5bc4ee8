//! The scrubber's part for the log: reads what is durable of it, and has what cannot be read back let go of.
//!
//! The store of this member is right where its log is damaged, so nothing that it answers is wrong, and nobody has to rebuild anything: as soon
//! as the store holds for good what the log held, the log goes, and a follower that still needs it is sent a snapshot. Until then a start
//! would be refused. Must never let an entry go by itself: that is the raft core's to decide.

use crate::pace::Pace;
use crate::wiring::flush::ToFlusher;
use crossbeam_channel::Sender;
use messages::Gauges;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;
use storage::wal::{LogDamage, WalScrub};

/// Pause before a damaged log is read again.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// Bytes that are read between two rests.
const STRETCH: u64 = 1 << 20;

/// See the file header.
pub struct LogScrubber {
    log: WalScrub,
    gauges: Arc<Gauges>,
    flusher: Sender<ToFlusher>,
    /// What was found last and has not gone.
    found: Option<LogDamage>,
}

impl LogScrubber {
    /// Has read nothing yet. `flusher` makes the store durable.
    pub fn new(log: WalScrub, gauges: Arc<Gauges>, flusher: Sender<ToFlusher>) -> Self {
        Self { log, gauges, flusher, found: None }
    }

    /// Somebody has found damage that has not gone.
    pub(crate) fn is_damaged(&self) -> bool {
        self.gauges.log_damaged_to.load(Acquire) > 0
    }

    /// Reads the whole log once.
    pub(crate) fn walk(&mut self) {
        let gauges = &self.gauges;
        let (mut read, mut rested, mut pace) = (0, 0, Pace::begin());
        let found = self.log.walk(&mut |bytes| {
            read += bytes;
            gauges.scrubbed_log_bytes.store(read, Relaxed);
            if read - rested >= STRETCH {
                rested = read;
                pace.rest();
            }
            if gauges.stopping.load(Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // a walk that was broken off says nothing
        if gauges.stopping.load(Acquire) {
            return;
        }
        match found {
            Some(damage) => self.let_go(damage),
            None => {
                if gauges.log_damaged_to.swap(0, Release) > 0 {
                    tracing::warn!("what was damaged of the log is gone: the store of this member has all of it");
                }
                self.found = None;
            }
        }
    }

    fn let_go(&mut self, damage: LogDamage) {
        let place = |damage: &LogDamage| (damage.file.clone(), damage.offset);
        if self.found.as_ref().map(place) != Some(place(&damage)) {
            let LogDamage { file, offset, last, why } = &damage;
            tracing::error!(
                file = %file.display(),
                offset,
                why,
                "the log of this member is damaged at rest; what it holds up to entry {last} is let go of as soon as the store has it for \
                 good: do not stop this member before it says so, and look at its disk"
            );
            self.gauges.log_damages.fetch_add(1, Relaxed);
            self.gauges.log_damaged_to.store((*last).max(1), Release);
            self.found = Some(damage);
        }
        // a full queue has an order of this kind already, or one that comes with the next walk
        let _ = self.flusher.try_send(ToFlusher::Flush);
    }
}
