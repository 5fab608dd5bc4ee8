//! Raft core ↔ log reader.

use raft::{Entry, Index};

/// Entries from `lo` on are needed for a follower, none behind `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLog {
    /// First index.
    pub lo: Index,
    /// Last index that may be returned.
    pub last: Index,
}

/// What was read. No entries: they cannot be read any more, raft asks again and is told what it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// First index that was asked for.
    pub lo: Index,
    /// Consecutive entries from `lo` on.
    pub entries: Vec<Entry>,
}
