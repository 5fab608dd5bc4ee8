//! What owners measure of their work: how long it took, in etcd's buckets, and how often it was done. The metrics page reads it.
//!
//! Plain counters. Must never be a basis for a decision.

use crate::histogram::DoublingHistogram;
use model::CommandKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// From a millisecond to eight seconds: syncs and writes of a disk.
pub type DiskTimes = DoublingHistogram<1_000, 14>;
/// From a tenth of a millisecond to a minute: requests.
pub type RequestTimes = DoublingHistogram<100, 20>;

/// See the file header.
#[derive(Debug, Default)]
pub struct Measured {
    /// Writes of the log, without their syncs.
    pub wal_writes: DiskTimes,
    /// Applications of a list of entries to the store, its batch included.
    pub store_commits: DiskTimes,
    /// Openings of a snapshot of the whole store.
    pub snapshots_opened: DoublingHistogram<10_000, 17>,
    /// Defragmentations.
    pub defragmentations: DoublingHistogram<100_000, 13>,
    /// Hashes of the whole store.
    pub hashes: DoublingHistogram<10_000, 15>,
    /// Hashes at a revision.
    pub revision_hashes: DoublingHistogram<10_000, 15>,
    /// Syncs of the folder of a store that was received.
    pub received_stores_synced: DiskTimes,
    /// Stores that were received: verified, opened and synced.
    pub received_stores: DoublingHistogram<100_000, 10>,
    /// Received stores that are being installed.
    pub installing: AtomicU64,
    /// Steps of compactions.
    pub compaction_steps: DoublingHistogram<1_000, 13>,
    /// Compactions, from the entry to the last row.
    pub compactions: DoublingHistogram<100_000, 14>,
    /// Versions of keys that compactions have deleted.
    pub compacted: AtomicU64,
    /// When the last compaction ended, in seconds since 1970; zero before.
    pub last_compaction: AtomicU64,
    /// Times to live that leases were granted with.
    pub lease_ttls: DoublingHistogram<1_000_000, 24>,
    /// What the hub took for a turn in which it had events to send.
    pub watch_turns: DiskTimes,
    /// The same, for each event.
    pub watch_events: DiskTimes,
    /// What it took for a turn of requests of clients.
    pub watch_requests: DiskTimes,
    /// What it took for notices of progress.
    pub watch_progress: DiskTimes,
    /// Rounds of read indices that were asked for again, because no answer came.
    pub slow_read_indexes: AtomicU64,
    /// Reads that were refused because no read index was granted in time.
    pub failed_read_indexes: AtomicU64,
    /// Times that this member led and was late with its heartbeats.
    pub late_heartbeats: AtomicU64,
    /// Promotions of learners that this member carried out as a leader.
    pub promotions: AtomicU64,
    /// What was applied.
    pub applied: AppliedWork,
}

/// What was applied, by kind and by what came of it.
#[derive(Debug)]
pub struct AppliedWork {
    /// Successful and failed.
    commands: [[RequestTimes; 2]; CommandKind::COUNT],
    /// Lists of entries that took longer than `--warning-apply-duration`.
    pub slow: AtomicU64,
    /// Puts, those inside transactions included.
    pub puts: AtomicU64,
    /// Deletes of ranges, those inside transactions included.
    pub deletes: AtomicU64,
    /// Ranges inside transactions that were applied.
    pub ranges: AtomicU64,
    /// Transactions with more than one operation.
    pub txns: AtomicU64,
    /// Bytes of the key-value pairs that were put.
    pub put_bytes: AtomicU64,
}

impl Default for AppliedWork {
    fn default() -> Self {
        Self {
            commands: std::array::from_fn(|_| std::array::from_fn(|_| RequestTimes::default())),
            slow: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            ranges: AtomicU64::new(0),
            txns: AtomicU64::new(0),
            put_bytes: AtomicU64::new(0),
        }
    }
}

impl AppliedWork {
    /// So many commands of a kind were applied, with or without success.
    pub fn observe(&self, kind: CommandKind, success: bool, count: u64, each: Duration) {
        self.commands[kind.index()][usize::from(!success)].observe_many(count, each);
    }

    /// All kinds of which there was one, and whether these had success.
    pub fn commands(&self) -> impl Iterator<Item = (CommandKind, bool, &RequestTimes)> {
        let both = move |kind: CommandKind| {
            [true, false].into_iter().map(move |success| {
                let times = &self.commands[kind.index()][usize::from(!success)];
                (kind, success, times)
            })
        };
        CommandKind::all().flat_map(both).filter(|(_, _, times)| times.count() > 0)
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Relaxed);
        }
    }
}
