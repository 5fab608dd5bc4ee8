//! The store as the hub reads it, behind a trait.
//!
//! Reads block, so they are done by jobs on the hub's reader threads. All but [`LogReads::position`] must never be called on
//! the hub's arbiter.

use super::key_set::KeySet;
use crate::wiring::events::{WatchEvent, WatchRevision};
use bytes::Bytes;

/// The log of the store as the hub reads it. Every call takes the newest view.
pub trait LogReads: Send + Sync {
    /// Revision and compact revision of the newest view. Cheap: called for each list of requests, on the hub's arbiter.
    fn position(&self) -> (i64, i64);

    /// Events of wanted keys of revisions `from..=to`, about `max_bytes` of them.
    ///
    /// A revision is never handed out in part: one that alone exceeds the budget comes whole, unless it has several events with
    /// more than `oversized` bytes: then it is left out and the chunk says so. The call may return with fewer events (or none)
    /// to bound its work, as long as `next` moves or the chunk is followed by an oversized revision.
    ///
    /// # Errors
    /// [`LogReadError`].
    fn read(
        &self,
        from: i64,
        to: i64,
        keys: &KeySet,
        max_bytes: usize,
        oversized: usize,
    ) -> Result<LogChunk, LogReadError>;

    /// Events of wanted keys of one revision from a place in it on, about `max_bytes` of them.
    ///
    /// # Errors
    /// [`LogReadError`].
    fn part(&self, revision: i64, from: i64, keys: &KeySet, max_bytes: usize) -> Result<LogPart, LogReadError>;

    /// The key-value that etcd would send as `prev_kv` of an event of this main revision: the key at `revision - 1`; `None` for
    /// a create or when that revision was compacted.
    ///
    /// # Errors
    /// [`LogReadError::Failed`].
    fn prev_kv(&self, revision: i64, event: &WatchEvent) -> Result<Option<Bytes>, LogReadError>;
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Ascending, each whole; revisions without a wanted event may be left out.
    pub revisions: Vec<WatchRevision>,
    /// Everything wanted before this revision has been handed out; more than `from`, at most `to + 1`.
    pub next: i64,
    /// Revision `next` is an oversized one and was left out.
    pub oversized: bool,
}

/// A part of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Place in the revision, and event; ascending.
    pub events: Vec<(i64, WatchEvent)>,
    /// Where to go on; `None` when the revision has no more.
    pub next: Option<i64>,
}

/// Why the log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogReadError {
    /// The first revision asked for lies before this compact revision.
    #[error("revision was compacted, history begins at {0}")]
    Compacted(i64),
    /// The store failed; the node stops.
    #[error("cannot read the log for watchers: {0}")]
    Failed(String),
}
