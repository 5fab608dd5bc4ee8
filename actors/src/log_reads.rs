//! The log of the store as the watch hub reads it when events are no longer in memory.
//!
//! Each call takes the newest view. Must never hand out a part of a revision, unless it is asked for one.

use crate::store_reads::StoreReads;
use crate::watch_hub::{KeySet, LogChunk, LogPart, LogReadError, LogReads};
use crate::wiring::events::{WatchEvent, WatchRevision};
use bytes::Bytes;
use model::{ReadError, Revision};
use storage::engine::Snapshot;
use storage::read::events::{self, EventsBudget, EventsChunk};
use storage::read::key_events::key_events;
use storage::schema::Kind;
use storage::view::View;

/// Bytes of rows one call looks at, per byte of events wanted: bounds a scan whose filter matches little.
const SCAN_FACTOR: usize = 16;

impl<S: Snapshot> LogReads for StoreReads<S> {
    fn position(&self) -> (i64, i64) {
        let view = self.view();
        (view.status.revision, view.status.compact_revision)
    }

    fn read(
        &self,
        from: i64,
        to: i64,
        keys: &KeySet,
        max_bytes: usize,
        oversized: usize,
    ) -> Result<LogChunk, LogReadError> {
        let view = self.view();
        let mut out = LogChunk { revisions: Vec::new(), next: from, oversized: false };
        let mut at = Revision::new(from, 0);
        // of the revision read last
        let mut bytes = 0;
        loop {
            let chunk = chunk(&view, at, to, keys, max_bytes).map_err(|why| failed(&view, why))?;
            let EventsChunk { revisions, next, split } = chunk;
            for revision in revisions {
                let more: usize = revision.events.iter().map(|e| e.kv.len()).sum();
                let events = revision.events.into_iter().map(event);
                match out.revisions.last_mut() {
                    // the rest of a revision that did not fit into one chunk
                    Some(last) if last.revision == revision.main => {
                        last.events.extend(events);
                        bytes += more;
                    }
                    _ => {
                        out.revisions.push(WatchRevision { revision: revision.main, events: events.collect() });
                        bytes = more;
                    }
                }
            }
            if bytes > oversized
                && let Some(last) = out.revisions.pop_if(|last| last.events.len() > 1)
            {
                return Ok(LogChunk { next: last.revision, oversized: true, ..out });
            }
            at = next;
            if !split && next.sub == 0 {
                out.next = next.main.min(to + 1);
                return Ok(out);
            }
        }
    }

    fn part(&self, revision: i64, from: i64, keys: &KeySet, max_bytes: usize) -> Result<LogPart, LogReadError> {
        let view = self.view();
        let at = Revision::new(revision, from);
        let EventsChunk { revisions, next, .. } =
            chunk(&view, at, revision, keys, max_bytes).map_err(|why| failed(&view, why))?;
        let events = revisions.into_iter().flat_map(|r| r.events).map(|e| (e.revision.sub, event(e)));
        Ok(LogPart { events: events.collect(), next: (next.main == revision).then_some(next.sub) })
    }

    fn prev_kv(&self, revision: i64, event: &WatchEvent) -> Result<Option<Bytes>, LogReadError> {
        let view = self.view();
        let event = events::LogEvent {
            revision: Revision::new(revision, 0),
            kind: kind(event),
            key: event.key.clone(),
            kv: event.kv.clone(),
            superseded: Revision::new(event.superseded.0, event.superseded.1),
        };
        events::prev_kv(&view, &event).map_err(|why| failed(&view, why))
    }
}

fn chunk<S: Snapshot>(
    view: &View<S>,
    from: Revision,
    to: i64,
    keys: &KeySet,
    bytes: usize,
) -> Result<EventsChunk, ReadError> {
    match keys.single() {
        Some(key) => key_events(view, key, from, to, bytes),
        None => {
            let budget = EventsBudget { bytes, scanned: bytes.saturating_mul(SCAN_FACTOR) };
            events::events(view, from, to, |key| keys.contains(key), budget)
        }
    }
}

fn event(event: events::LogEvent) -> WatchEvent {
    WatchEvent {
        delete: event.kind == Kind::Delete,
        create: event.kind == Kind::Create,
        key: event.key,
        kv: event.kv,
        superseded: (event.superseded.main, event.superseded.sub),
    }
}

fn kind(event: &WatchEvent) -> Kind {
    match (event.delete, event.create) {
        (true, _) => Kind::Delete,
        (_, true) => Kind::Create,
        _ => Kind::Update,
    }
}

fn failed<S>(view: &View<S>, why: ReadError) -> LogReadError {
    match why {
        ReadError::Compacted => LogReadError::Compacted(view.status.compact_revision),
        why => LogReadError::Failed(why.to_string()),
    }
}
