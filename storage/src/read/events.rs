//! What happened, in revision order: the log as watchers read it who are behind.
//!
//! A main revision is handed out whole unless it alone exceeds the budget. Must never skip a row that is wanted, and never
//! read on without bound for a filter that matches nothing.

use super::kv_bytes::key_span;
use super::point::get_at;
use super::values::fetch_one;
use crate::engine::{Direction, Family, Scan, Snapshot};
use crate::schema::{Kind, LogRow};
use crate::view::View;
use bytes::Bytes;
use model::{ReadError, Revision};

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Its name.
    pub revision: Revision,
    /// What it did.
    pub kind: Kind,
    /// To which key.
    pub key: Bytes,
    /// Encoded `KeyValue`; of a delete key and mod_revision only.
    pub kv: Bytes,
    /// The version it superseded; zero for a create.
    pub superseded: Revision,
}

impl LogEvent {
    /// Reads a row of `log`; key and key-value share its buffer.
    pub(super) fn of_row(revision: Revision, row: Bytes) -> Result<Self, ReadError> {
        let LogRow { kind, superseded, kv, .. } = LogRow::decode(row)?;
        let key = kv.slice(key_span(&kv)?);
        Ok(Self { revision, kind, key, kv, superseded })
    }
}

/// Wanted events of one main revision, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionEvents {
    /// The main revision.
    pub main: i64,
    /// Never empty.
    pub events: Vec<LogEvent>,
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsChunk {
    /// Ascending; revisions without a wanted event are left out.
    pub revisions: Vec<RevisionEvents>,
    /// Where to go on. Everything wanted before it has been handed out.
    pub next: Revision,
    /// The last revision exceeds the budget alone and is not complete: the rest of it starts at `next`.
    pub split: bool,
}

/// How much one call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsBudget {
    /// Bytes of wanted events' key-values after which no further revision is begun.
    pub bytes: usize,
    /// Bytes of rows read, wanted or not, after which the call returns.
    pub scanned: usize,
}

/// Collects events into revisions under a budget.
pub(super) struct Collector {
    revisions: Vec<RevisionEvents>,
    bytes: usize,
    budget: usize,
}

impl Collector {
    pub(super) fn new(budget: usize) -> Self {
        Self { revisions: Vec::new(), bytes: 0, budget }
    }

    /// True when a wanted event of the revision was added: a chunk should not end inside it.
    pub(super) fn begun(&self, main: i64) -> bool {
        self.revisions.last().is_some_and(|last| last.main == main)
    }

    /// Adds an event, or ends the chunk when it is full without it.
    pub(super) fn add(&mut self, event: LogEvent) -> Result<(), EventsChunk> {
        let revision = event.revision;
        let (full, begun) = (self.bytes >= self.budget, self.begun(revision.main));
        if full && begun && self.revisions.len() > 1 {
            // The revision did not fit: give it back.
            self.revisions.pop();
            return Err(self.take(Revision::new(revision.main, 0), false));
        }
        if full && !self.revisions.is_empty() {
            return Err(self.take(revision, begun));
        }
        self.bytes += event.kv.len();
        match self.revisions.last_mut() {
            Some(last) if begun => last.events.push(event),
            _ => self.revisions.push(RevisionEvents { main: revision.main, events: vec![event] }),
        }
        Ok(())
    }

    /// The chunk, going on at `next`.
    pub(super) fn finish(mut self, next: Revision) -> EventsChunk {
        self.take(next, false)
    }

    fn take(&mut self, next: Revision, split: bool) -> EventsChunk {
        EventsChunk { revisions: std::mem::take(&mut self.revisions), next, split }
    }
}

/// Events of the keys that `wanted` says yes to, from a revision on up to a main revision inclusive (at most the view's).
///
/// # Errors
/// [`ReadError::Compacted`] when `from` lies before the compacted revision (that revision itself can be read),
/// [`ReadError::Store`].
pub fn events<S: Snapshot>(
    view: &View<S>,
    from: Revision,
    to: i64,
    mut wanted: impl FnMut(&[u8]) -> bool,
    budget: EventsBudget,
) -> Result<EventsChunk, ReadError> {
    if from.main < view.status.compact_revision {
        return Err(ReadError::Compacted);
    }
    let end = Revision::new(to.min(view.status.revision).saturating_add(1), 0);
    let mut collector = Collector::new(budget.bytes);
    if from >= end {
        return Ok(collector.finish(from));
    }
    let mut scanned = 0;
    let mut scan = view.snapshot.scan(Family::Log, &from.to_bytes(), Some(&end.to_bytes()), Direction::Forward);
    while let Some((key, row)) = scan.next()? {
        let revision = Revision::from_bytes(key).ok_or_else(|| ReadError::Store("log row with a bad key".into()))?;
        if scanned >= budget.scanned.max(1) && !collector.begun(revision.main) {
            return Ok(collector.finish(revision));
        }
        scanned += row.len();
        let kv = row.get(LogRow::HEAD..).unwrap_or_default();
        if !wanted(&kv[key_span(kv)?]) {
            continue;
        }
        if let Err(chunk) = collector.add(LogEvent::of_row(revision, Bytes::copy_from_slice(row))?) {
            return Ok(chunk);
        }
    }
    Ok(collector.finish(end))
}

/// The key-value before an event: what etcd reads at the event's revision less one.
///
/// Nothing for creates, for deletes' own past when it was compacted, and when the revision before is compacted.
///
/// # Errors
/// [`ReadError::Store`].
pub fn prev_kv<S: Snapshot>(view: &View<S>, event: &LogEvent) -> Result<Option<Bytes>, ReadError> {
    let before = event.revision.main - 1;
    if event.kind == Kind::Create || before < view.status.compact_revision {
        return Ok(None);
    }
    if event.superseded.main == event.revision.main {
        // Changed twice in one transaction: the revision before shows neither.
        return Ok(get_at(&view.snapshot, &event.key, before)?.map(|(_, kv)| kv));
    }
    fetch_one(&view.snapshot, event.superseded).map(Some)
}
