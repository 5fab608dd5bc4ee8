//! A store that remembers everything, for tests of the hub.
//!
//! Its encoder is written apart from the hub's, so that one checks the other.

use super::config::Position;
use super::key_set::KeySet;
use super::source::{LogChunk, LogPart, LogReadError, LogReads};
use crate::wiring::events::{WatchEvent, WatchRevision};
use bytes::Bytes;
use messages::SinkId;
use messages::watch::{CreateWatch, StreamKey};
use model::KeyRange;
use std::collections::BTreeMap;
use std::sync::Arc;

/// History of a store.
#[derive(Clone, Default)]
pub(super) struct Store {
    /// Revision 2 is the first.
    pub(super) history: Arc<Vec<WatchRevision>>,
    pub(super) compact: i64,
    pub(super) heads: BTreeMap<Bytes, (i64, i64)>,
    /// Most bytes a read hands out, whatever it is asked for.
    pub(super) stingy: bool,
}

/// What a transaction does to a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Put(u8),
    Delete(u8),
}

pub(super) fn key(n: u8) -> Bytes {
    [&b"a"[..], b"ab", b"abc", b"b", b"b\xff", b"c"].map(Bytes::from_static)[usize::from(n) % 6].clone()
}

fn varint(mut n: i64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2], &varint(bytes.len() as i64)[..], bytes].concat()
}

/// The bytes a client must get for an event.
pub(super) fn expected(event: &WatchEvent, prev: Option<&Bytes>) -> Bytes {
    let kind: &[u8] = if event.delete { &[8, 1] } else { &[] };
    let prev = prev.map(|prev| field(3, prev)).unwrap_or_default();
    field(11, &[kind, &field(2, &event.kv), &prev].concat()).into()
}

impl Store {
    pub(super) fn revision(&self) -> i64 {
        self.history.len() as i64 + 1
    }

    pub(super) fn position(&self) -> Position {
        Position { revision: self.revision(), compact_revision: self.compact }
    }

    /// Applies a transaction; deletes of keys that are not there do nothing. `value` pads values.
    pub(super) fn commit(&mut self, changes: &[Change], value: usize) {
        let revision = self.revision() + 1;
        let mut events: Vec<WatchEvent> = Vec::new();
        for change in changes {
            let sub = events.len() as i64;
            let (name, put) = match change {
                Change::Put(n) => (key(*n), true),
                Change::Delete(n) => (key(*n), false),
            };
            let deleted_before = events.iter().any(|e| e.delete && e.key == name);
            let head = self.heads.get(&name).copied();
            if !put && (head.is_none() || deleted_before) {
                continue;
            }
            let text = format!("{sub}{}", "v".repeat(value));
            let value = if put { field(5, text.as_bytes()) } else { Vec::new() };
            let kv = Bytes::from([field(1, &name), [&[3 << 3][..], &varint(revision)].concat(), value].concat());
            match put {
                true => self.heads.insert(name.clone(), (revision, sub)),
                false => self.heads.remove(&name),
            };
            events.push(WatchEvent {
                delete: !put,
                create: head.is_none(),
                key: name,
                kv,
                superseded: head.unwrap_or_default(),
            });
        }
        if !events.is_empty() {
            Arc::make_mut(&mut self.history).push(WatchRevision { revision, events });
        }
    }

    /// Wanted events of a revision; nothing happened in revision 1.
    fn wanted(&self, revision: i64, keys: &KeySet) -> Vec<WatchEvent> {
        let whole = self.history.get((revision - 2) as usize).map(|r| &r.events[..]).unwrap_or_default();
        whole.iter().filter(|e| keys.contains(&e.key)).cloned().collect()
    }

    /// Itself, as jobs take it.
    pub(super) fn source(&self) -> Arc<dyn LogReads> {
        Arc::new(self.clone())
    }

    pub(super) fn since(&self, revision: i64) -> &[WatchRevision] {
        self.history.get((revision.max(1) - 1) as usize..).unwrap_or_default()
    }

    pub(super) fn list_since(&self, revision: i64) -> Arc<[WatchRevision]> {
        self.since(revision).to_vec().into()
    }

    /// The key-value before an event's revision, compaction aside.
    pub(super) fn prev(&self, revision: i64, event: &WatchEvent) -> Option<Bytes> {
        let before = self.history[..(revision - 2) as usize].iter().flat_map(|r| &r.events);
        let last = before.filter(|e| e.key == event.key).last().filter(|e| !e.delete)?;
        (!event.create).then(|| last.kv.clone())
    }
}

impl LogReads for Store {
    fn position(&self) -> (i64, i64) {
        (self.revision(), self.compact)
    }

    fn read(
        &self,
        from: i64,
        to: i64,
        keys: &KeySet,
        max_bytes: usize,
        oversized: usize,
    ) -> Result<LogChunk, LogReadError> {
        if from < self.compact {
            return Err(LogReadError::Compacted(self.compact));
        }
        let mut revisions = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while next <= to && bytes < max_bytes {
            let events = self.wanted(next, keys);
            let own = events.iter().map(|e| e.kv.len()).sum::<usize>();
            if own > oversized && events.len() > 1 {
                return Ok(LogChunk { revisions, next, oversized: true });
            }
            bytes += own + usize::from(self.stingy) * max_bytes / 2;
            if !events.is_empty() {
                revisions.push(WatchRevision { revision: next, events });
            }
            next += 1;
        }
        Ok(LogChunk { revisions, next, oversized: false })
    }

    fn part(&self, revision: i64, from: i64, keys: &KeySet, _: usize) -> Result<LogPart, LogReadError> {
        if revision < self.compact {
            return Err(LogReadError::Compacted(self.compact));
        }
        // one at a time: whoever puts parts together is tested most
        let mut events = self.wanted(revision, keys).into_iter().enumerate().skip(from as usize);
        let next = events.next().map(|(at, event)| (at as i64, event));
        Ok(LogPart { next: next.as_ref().map(|(at, _)| at + 1), events: next.into_iter().collect() })
    }

    fn prev_kv(&self, revision: i64, event: &WatchEvent) -> Result<Option<Bytes>, LogReadError> {
        Ok(self.prev(revision, event).filter(|_| revision > self.compact))
    }
}

pub(super) fn stream(token: u64) -> StreamKey {
    StreamKey { sink: SinkId((token % 2) as u32), token }
}

pub(super) fn watch(key: &'static str, end: &'static str) -> CreateWatch {
    CreateWatch::new(KeyRange::new(key.into(), end.into()))
}
