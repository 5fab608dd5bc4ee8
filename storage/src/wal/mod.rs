//! The write-ahead log: raft's entries and hard state, durable in group commits of one write and one sync.
//!
//! Must never acknowledge what is not durable, hand out an entry that was only half written, or guess: a tail that cannot have been
//! acknowledged is cut, anything else that is damaged refuses to open. Knows no thread and no clock; waits only for the disk.
//!
//! # Why the torn-tail rule holds
//!
//! A segment is a file of batches, each starting on a 4 KiB boundary with a header of 64 bytes ([`format`]): log id (random, drawn when
//! the log was made), segment number (never used twice), batch number (consecutive over the whole log), checksums. Call a header **ours**
//! when its own checksum is right and log id and segment are those of the segment it is found in.
//!
//! *One write in flight*: batch k+1 is written only after the sync of batch k succeeded ([`Wal::write`] asserts it). So of all batches
//! at most the last may be unsynced, and
//!
//! 1. **A header of ours with a number above k proves that k was durable.** If batch k is damaged and such a header exists at any later
//!    boundary of the segment, or a later segment exists (its head was synced and its name made durable after k's sync), that is
//!    corruption. The header is inside one sector, hence there whole or not at all, and has its own checksum: it counts as proof even when
//!    its payload is damaged too.
//! 2. **Otherwise k is a torn tail and is cut.** Either it was never acknowledged, or it is the last acknowledged batch, damaged later while
//!    nothing had followed it: no reader can tell these two apart. A WAL that then ends below the store's persisted applied index is refused by
//!    its owner; what lies above that index is for raft's quorum to repair.
//!
//! What an unsynced batch may leave behind is any subset of its sectors over what was there before. Before means, one of:
//!
//! * *zeros* (a prepared file): a missing header sector reads as no header; a missing payload sector fails the payload's checksum.
//! * *recycled bytes*: old headers carry another segment number, so they are not ours, wherever they lie and whatever their batch number.
//!   Old payload blocks, or payload blocks of k whose header is lost, can only pose as a header if their bytes contain the log id, which no
//!   user knows. A batch assembled from new and old sectors fails its checksum: header and payload are bound by the payload's checksum inside
//!   the header, and the header by its own.
//! * *an earlier attempt at batch k*, cut at an earlier start. It held the same number k at the same place (the place after batch k-1 is
//!   fixed by what precedes it), and no header above k: it had been in flight alone. So nothing it left can ever be a proof in the sense of 1,
//!   neither now nor after k was written again. Its own header, if it survived, would make a mixture of both attempts fail the checksum.
//!   Still, opening a log **zeroes the place of batch k, and as much of the attempt as can be recognised, and syncs it**, before anything
//!   is written: the cut is on the disk, not in the reasoning.
//!
//! *The cache is not the disk.* After a crash of the process alone the last batch may be in the page cache only, and after a failed sync
//! Linux shows pages that it will never write. So opening **writes the last batch once more and syncs** before anything is reported.
//!
//! *Names.* A new segment gets its head (synced), then its name, then the folder is synced, and only then a batch. A file that has a
//! segment's name and no valid head is therefore always corruption. Released segments are renamed to spares, oldest first; a spare is written
//! to only after the folder was synced once more, so that a file can never come back under its old name with new bytes. After a crash some
//! of the released ones may be back; the newest run of consecutive numbers counts, and the truncation record in it says whether that is enough.
//!
//! *Heads.* Each head repeats what is in force (hard state, truncation, last entry, a pending install): older segments can go, and when they
//! are still there, what they add up to must equal it.

mod batch;
mod error;
mod format;
mod index;
mod inspect;
mod open;
mod reader;
mod record;
mod replay;
mod scan;
mod scrub;
mod segment;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod scrub_tests;
#[cfg(test)]
mod speed_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torn_tests;

pub use error::WalError;
pub use format::{BLOCK, FORMAT_VERSION};
pub use inspect::{Inspection, Logged, LoggedRecord, SegmentInfo, inspect};
pub use open::{Recovered, TornTail, UncheckedWal};
pub use reader::{ReadError, WalReader};
pub use record::Install;
pub use scrub::{LogDamage, WalScrub};
pub use segment::{PrepareRequest, Prepared, prepare_segment};
pub use writer::{Batch, Wal};

use raft::{HardState, LogId};

/// Whose log this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalMeta {
    /// Cluster id.
    pub cluster: u64,
    /// Member id.
    pub member: u64,
    /// Random number drawn when the log is made. Not secret to those who can read the disk, but never shown to users: it is what keeps
    /// their values from being mistaken for batches.
    pub log_id: u64,
}

/// Where a new log begins: all zero for a new member, the snapshot's place for one that starts from a restored store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Everything up to here is in the store already.
    pub at: LogId,
    /// Hard state to begin with.
    pub hard_state: HardState,
}

/// Sizes; the default is for production, tests use small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// Size of the first segment, in bytes; each next one is twice the last, up to `max_segment`. Multiples of [`BLOCK`].
    pub min_segment: u64,
    /// Largest size of a segment, unless one batch needs more.
    pub max_segment: u64,
    /// Prepared and recycled files kept for reuse, in bytes of as many of the largest segments.
    pub max_spares: usize,
    /// Bytes of padding, more than bytes of records, at which the log asks to be released.
    pub max_padding: u64,
    /// One mark of the reader's index per this many bytes of a segment.
    pub mark_every: u64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self {
            min_segment: 4 << 20,
            max_segment: 64 << 20,
            max_spares: 2,
            max_padding: 32 << 20,
            mark_every: 256 << 10,
        }
    }
}

impl WalConfig {
    /// Of a log on a disk of `total` bytes. On a small one segments and spares are a share of it: at its largest the log is what is
    /// not flushed, the segment at hand, a prepared one and the spares.
    pub fn on_disk_of(total: u64) -> Self {
        let whole = Self::default();
        let max_segment = (total / 32 / BLOCK * BLOCK).clamp(1 << 20, whole.max_segment);
        let max_spares = if total < 1 << 30 { 1 } else { whole.max_spares };
        let max_padding = (max_segment / 2).min(whole.max_padding);
        Self { min_segment: whole.min_segment.min(max_segment), max_segment, max_spares, max_padding, ..whole }
    }

    /// Bytes that spares may take.
    fn spare_bytes(&self) -> u64 {
        self.max_spares as u64 * self.max_segment
    }

    /// Size of a segment as one of `size` bytes would be made anew, which must take `need` bytes.
    fn fitting(&self, size: u64, need: u64) -> u64 {
        size.clamp(self.min_segment, self.max_segment).max(need).next_multiple_of(BLOCK)
    }
}
