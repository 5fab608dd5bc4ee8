//! Events in memory, ascending by revision: the ring of the newest ones, and chunks read from the store.
//!
//! Each event is encoded at most once without and once with its previous key-value; all watchers share the bytes. The ring
//! must never drop a revision before it was offered to the watchers at the head.

use super::encode;
use crate::wiring::events::WatchEvent;
use bytes::Bytes;
use std::collections::VecDeque;

/// What is known of the key-value before an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrevKv {
    /// Nobody asked.
    Unknown,
    /// A reader thread is asked, or will be.
    Wanted,
    /// This, or that there is none.
    Known(Option<Bytes>),
    /// Those of the same revision are together too large for memory.
    Oversized,
}

/// An event encoded with its previous key-value, if that is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WithPrevKv {
    /// Encoded.
    Known(Bytes),
    /// It has to be read.
    Wanted,
    /// The revision is oversized for those who want previous key-values.
    Oversized,
}

/// An event with its encodings.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    event: WatchEvent,
    prev: PrevKv,
    plain: Option<Bytes>,
    with_prev: Option<Bytes>,
}

/// Events of one main revision.
#[derive(Clone, Debug)]
pub struct StoredRevision {
    /// The main revision.
    pub revision: i64,
    /// In sub order.
    pub events: Vec<StoredEvent>,
}

impl StoredEvent {
    /// Around an event.
    pub fn new(event: WatchEvent, prev: PrevKv) -> Self {
        let prev = if event.create { PrevKv::Known(None) } else { prev };
        Self { event, prev, plain: None, with_prev: None }
    }

    /// Bytes it occupies in the log: itself, and the buffers that it holds.
    fn bytes(&self) -> usize {
        // once sent it is held as encoded, which is the key-value and a few bytes
        let again = self.with_prev.as_ref().map_or(0, |_| self.event.kv.len());
        size_of::<Self>() + self.event.kv.len() + self.prev_len() + again
    }

    fn encoded(&mut self) -> Bytes {
        if let Some(bytes) = &self.plain {
            return bytes.clone();
        }
        let encoded = encode::event(self.event.delete, &self.event.kv, None);
        // the buffer the event came in is not held any longer
        if let Some(key) = encode::key_in(&encoded.kv, &self.event.key) {
            self.event.key = key;
            self.event.kv = encoded.kv;
        }
        self.plain = Some(encoded.bytes.clone());
        encoded.bytes
    }

    fn encoded_with_prev(&mut self) -> WithPrevKv {
        if let Some(bytes) = &self.with_prev {
            return WithPrevKv::Known(bytes.clone());
        }
        match &self.prev {
            PrevKv::Unknown | PrevKv::Wanted => WithPrevKv::Wanted,
            PrevKv::Oversized => WithPrevKv::Oversized,
            PrevKv::Known(None) => WithPrevKv::Known(self.encoded()),
            PrevKv::Known(Some(prev)) => {
                let encoded = encode::event(self.event.delete, &self.event.kv, Some(prev));
                self.prev = PrevKv::Known(encoded.prev);
                self.with_prev = Some(encoded.bytes.clone());
                WithPrevKv::Known(encoded.bytes)
            }
        }
    }

    fn prev_len(&self) -> usize {
        if let PrevKv::Known(Some(prev)) = &self.prev { prev.len() } else { 0 }
    }
}

/// An event whose previous key-value is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrevKvAsk {
    /// The main revision.
    pub revision: i64,
    /// The event's place in it.
    pub place: u32,
    /// The event.
    pub event: WatchEvent,
}

/// A previous key-value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrevKvFound {
    /// The main revision of the event.
    pub revision: i64,
    /// The event's place in it.
    pub place: u32,
    /// The key-value before it, or that there is none.
    pub prev: Option<Bytes>,
}

/// Ascending revisions.
#[derive(Debug)]
pub(super) struct EventLog {
    revisions: VecDeque<StoredRevision>,
    /// Every event from this revision on is here.
    start: i64,
    bytes: usize,
    /// Events whose previous key-value somebody waits for: revision and place.
    wanted: Vec<(i64, u32)>,
    /// Bytes of previous key-values read for the revision named, which is the one read last.
    prevs: (i64, usize),
}

impl EventLog {
    pub(super) fn new(start: i64) -> Self {
        Self { revisions: VecDeque::new(), start, bytes: 0, wanted: Vec::new(), prevs: (0, 0) }
    }

    pub(super) fn of(revisions: Vec<StoredRevision>, start: i64) -> Self {
        Self { revisions: revisions.into(), ..Self::new(start) }
    }

    /// First revision from which on nothing is missing.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Revisions held.
    pub(super) fn len(&self) -> usize {
        self.revisions.len()
    }

    pub(super) fn push(&mut self, revision: StoredRevision) {
        self.bytes += revision.events.iter().map(StoredEvent::bytes).sum::<usize>();
        self.revisions.push_back(revision);
    }

    /// Forgets everything; what comes next is `start`.
    pub(super) fn restart(&mut self, start: i64) {
        *self = Self::new(start);
    }

    /// Drops the oldest revisions until at most `bytes` are held.
    pub(super) fn trim(&mut self, bytes: usize) {
        while self.bytes > bytes {
            let Some(oldest) = self.revisions.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.events.iter().map(StoredEvent::bytes).sum());
            self.start = oldest.revision + 1;
        }
    }

    /// Place of the first revision that is not below `revision`.
    pub(super) fn seek(&self, revision: i64) -> usize {
        self.revisions.partition_point(|r| r.revision < revision)
    }

    pub(super) fn revision(&self, at: usize) -> i64 {
        self.revisions[at].revision
    }

    pub(super) fn events(&self, at: usize) -> usize {
        self.revisions[at].events.len()
    }

    pub(super) fn event(&self, at: usize, place: usize) -> &WatchEvent {
        &self.revisions[at].events[place].event
    }

    pub(super) fn encoded(&mut self, at: usize, place: usize) -> Bytes {
        self.revisions[at].events[place].encoded()
    }

    /// The event with its previous key-value; when that has to be read, it is noted.
    pub(super) fn encoded_with_prev(&mut self, at: usize, place: usize) -> WithPrevKv {
        if self.revisions[at].events[place].prev == PrevKv::Unknown {
            let prev = match self.prev_in_memory(at, place) {
                Some(prev) => PrevKv::Known(prev),
                None => {
                    self.wanted.push((self.revisions[at].revision, place as u32));
                    PrevKv::Wanted
                }
            };
            self.change(at, place, |stored| stored.prev = prev);
        }
        let before = self.revisions[at].events[place].bytes();
        let encoded = self.revisions[at].events[place].encoded_with_prev();
        self.bytes = self.bytes + self.revisions[at].events[place].bytes() - before;
        encoded
    }

    fn change(&mut self, at: usize, place: usize, change: impl FnOnce(&mut StoredEvent)) {
        let stored = &mut self.revisions[at].events[place];
        let before = stored.bytes();
        change(stored);
        self.bytes = self.bytes + stored.bytes() - before;
    }

    /// The key-value before the revision of an event, when it is in memory itself.
    fn prev_in_memory(&self, at: usize, place: usize) -> Option<Option<Bytes>> {
        let revision = &self.revisions[at];
        let key = &revision.events[place].event.key;
        // a key changed twice in one revision: what counts is what the first change superseded
        let first =
            revision.events.iter().map(|s| &s.event).find(|event| event.key == key).expect("holds the event itself");
        if first.create {
            return Some(None);
        }
        let (main, _) = first.superseded;
        let before = self.revisions.get(self.seek(main)).filter(|r| r.revision == main)?;
        let found = before.events.iter().map(|s| &s.event).rfind(|event| event.key == key)?;
        Some((!found.delete).then(|| found.kv.clone()))
    }

    /// Takes up to `most` questions for previous key-values; those whose event has left the log since are dropped.
    pub(super) fn take_wanted(&mut self, most: usize) -> Vec<PrevKvAsk> {
        let mut asks = Vec::new();
        let rest = self.wanted.split_off(self.wanted.len().min(most));
        for (revision, place) in std::mem::replace(&mut self.wanted, rest) {
            let at = self.seek(revision);
            if at < self.len() && self.revision(at) == revision {
                asks.push(PrevKvAsk { revision, place, event: self.event(at, place as usize).clone() });
            }
        }
        asks
    }

    pub(super) fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Asks again for what was not answered.
    pub(super) fn want_again(&mut self, ask: &PrevKvAsk) {
        self.wanted.push((ask.revision, ask.place));
    }

    /// Notes the answer to a question, if the event is still here. A revision whose answers exceed `most` bytes becomes an
    /// oversized one for those who want them.
    pub(super) fn set_prev(&mut self, found: PrevKvFound, most: usize) {
        let PrevKvFound { revision, place, prev } = found;
        let at = self.seek(revision);
        if at >= self.len() || self.revision(at) != revision {
            return;
        }
        if self.revisions[at].events[place as usize].prev == PrevKv::Oversized {
            return;
        }
        self.change(at, place as usize, |stored| stored.prev = PrevKv::Known(prev));
        let read = self.revisions[at].events[place as usize].prev_len();
        let before = if self.prevs.0 == revision { self.prevs.1 } else { 0 };
        self.prevs = (revision, before + read);
        if self.prevs.1 > most && self.events(at) > 1 {
            for place in 0..self.events(at) {
                self.change(at, place, |stored| {
                    stored.prev = PrevKv::Oversized;
                    stored.with_prev = None;
                });
            }
        }
    }
}
