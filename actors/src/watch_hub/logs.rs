//! What the hub reads from the store: the trait behind which the store lies, the jobs the core hands out, and their results.
//!
//! The core never calls the trait itself: jobs run on the hub's reader threads. Must never be called on the hub's arbiter.

use super::huge::{HugeDone, HugeWork};
use super::key_set::KeySet;
use super::log::{Prev, Stored, StoredRevision};
use crate::wiring::events::{LogEvent, RevisionEvents};
use bytes::Bytes;
use std::sync::Arc;

/// The log of the store as the hub reads it. Every call takes the newest view.
pub trait LogReads: Send + Sync {
    /// Revision and compact revision of the newest view. Cheap: called for each list of requests, on the hub's arbiter.
    fn position(&self) -> (i64, i64);

    /// Events of wanted keys of revisions `from..=to`, about `max_bytes` of them.
    ///
    /// A revision is never handed out in part: one that alone exceeds the budget comes whole, unless it has several events with
    /// more than `huge` bytes: then it is left out and the chunk says so. The call may return with fewer events (or none) to
    /// bound its work, as long as `next` moves or the chunk is followed by a huge revision.
    ///
    /// # Errors
    /// [`LogReadError`].
    fn read(&self, from: i64, to: i64, keys: &KeySet, max_bytes: usize, huge: usize) -> Result<LogChunk, LogReadError>;

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
    fn prev_kv(&self, revision: i64, event: &LogEvent) -> Result<Option<Bytes>, LogReadError>;
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Ascending, each whole; revisions without a wanted event may be left out.
    pub revisions: Vec<RevisionEvents>,
    /// Everything wanted before this revision has been handed out; more than `from`, at most `to + 1`.
    pub next: i64,
    /// Revision `next` is a huge one and was left out.
    pub huge: bool,
}

/// A part of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Place in the revision, and event; ascending.
    pub events: Vec<(i64, LogEvent)>,
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
        /// Bytes beyond which a revision is a huge one.
        huge: usize,
    },
    /// Read what events superseded.
    Prev(Vec<PrevAsk>),
    /// Measure a huge revision for several watchers.
    Huge(HugeWork),
}

/// What a job read of the log.
pub type LogRead = (Vec<StoredRevision>, i64, bool);
/// Revision, place in the revision, previous key-value.
pub type PrevFound = (i64, u32, Option<Bytes>);

/// Result of a job.
#[derive(Debug)]
pub enum Done {
    /// Of [`Work::Log`].
    Log {
        /// For whom.
        reader: Reader,
        /// Revisions, where to go on, and whether there a huge revision stands.
        chunk: Result<LogRead, LogReadError>,
    },
    /// Of [`Work::Prev`]: what was found, and what is to be asked again.
    Prev(Result<(Vec<PrevFound>, Vec<PrevAsk>), LogReadError>),
    /// Of [`Work::Huge`].
    Huge(HugeDone),
}

/// Bytes of previous key-values read by one job, besides the last one.
const PREV_BYTES: usize = 1 << 20;

impl Work {
    /// Does the job; blocks on the store.
    pub fn run(self, logs: &Arc<dyn LogReads>) -> Done {
        match self {
            Self::Log { reader, from, to, keys, prev_keys, max_bytes, huge } => {
                let chunk = logs.read(from, to, &keys, max_bytes, huge);
                let chunk = chunk.and_then(|chunk| {
                    let upto = LogChunk { next: chunk.next.min(to + 1), ..chunk };
                    with_prevs(logs.as_ref(), upto, &prev_keys, max_bytes, huge)
                });
                Done::Log { reader, chunk }
            }
            Self::Prev(asks) => Done::Prev(prevs(logs.as_ref(), asks)),
            Self::Huge(work) => Done::Huge(work.run(logs)),
        }
    }
}

fn prevs(logs: &dyn LogReads, asks: Vec<PrevAsk>) -> Result<(Vec<PrevFound>, Vec<PrevAsk>), LogReadError> {
    let (mut found, mut bytes) = (Vec::with_capacity(asks.len()), 0);
    let mut asks = asks.into_iter();
    while bytes < PREV_BYTES {
        let Some((revision, at, event)) = asks.next() else { break };
        let prev = logs.prev_kv(revision, &event)?;
        bytes += prev.as_ref().map_or(0, Bytes::len);
        found.push((revision, at, prev));
    }
    Ok((found, asks.collect()))
}

/// Adds previous key-values where they are wanted; ends before a revision that would be too much with them.
fn with_prevs(
    logs: &dyn LogReads,
    chunk: LogChunk,
    prev_keys: &KeySet,
    max_bytes: usize,
    huge: usize,
) -> Result<LogRead, LogReadError> {
    let (mut out, mut total) = (Vec::with_capacity(chunk.revisions.len()), 0);
    for revision in chunk.revisions {
        let main = revision.revision;
        if total > max_bytes {
            return Ok((out, main, false));
        }
        let (mut events, mut bytes, several) = (Vec::new(), 0, revision.events.len() > 1);
        for event in revision.events {
            let prev = match !event.create && prev_keys.contains(&event.key) {
                true => Prev::Known(logs.prev_kv(main, &event)?),
                false => Prev::Unknown,
            };
            bytes += event.kv.len() + if let Prev::Known(Some(prev)) = &prev { prev.len() } else { 0 };
            if several && bytes > huge {
                return Ok((out, main, true));
            }
            events.push(Stored::new(event, prev));
        }
        total += bytes;
        out.push(StoredRevision { revision: main, events });
    }
    Ok((out, chunk.next, chunk.huge))
}
