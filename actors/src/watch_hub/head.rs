//! How far the hub has got, and the newest events in memory: taken from the applier's lists as they come, or read from the
//! store when lists are missing.
//!
//! Must never drop a revision from memory before it was offered to the watchers at the head.

use super::config::HubConfig;
use super::delivery::{Delivery, Offer};
use super::event_log::{EventLog, PrevKv, StoredEvent, StoredRevision};
use super::index::Index;
use super::jobs::{LogJob, LogRead, PrevKvsRead, ReadJob, Reader};
use super::key_set::KeySet;
use super::pending::{PendingEvents, PendingList};
use super::registry::{WatcherRegistry, WatcherState};
use super::slots::WatcherSlot;
use crate::wiring::events::WatchRevision;
use std::sync::Arc;

/// Previous key-values asked for by one job.
const PREV_KVS_PER_JOB: usize = 4096;
/// The hub's own reads are so many times larger than those of scans: every watcher at the head waits for them.
const HUB_READS: usize = 4;

/// See the file header.
#[derive(Debug)]
pub(super) struct HubHead {
    config: HubConfig,
    /// Every event up to here was offered to the watchers at the head.
    revision: i64,
    /// The newest revision the applier spoke of.
    target: i64,
    /// The newest events.
    ring: EventLog,
    pending: PendingEvents,
    /// A job that reads the log for the hub itself is out.
    reading_log: bool,
    /// A job that reads previous key-values is out.
    reading_prev_kvs: bool,
}

impl HubHead {
    /// At a revision, with no event in memory.
    pub(super) fn new(config: HubConfig, revision: i64) -> Self {
        Self {
            config,
            revision,
            target: revision,
            ring: EventLog::new(revision + 1),
            pending: PendingEvents::default(),
            reading_log: false,
            reading_prev_kvs: false,
        }
    }

    /// Every event up to here was offered to the watchers at the head.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The first revision from which on memory has every event.
    pub(super) fn memory_start(&self) -> i64 {
        self.ring.start()
    }

    /// Bytes of events in memory.
    pub(super) fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Forgets lists that wait: what they hold is read from the store.
    pub(super) fn clear_pending(&mut self) {
        self.pending.clear();
    }

    /// The applier spoke of a revision; `events` are those since the one before. `compact` as in [`Offer`].
    pub(super) fn advance(
        &mut self,
        revision: i64,
        events: Option<Arc<[WatchRevision]>>,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) {
        let before = self.target;
        self.target = self.target.max(revision);
        // a list that does not reach the revision is not all of it
        let events = events.filter(|list| list.last().map_or(before, |r| r.revision) >= revision);
        match events {
            Some(events) if self.revision >= before && !self.reading_log => {
                self.feed(&events, revision, registry, delivery, compact);
            }
            Some(events) => {
                let list = PendingList { after: before, up_to: revision, events };
                self.pending.push(list, self.config.ring_bytes);
            }
            None => {}
        }
    }

    /// Takes pending lists. When events are still missing then, gives the job that reads them.
    pub(super) fn catch_up(
        &mut self,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) -> Option<ReadJob> {
        if self.reading_log {
            return None;
        }
        while let Some(list) = self.pending.pop(self.revision) {
            self.feed(&list.events, list.up_to, registry, delivery, compact);
        }
        if self.revision >= self.target {
            return None;
        }
        if registry.watchers() == 0 {
            self.skip_to(self.target);
            return None;
        }
        self.reading_log = true;
        Some(ReadJob::Log(LogJob {
            reader: Reader::Hub,
            from: self.revision + 1,
            // pending events need not be read: the store is read up to the first of them
            to: self.pending.follow().unwrap_or(self.target),
            keys: Arc::new(KeySet::all()),
            prev_keys: Arc::default(),
            max_bytes: self.config.read_bytes.saturating_mul(HUB_READS),
            oversized: self.config.oversized_bytes,
        }))
    }

    /// The job that reads the log for the hub came back, with an error or not.
    pub(super) fn end_reading(&mut self) {
        self.reading_log = false;
    }

    /// Takes what was read of the log.
    pub(super) fn take_log(
        &mut self,
        read: LogRead,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) {
        let LogRead { revisions, next, oversized } = read;
        self.feed_stored(revisions, next - 1, registry, delivery, compact);
        if oversized {
            // memory cannot hold it
            let all = registry.all();
            registry.stop_at_oversized(next, &all, WatcherState::AtHead);
            self.skip_to(next);
        }
    }

    /// Takes new revisions into memory and offers them to the watchers at the head, which is at `revision` afterwards.
    fn feed(
        &mut self,
        events: &[WatchRevision],
        revision: i64,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) {
        if registry.watchers() == 0 && revision > self.revision {
            // nobody is there: who comes and wants them reads the store
            return self.skip_to(revision);
        }
        let new = events.iter().filter(|r| r.revision > self.revision);
        let stored = new.map(|r| StoredRevision {
            revision: r.revision,
            events: r.events.iter().map(|e| StoredEvent::new(e.clone(), PrevKv::Unknown)).collect(),
        });
        let stored: Vec<_> = stored.collect();
        self.feed_stored(stored, revision, registry, delivery, compact);
    }

    fn feed_stored(
        &mut self,
        revisions: Vec<StoredRevision>,
        revision: i64,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) {
        let from = self.ring.len();
        for revision in revisions {
            self.ring.push(revision);
        }
        self.revision = self.revision.max(revision);
        let offer = Offer { index: None, state: WatcherState::AtHead, header: self.revision, compact };
        let span = from..self.ring.len();
        delivery.offer(registry, &mut self.ring, span, offer);
        self.ring.trim(self.config.ring_bytes);
    }

    /// Goes on behind a revision without the events before it.
    pub(super) fn skip_to(&mut self, revision: i64) {
        self.revision = revision;
        self.ring.restart(revision + 1);
    }

    /// Serves watchers that are ready from memory. Those whom it does not reach come back: they need the store.
    pub(super) fn serve(
        &mut self,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        compact: i64,
    ) -> Vec<WatcherSlot> {
        let mut members = Vec::new();
        let mut index = Index::default();
        let mut from = i64::MAX;
        let mut beyond = Vec::new();
        for slot in registry.take_ready() {
            let Some(watcher) = registry.get(slot).filter(|w| w.state() == WatcherState::Ready) else { continue };
            if watcher.next() > self.revision {
                registry.move_to(slot, WatcherState::AtHead);
            } else if watcher.next() >= self.ring.start() {
                from = from.min(watcher.next());
                index.insert(&watcher.spec().range, slot);
                members.push(slot);
                registry.move_to(slot, WatcherState::FromMemory);
            } else {
                registry.move_to(slot, WatcherState::NeedsStore);
                beyond.push(slot);
            }
        }
        if members.is_empty() {
            return beyond;
        }
        let state = WatcherState::FromMemory;
        let span = self.ring.seek(from)..self.ring.len();
        delivery.offer(
            registry,
            &mut self.ring,
            span,
            Offer { index: Some(&index), state, header: self.revision, compact },
        );
        for slot in members {
            if registry.is_in(slot, state) {
                registry.move_to_at(slot, WatcherState::AtHead, self.revision + 1);
            }
        }
        self.ring.trim(self.config.ring_bytes);
        beyond
    }

    /// The job that reads previous key-values which watchers wait for; `None` while one is out or nothing is wanted.
    pub(super) fn ask_prev_kvs(&mut self) -> Option<ReadJob> {
        while !self.reading_prev_kvs && self.ring.has_wanted() {
            let asks = self.ring.take_wanted(PREV_KVS_PER_JOB);
            if !asks.is_empty() {
                self.reading_prev_kvs = true;
                return Some(ReadJob::PrevKvs(asks));
            }
        }
        None
    }

    /// Whether previous key-values are being read.
    pub(super) fn is_reading_prev_kvs(&self) -> bool {
        self.reading_prev_kvs
    }

    /// Previous key-values were read. True when nothing more is wanted: those who wait can be served.
    pub(super) fn take_prev_kvs(&mut self, read: PrevKvsRead) -> bool {
        self.reading_prev_kvs = false;
        for found in read.found {
            self.ring.set_prev(found, self.config.oversized_bytes);
        }
        read.left.iter().for_each(|ask| self.ring.want_again(ask));
        !self.ring.has_wanted()
    }
}
