//! What the core reads from the durable log.
//!
//! The core never writes through this trait: writes travel in a [`Ready`](crate::Ready). Implementations answer at
//! once, from memory; what would need the disk is "temporarily unavailable".

use std::fmt;

use crate::types::{ConfState, Entry, HardState, Index, NodeId, Snapshot, Term};

/// The durable part of the log, as far as it can be read without waiting.
///
/// A range that has been reported durable by [`Node::on_persisted`](crate::Node::on_persisted) must be readable here
/// from then on, at the latest; earlier is allowed as long as the order of appends is kept.
pub trait Storage {
    /// State at start: term, vote and commit, and the membership as of the applied index given to the core.
    fn initial_state(&self) -> (HardState, ConfState);

    /// Entries `lo..hi`, a prefix of them when they exceed `max_bytes` of [`Entry::encoded_len`], but at least one.
    /// `TemporarilyUnavailable` when they must be fetched first: call
    /// [`Node::on_entries_loaded`](crate::Node::on_entries_loaded) once they can be read.
    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError>;

    /// Term of entry `index`, for `first_index - 1 ..= last_index`.
    fn term(&self, index: Index) -> Result<Term, StorageError>;

    /// First index that may be readable; the one after the last compacted.
    fn first_index(&self) -> Index;

    /// Last durable index; `first_index - 1` when there is none.
    fn last_index(&self) -> Index;

    /// Snapshot to send to `peer`, which needs more log than there is. `TemporarilyUnavailable` while one is built;
    /// the core asks again when it next hears from the peer.
    fn snapshot(&mut self, peer: NodeId) -> Result<Snapshot, StorageError>;
}

/// Why an entry, term or snapshot cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// Before the first index.
    Compacted,
    /// Beyond the last index.
    Unavailable,
    /// Exists, but not in memory; will be readable later.
    TemporarilyUnavailable,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StorageError::Compacted => "requested index is unavailable due to compaction",
            StorageError::Unavailable => "requested entry at index is unavailable",
            StorageError::TemporarilyUnavailable => "temporarily unavailable",
        })
    }
}

impl std::error::Error for StorageError {}
