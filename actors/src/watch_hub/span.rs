//! Batches of several revisions, for clients that take responses in fragments: how long one is, and its events part by part.
//!
//! A batch ends as etcd's does, after 1,000 revisions, or before when it has many bytes: a client puts the whole of it together
//! in memory. Must never begin or end within a revision, and never include an oversized one.

use super::batch::{BatchSize, OversizedSpec, PART, read_error};
use super::encode;
use super::key_set::KeySet;
use super::source::{LogReadError, LogReads};
use bytes::{Bytes, BytesMut};
use messages::read::ChunkSource;
use model::ReadError;
use std::ops::Range;
use std::sync::Arc;

/// Reads of the log that one measure does at most: a watcher of rare events must not hold up the others.
const READS: usize = 128;

/// Where a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanLimits {
    /// Most revisions.
    pub(super) revisions: usize,
    /// It ends with the revision that reaches so many bytes.
    pub(super) bytes: u64,
    /// Bytes beyond which a revision of several events is oversized.
    pub(super) oversized: usize,
    /// The last revision that may be in it.
    pub(super) last: i64,
}

/// Length of the batch that begins at a revision; `None` when that one is oversized, and then a batch of its own.
pub(super) fn measure(
    logs: &dyn LogReads,
    from: i64,
    spec: &OversizedSpec,
    limits: SpanLimits,
) -> Result<Option<BatchSize>, LogReadError> {
    let keys = KeySet::of(std::iter::once(&spec.range));
    let last = limits.last.max(from);
    let mut size = BatchSize { bytes: 0, next: from };
    let mut revisions = 0;
    for _ in 0..READS {
        if size.next > last {
            break;
        }
        let chunk = logs.read(size.next, last, &keys, PART, limits.oversized)?;
        for revision in &chunk.revisions {
            if revisions == limits.revisions || size.bytes >= limits.bytes {
                return Ok(Some(BatchSize { next: revision.revision, ..size }));
            }
            let before = size.bytes;
            for event in revision.events.iter().filter(|event| spec.wants(event)) {
                let prev = if spec.prev_kv { logs.prev_kv(revision.revision, event)? } else { None };
                size.bytes += encode::event_len(event.delete, event.kv.len(), prev.map(|prev| prev.len())) as u64;
            }
            revisions += usize::from(size.bytes > before);
        }
        size.next = chunk.next.min(last + 1);
        if chunk.oversized {
            return Ok((size.next > from).then_some(size));
        }
    }
    Ok(Some(size))
}

/// The events of a batch for one watcher, part by part.
pub(super) struct SpanSource {
    logs: Arc<dyn LogReads>,
    /// Revisions that are left.
    left: Range<i64>,
    /// Events of the first one that were handed out.
    taken: usize,
    keys: KeySet,
    spec: OversizedSpec,
    /// The compact revision when it was measured.
    compact: i64,
}

impl SpanSource {
    /// Of these revisions, as measured when `compact` was the compact revision.
    pub(super) fn new(
        logs: Arc<dyn LogReads>,
        revisions: Range<i64>,
        keys: KeySet,
        spec: OversizedSpec,
        compact: i64,
    ) -> Self {
        Self { logs, left: revisions, taken: 0, keys, spec, compact }
    }

    /// Appends events of the next revisions; stops after the event that reaches `max_bytes`.
    fn read_into(&mut self, out: &mut BytesMut, max_bytes: usize) -> Result<(), LogReadError> {
        let chunk = self.logs.read(self.left.start, self.left.end - 1, &self.keys, max_bytes, usize::MAX)?;
        for revision in chunk.revisions {
            let skipped = if revision.revision == self.left.start { self.taken } else { 0 };
            for (place, event) in revision.events.iter().enumerate().skip(skipped) {
                if out.len() >= max_bytes {
                    // previous key-values made more of it: the rest is read again
                    self.left.start = revision.revision;
                    self.taken = place;
                    return Ok(());
                }
                if !self.spec.wants(event) {
                    continue;
                }
                let prev = match self.spec.prev_kv {
                    true => self.logs.prev_kv(revision.revision, event)?,
                    false => None,
                };
                out.extend_from_slice(&encode::event(event.delete, &event.kv, prev.as_deref()).bytes);
            }
        }
        self.left.start = chunk.next;
        self.taken = 0;
        Ok(())
    }
}

impl ChunkSource for SpanSource {
    fn next(&mut self, max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        let mut out = BytesMut::new();
        let first = self.left.start;
        while self.left.start < self.left.end && out.is_empty() {
            self.read_into(&mut out, max_bytes).map_err(read_error)?;
        }
        // a compaction since then takes what was before the events at its revision: no longer what was measured
        let compact = self.logs.position().1;
        if self.spec.prev_kv && compact >= first && compact != self.compact {
            return Err(ReadError::Compacted);
        }
        Ok((!out.is_empty()).then(|| out.freeze()))
    }
}
