//! The jobs that the hub gives to its reader threads, and their results.
//!
//! Each runs without the hub. Must never be run on the hub's arbiter: it blocks on the store.

use super::event_log::{PrevKv, PrevKvAsk, PrevKvFound, StoredEvent, StoredRevision};
use super::key_set::KeySet;
use super::oversized::{MeasureJob, MeasuredBatches};
use super::source::{LogChunk, LogReadError, LogReads};
use bytes::Bytes;
use std::sync::Arc;

/// For whom a part of the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// For the hub itself: it was not handed all events.
    Hub,
    /// For watchers that are behind: the number of their scan.
    Scan(u64),
}

/// A part of the log to be read.
#[derive(Clone, Debug)]
pub struct LogJob {
    /// For whom.
    pub reader: Reader,
    /// First revision.
    pub from: i64,
    /// Last revision.
    pub to: i64,
    /// Wanted keys.
    pub keys: Arc<KeySet>,
    /// Keys whose previous key-values are wanted too.
    pub prev_keys: Arc<KeySet>,
    /// Budget in bytes.
    pub max_bytes: usize,
    /// Bytes beyond which a revision of several events is oversized.
    pub oversized: usize,
}

/// A job for a reader thread.
#[derive(Clone, Debug)]
pub enum ReadJob {
    /// Read a part of the log.
    Log(LogJob),
    /// Read what events superseded.
    PrevKvs(Vec<PrevKvAsk>),
    /// Measure oversized batches for several watchers.
    Measure(MeasureJob),
}

/// What a job read of the log.
#[derive(Debug)]
pub struct LogRead {
    /// Ascending, each whole.
    pub revisions: Vec<StoredRevision>,
    /// Where to go on.
    pub next: i64,
    /// Revision `next` is an oversized one and was left out.
    pub oversized: bool,
}

/// Previous key-values that a job read.
#[derive(Debug)]
pub struct PrevKvsRead {
    /// What was found.
    pub found: Vec<PrevKvFound>,
    /// What did not fit, to be asked again.
    pub left: Vec<PrevKvAsk>,
}

/// Result of a job.
#[derive(Debug)]
pub enum ReadDone {
    /// Of [`ReadJob::Log`].
    Log {
        /// For whom.
        reader: Reader,
        /// What was read.
        read: Result<LogRead, LogReadError>,
    },
    /// Of [`ReadJob::PrevKvs`].
    PrevKvs(Result<PrevKvsRead, LogReadError>),
    /// Of [`ReadJob::Measure`].
    Measured(MeasuredBatches),
}

/// Bytes of previous key-values read by one job, besides the last one.
const PREV_KV_BYTES: usize = 1 << 20;

impl ReadJob {
    /// Does the job; blocks on the store.
    pub fn run(self, source: &Arc<dyn LogReads>) -> ReadDone {
        match self {
            Self::Log(job) => ReadDone::Log { reader: job.reader, read: read_log(source.as_ref(), &job) },
            Self::PrevKvs(asks) => ReadDone::PrevKvs(read_prev_kvs(source.as_ref(), asks)),
            Self::Measure(job) => ReadDone::Measured(job.run(source)),
        }
    }
}

fn read_log(source: &dyn LogReads, job: &LogJob) -> Result<LogRead, LogReadError> {
    let chunk = source.read(job.from, job.to, &job.keys, job.max_bytes, job.oversized)?;
    add_prev_kvs(source, LogChunk { next: chunk.next.min(job.to + 1), ..chunk }, job)
}

fn read_prev_kvs(source: &dyn LogReads, asks: Vec<PrevKvAsk>) -> Result<PrevKvsRead, LogReadError> {
    let mut found = Vec::with_capacity(asks.len());
    let mut bytes = 0;
    let mut asks = asks.into_iter();
    while bytes < PREV_KV_BYTES {
        let Some(PrevKvAsk { revision, place, event }) = asks.next() else { break };
        let prev = source.prev_kv(revision, &event)?;
        bytes += prev.as_ref().map_or(0, Bytes::len);
        found.push(PrevKvFound { revision, place, prev });
    }
    Ok(PrevKvsRead { found, left: asks.collect() })
}

/// Adds previous key-values where they are wanted; ends before a revision that would be too much with them.
fn add_prev_kvs(source: &dyn LogReads, chunk: LogChunk, job: &LogJob) -> Result<LogRead, LogReadError> {
    let mut revisions = Vec::with_capacity(chunk.revisions.len());
    let mut total = 0;
    for revision in chunk.revisions {
        let main = revision.revision;
        if total > job.max_bytes {
            return Ok(LogRead { revisions, next: main, oversized: false });
        }
        let several = revision.events.len() > 1;
        let mut events = Vec::new();
        let mut bytes = 0;
        for event in revision.events {
            let prev = match !event.create && job.prev_keys.contains(&event.key) {
                true => PrevKv::Known(source.prev_kv(main, &event)?),
                false => PrevKv::Unknown,
            };
            bytes += event.kv.len() + if let PrevKv::Known(Some(prev)) = &prev { prev.len() } else { 0 };
            if several && bytes > job.oversized {
                return Ok(LogRead { revisions, next: main, oversized: true });
            }
            events.push(StoredEvent::new(event, prev));
        }
        total += bytes;
        revisions.push(StoredRevision { revision: main, events });
    }
    Ok(LogRead { revisions, next: chunk.next, oversized: chunk.oversized })
}
