//! What the hub reads from the store: the trait behind which the store lies, the jobs the core hands out, and their results.
//!
//! The core never calls the trait itself: jobs run on the hub's reader threads. Must never be called on the hub's arbiter.

use super::key_set::KeySet;
use super::log::{Prev, Stored, StoredRevision};
use bytes::Bytes;
use messages::watch::{LogEvent, RevisionEvents};
use std::sync::Arc;

/// The log of the store as the hub reads it. Every call takes the newest view.
pub trait LogReads: Send + Sync {
    /// Revision and compact revision of the newest view. Cheap: called for each list of requests, on the hub's arbiter.
    fn position(&self) -> (i64, i64);

    /// Events of wanted keys of revisions `from..=to`, about `max_bytes` of them.
    ///
    /// A revision is never handed out in part: one that alone exceeds the budget comes whole. The call may return with fewer
    /// events (or none) to bound its work, as long as `next` moves.
    ///
    /// # Errors
    /// [`LogReadError`].
    fn read(&self, from: i64, to: i64, keys: &KeySet, max_bytes: usize) -> Result<LogChunk, LogReadError>;

    /// The key-value that etcd would send as `prev_kv` of an event of this main revision: the key at `revision - 1`; `None` for
    /// a create or when that revision was compacted.
    ///
    /// # Errors
    /// [`LogReadError::Failed`].
    fn prev_kv(&self, revision: i64, event: &LogEvent) -> Result<Option<Bytes>, LogReadError>;
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Ascending, each whole; revisions without a wanted event may be left out.
    pub revisions: Vec<RevisionEvents>,
    /// Everything wanted before this revision has been handed out; more than `from`, at most `to + 1`.
    pub next: i64,
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

/// For whom a part of the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// For the hub itself: it was not handed all events.
    Head,
    /// For watchers that are behind.
    Sweep(u64),
}

/// An event whose previous key-value is wanted: revision, place in the revision, event.
pub type PrevAsk = (i64, u32, LogEvent);

/// A job for a reader thread.
#[derive(Clone, Debug)]
pub enum Work {
    /// Read a part of the log.
    Log {
        /// For whom.
        reader: Reader,
        /// First revision.
        from: i64,
        /// Last revision.
        to: i64,
        /// Wanted keys.
        keys: Arc<KeySet>,
        /// Keys whose previous key-values are wanted too.
        prev_keys: Arc<KeySet>,
        /// Budget.
        max_bytes: usize,
    },
    /// Read what events superseded.
    Prev(Vec<PrevAsk>),
}

/// Result of a job.
#[derive(Debug)]
pub enum Done {
    /// Of [`Work::Log`].
    Log {
        /// For whom.
        reader: Reader,
        /// Revisions and where to go on.
        chunk: Result<(Vec<StoredRevision>, i64), LogReadError>,
    },
    /// Of [`Work::Prev`]: revision, place in the revision, previous key-value.
    Prev(Result<Vec<(i64, u32, Option<Bytes>)>, LogReadError>),
}

impl Work {
    /// Does the job; blocks on the store.
    pub fn run(self, logs: &dyn LogReads) -> Done {
        match self {
            Self::Log { reader, from, to, keys, prev_keys, max_bytes } => {
                let chunk = logs.read(from, to, &keys, max_bytes).and_then(|chunk| {
                    let revisions = chunk.revisions.into_iter().map(|r| stored(logs, r, &prev_keys));
                    Ok((revisions.collect::<Result<_, _>>()?, chunk.next.min(to + 1)))
                });
                Done::Log { reader, chunk }
            }
            Self::Prev(asks) => {
                let found =
                    asks.into_iter().map(|(revision, at, event)| Ok((revision, at, logs.prev_kv(revision, &event)?)));
                Done::Prev(found.collect())
            }
        }
    }
}

fn stored(logs: &dyn LogReads, revision: RevisionEvents, prev_keys: &KeySet) -> Result<StoredRevision, LogReadError> {
    let main = revision.revision;
    let events = revision.events.into_iter().map(|event| {
        let prev = match !event.create && prev_keys.contains(&event.key) {
            true => Prev::Known(logs.prev_kv(main, &event)?),
            false => Prev::Unknown,
        };
        Ok(Stored::new(event, prev))
    });
    Ok(StoredRevision { revision: main, events: events.collect::<Result<_, _>>()? })
}
