//! The watch hub: what happened goes in, frames per stream and reads of the store come out.
//!
//! A watcher is a cursor in one ordered log. At the head it is fed from memory as revisions come; behind, from memory as far as
//! that reaches, else from the store. Must never block, and never hold more than the ring, one chunk per read in flight, and
//! what credit allows.

use super::catch_up::CatchUpScans;
use super::config::{HubConfig, HubCounts, Position};
use super::delivery::{Delivery, Offer, ResponseSizes};
use super::event_log::{EventLog, PrevKv, StoredEvent, StoredRevision};
use super::index::Index;
use super::jobs::{LogJob, LogRead, PrevKvsRead, ReadDone, ReadJob, Reader};
use super::key_set::KeySet;
use super::oversized::{Measured, Measures, OversizedSpec};
use super::pending::{PendingEvents, PendingList};
use super::progress::{Notice, ProgressNotices, ProgressRequests};
use super::registry::{WatcherRegistry, WatcherState};
use super::slots::{StreamSlot, WatcherSlot};
use super::source::LogReadError;
use crate::wiring::events::RevisionEvents;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::mutant::{self, Mutant};
use std::sync::Arc;

/// Text of a create whose id is taken.
pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
/// Text of a create whose range holds no key.
pub const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
/// Text of a create with a negative start.
pub const NEGATIVE_START: &str = "etcdserver: mvcc: required revision has been compacted";

/// Previous key-values asked for by one job.
const PREV_KVS_PER_JOB: usize = 4096;
/// The hub's own reads are so many times larger than those of scans: every watcher at the head waits for them.
const HUB_READS: usize = 4;

/// The hub.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    /// Every event up to here was offered to the watchers at the head.
    head: i64,
    /// The newest revision the applier spoke of.
    target: i64,
    /// The newest revision a client can have seen; not below `head`.
    published: i64,
    /// The newest compact revision known.
    compact: i64,
    ring: EventLog,
    registry: WatcherRegistry,
    delivery: Delivery,
    pending: PendingEvents,
    scans: CatchUpScans,
    measures: Measures,
    requests: ProgressRequests,
    notices: ProgressNotices,
    jobs: Vec<ReadJob>,
    /// A job that reads the log for the hub itself is out.
    reading_log: bool,
    /// A job that reads previous key-values is out.
    reading_prev_kvs: bool,
}

impl Hub {
    /// A hub over a store at this position, with no event in memory.
    pub fn new(config: HubConfig, at: Position) -> Self {
        let sizes = ResponseSizes { fragment: config.fragment_bytes, frame: config.frame_bytes };
        Self {
            config,
            head: at.revision,
            target: at.revision,
            published: at.revision,
            compact: at.compact_revision,
            ring: EventLog::new(at.revision + 1),
            registry: WatcherRegistry::default(),
            delivery: Delivery::new(sizes, config.sent_bytes),
            pending: PendingEvents::default(),
            scans: CatchUpScans::default(),
            measures: Measures::default(),
            requests: ProgressRequests::default(),
            notices: ProgressNotices::default(),
            jobs: Vec::new(),
            reading_log: false,
            reading_prev_kvs: false,
        }
    }

    /// The store moved to `at`. `events` are the revisions since the last call; without them they are read from the store.
    pub fn advanced(&mut self, at: Position, events: Option<Arc<[RevisionEvents]>>) {
        let before = self.target;
        self.target = self.target.max(at.revision);
        self.published = self.published.max(self.target);
        // a list that does not reach the position is not all of it
        let events = events.filter(|list| list.last().map_or(before, |r| r.revision) >= at.revision);
        match events {
            Some(events) if self.head >= before && !self.reading_log => self.feed(&events, at.revision),
            Some(events) => {
                let list = PendingList { after: before, up_to: at.revision, events };
                self.pending.push(list, self.config.ring_bytes);
            }
            None => {}
        }
        // events that came with it were at the head's watchers before
        self.learn_compact(at.compact_revision);
        self.move_on();
    }

    /// A snapshot replaced the store: what lies between is read from the new one.
    pub fn restored(&mut self, at: Position) {
        self.pending.clear();
        self.advanced(at, None);
    }

    /// Requests of clients, in order. `at` is the published view's position, taken after the requests had arrived.
    pub fn requests(&mut self, list: Vec<ToHub>, at: Position) {
        self.published = self.published.max(at.revision);
        self.learn_compact(at.compact_revision);
        for request in list {
            match request {
                ToHub::OpenStream { stream, credit } => self.open(stream, credit),
                ToHub::Create { stream, create } => self.create(stream, create),
                ToHub::Cancel { stream, watch_id } => self.cancel(stream, watch_id),
                ToHub::Progress { stream } => self.request_progress(stream),
                ToHub::Credit { stream, bytes } => self.take_back(stream, bytes),
                ToHub::CloseStream { stream } => {
                    if let Some(slot) = self.registry.take_key(stream) {
                        self.close(slot);
                    }
                }
            }
        }
        self.move_on();
    }

    /// A job came back.
    ///
    /// # Errors
    /// A text when the store failed: the node must stop.
    pub fn done(&mut self, done: ReadDone) -> Result<(), String> {
        match done {
            ReadDone::Log { reader: Reader::Hub, read } => self.take_log(read)?,
            ReadDone::Log { reader: Reader::Scan(id), read } => {
                let learned =
                    self.scans.take_chunk(id, read, &mut self.registry, &mut self.delivery, self.head, self.compact)?;
                self.learn_compact(learned.unwrap_or(self.compact));
            }
            ReadDone::PrevKvs(read) => self.take_prev_kvs(read.map_err(|why| why.to_string())?),
            ReadDone::Measured(measured) => self.take_measured(measured)?,
        }
        self.move_on();
        Ok(())
    }

    /// Time passed; `now` in milliseconds from any start. Tells quiet watchers of progress.
    pub fn tick(&mut self, now: u64) {
        self.registry.set_now(now);
        while let Some(notice) = self.notices.pop(now) {
            let Some(watcher) = self.registry.get(notice.watcher) else { continue };
            // a watcher of an earlier life of these numbers may have left its notice behind
            let own =
                (watcher.stream(), watcher.id(), watcher.notice_due()) == (notice.stream, notice.watch_id, notice.due);
            if !own || watcher.state() == WatcherState::Compacted {
                continue;
            }
            let interval = self.config.progress_interval.max(1);
            let mut due = watcher.last_sent().saturating_add(interval);
            if due <= now {
                due = now.saturating_add(interval);
                if watcher.state() == WatcherState::AtHead && watcher.spec().start_revision <= self.head {
                    self.registry.note_notice(notice.watcher, self.head);
                    let frame = WatchFrame::Progress { watch_id: notice.watch_id, revision: self.head };
                    self.delivery.send(notice.stream, frame);
                }
            }
            self.schedule(Notice { due, ..notice });
        }
    }

    /// Looks at a watcher when its notice is due: the only one it has.
    fn schedule(&mut self, notice: Notice) {
        self.registry.set_notice_due(notice.watcher, notice.due);
        self.notices.push(notice);
    }

    /// Jobs to be done by reader threads.
    pub fn take_jobs(&mut self) -> Vec<ReadJob> {
        std::mem::take(&mut self.jobs)
    }

    /// What is to be sent, as one list per stream.
    pub fn take_frames(&mut self) -> Vec<(StreamKey, Vec<WatchFrame>)> {
        self.delivery.take_frames()
    }

    /// What it is busy with.
    pub fn counts(&self) -> HubCounts {
        HubCounts {
            watchers: self.registry.watchers(),
            streams: self.registry.streams(),
            slow: self.registry.behind(),
            events: self.delivery.events_sent(),
            ring_bytes: self.ring.bytes(),
        }
    }

    fn learn_compact(&mut self, compact_revision: i64) {
        self.compact = self.compact.max(compact_revision);
    }

    /// Takes new revisions into the ring and offers them to the watchers at the head, which is at `revision` afterwards.
    fn feed(&mut self, events: &[RevisionEvents], revision: i64) {
        if self.registry.watchers() == 0 && revision > self.head {
            // nobody is there: who comes and wants them reads the store
            self.published = self.published.max(revision);
            return self.skip_to(revision);
        }
        let new = events.iter().filter(|r| r.revision > self.head);
        let stored = new.map(|r| StoredRevision {
            revision: r.revision,
            events: r.events.iter().map(|e| StoredEvent::new(e.clone(), PrevKv::Unknown)).collect(),
        });
        let stored: Vec<_> = stored.collect();
        self.feed_stored(stored, revision);
    }

    fn feed_stored(&mut self, revisions: Vec<StoredRevision>, revision: i64) {
        let from = self.ring.len();
        for revision in revisions {
            self.ring.push(revision);
        }
        self.head = self.head.max(revision);
        self.published = self.published.max(self.head);
        self.offer_from(from, None, WatcherState::AtHead);
    }

    /// Offers the ring from a place on, and then cuts it to its size.
    fn offer_from(&mut self, place: usize, index: Option<&Index<WatcherSlot>>, state: WatcherState) {
        let offer = Offer { index, state, header: self.head, compact: self.compact };
        let span = place..self.ring.len();
        self.delivery.offer(&mut self.registry, &mut self.ring, span, offer);
        self.ring.trim(self.config.ring_bytes);
    }

    /// Goes on behind `head` without the events before it.
    fn skip_to(&mut self, head: i64) {
        self.head = head;
        self.ring.restart(head + 1);
    }

    fn open(&mut self, key: StreamKey, credit: usize) {
        let (stream, replaced) = self.registry.open(key);
        self.delivery.open(stream, key, credit);
        if let Some(replaced) = replaced {
            self.close(replaced);
        }
    }

    fn close(&mut self, stream: StreamSlot) {
        self.registry.close(stream);
        self.delivery.close(stream);
        self.requests.close(stream);
    }

    fn take_back(&mut self, key: StreamKey, bytes: usize) {
        if let Some(stream) = self.registry.stream(key)
            && self.delivery.take_back(stream, bytes)
        {
            self.registry.wake_parked(stream);
        }
    }

    fn create(&mut self, key: StreamKey, mut spec: CreateWatch) {
        let Some(stream) = self.registry.stream(key) else { return };
        if spec.range.key.is_empty() {
            spec.range.key = bytes::Bytes::from_static(&[0]);
        }
        // in etcd's order: a request may be wrong in more than one way
        if spec.start_revision < 0 {
            return self.refuse(stream, NEGATIVE_START);
        }
        if spec.range.is_empty() {
            return self.refuse(stream, EMPTY_RANGE);
        }
        let Some(watch_id) = self.registry.pick_id(stream, spec.watch_id) else {
            return self.refuse(stream, DUPLICATE_ID);
        };
        self.delivery.send(stream, WatchFrame::Created { watch_id, revision: self.published });
        let notify = spec.progress_notify;
        let next = if spec.start_revision == 0 { self.published + 1 } else { spec.start_revision };
        let state = if next > self.head { WatcherState::AtHead } else { WatcherState::Ready };
        let watcher = self.registry.add(stream, watch_id, spec, next, state);
        if next < self.compact {
            self.delivery.end_compacted(&mut self.registry, watcher, self.compact);
        } else if notify {
            let due = self.registry.now().saturating_add(self.config.progress_interval);
            self.schedule(Notice { due, watcher, stream, watch_id });
        }
    }

    fn refuse(&mut self, stream: StreamSlot, reason: &str) {
        self.send_canceled(stream, -1, true, reason);
    }

    fn cancel(&mut self, key: StreamKey, watch_id: i64) {
        if let Some(stream) = self.registry.stream(key)
            && self.registry.cancel(stream, watch_id)
        {
            self.send_canceled(stream, watch_id, false, "");
        }
    }

    fn send_canceled(&mut self, stream: StreamSlot, watch_id: i64, created: bool, reason: &str) {
        let revision = self.published;
        let reason = reason.to_owned();
        let frame = WatchFrame::Canceled { watch_id, created, revision, compact_revision: 0, reason };
        self.delivery.send(stream, frame);
    }

    fn request_progress(&mut self, key: StreamKey) {
        if let Some(stream) = self.registry.stream(key) {
            self.requests.ask(stream, self.published);
        }
    }

    /// Lets watchers that are behind catch up as far as memory reaches, asks for reads, and answers requests for progress.
    fn move_on(&mut self) {
        self.catch_up();
        for stream in self.requests.take_waiting() {
            self.answer_progress(stream);
        }
    }

    /// Answers when every event up to the revision asked for has been sent on the stream. A watcher that is behind delays
    /// the answer; one that lies in the future or was compacted withholds it, as does a stream without watchers.
    fn answer_progress(&mut self, stream: StreamSlot) {
        let mut sent = self.registry.sent_up_to(stream, self.head, self.published);
        if let Some(sent) = &mut sent
            && mutant::on(Mutant::ProgressEarly)
        {
            sent.revision = self.published;
        }
        if let Some(revision) = self.requests.answer(stream, sent) {
            self.registry.note_promise(stream, revision);
            self.delivery.send(stream, WatchFrame::Progress { watch_id: -1, revision });
        }
    }

    /// Moves everybody as far as memory reaches and asks for what has to be read.
    fn catch_up(&mut self) {
        self.advance_head();
        self.serve_from_ring();
        self.ask_prev_kvs();
        self.scans.begin(&mut self.registry);
        let memory = self.ring.start();
        if self.scans.next_jobs(&mut self.registry, memory, &self.config, &mut self.jobs) {
            // the ring, the next scan, or the head takes over
            self.catch_up();
        }
        self.ask_measure();
    }

    /// Brings the head to the newest revision.
    fn advance_head(&mut self) {
        if self.reading_log {
            return;
        }
        while let Some(list) = self.pending.pop(self.head) {
            self.feed(&list.events, list.up_to);
        }
        if self.head >= self.target {
            return;
        }
        if self.registry.watchers() == 0 {
            self.skip_to(self.target);
            return;
        }
        self.reading_log = true;
        self.jobs.push(ReadJob::Log(LogJob {
            reader: Reader::Hub,
            from: self.head + 1,
            // pending events need not be read: the store is read up to the first of them
            to: self.pending.follow().unwrap_or(self.target),
            keys: Arc::new(KeySet::all()),
            prev_keys: Arc::default(),
            max_bytes: self.config.read_bytes.saturating_mul(HUB_READS),
            oversized: self.config.oversized_bytes,
        }));
    }

    /// A part of the log was read for the hub itself.
    fn take_log(&mut self, read: Result<LogRead, LogReadError>) -> Result<(), String> {
        self.reading_log = false;
        match read {
            Ok(LogRead { revisions, next, oversized }) => {
                self.feed_stored(revisions, next - 1);
                if oversized {
                    // the ring cannot hold it
                    let all = self.registry.all();
                    self.registry.stop_at_oversized(next, &all, WatcherState::AtHead);
                    self.skip_to(next);
                }
            }
            Err(LogReadError::Compacted(compact)) if compact > self.head + 1 => self.lose_history(compact),
            Err(why @ LogReadError::Compacted(_)) => return Err(why.to_string()),
            Err(LogReadError::Failed(why)) => return Err(why),
        }
        Ok(())
    }

    /// History up to `compact` is gone before the watchers at the head got it.
    fn lose_history(&mut self, compact: i64) {
        self.learn_compact(compact);
        self.end_in(WatcherState::AtHead, self.head + 1, compact);
        self.skip_to(self.head.max(compact - 1));
    }

    /// Ends watchers in a state whose next revision, `least` or later, is gone.
    fn end_in(&mut self, state: WatcherState, least: i64, compact: i64) {
        for slot in self.registry.all() {
            let watcher = self.registry.get(slot).expect("just listed");
            if watcher.state() == state && watcher.next().max(least) < compact {
                self.delivery.end_compacted(&mut self.registry, slot, compact);
            }
        }
    }

    /// Serves everybody whom the ring reaches; the others need the store.
    fn serve_from_ring(&mut self) {
        let mut members = Vec::new();
        let mut index = Index::default();
        let mut from = i64::MAX;
        for slot in self.registry.take_ready() {
            let Some(watcher) = self.registry.get(slot).filter(|w| w.state() == WatcherState::Ready) else { continue };
            if watcher.next() > self.head {
                self.registry.move_to(slot, WatcherState::AtHead);
            } else if watcher.next() >= self.ring.start() {
                from = from.min(watcher.next());
                index.insert(&watcher.spec().range, slot);
                members.push(slot);
                self.registry.move_to(slot, WatcherState::FromMemory);
            } else {
                self.scans.wait(&mut self.registry, slot);
            }
        }
        if members.is_empty() {
            return;
        }
        self.offer_from(self.ring.seek(from), Some(&index), WatcherState::FromMemory);
        for slot in members {
            if self.registry.is_in(slot, WatcherState::FromMemory) {
                self.registry.move_to_at(slot, WatcherState::AtHead, self.head + 1);
            }
        }
    }

    /// Asks for previous key-values that watchers wait for.
    fn ask_prev_kvs(&mut self) {
        if self.reading_prev_kvs {
            return;
        }
        loop {
            while self.ring.has_wanted() {
                let asks = self.ring.take_wanted(PREV_KVS_PER_JOB);
                if !asks.is_empty() {
                    self.reading_prev_kvs = true;
                    self.jobs.push(ReadJob::PrevKvs(asks));
                    return;
                }
            }
            if !self.registry.needs_prev_kv() {
                return;
            }
            // what they waited for left the ring
            self.registry.wake_prev_kv();
            self.serve_from_ring();
        }
    }

    /// Previous key-values were read.
    fn take_prev_kvs(&mut self, read: PrevKvsRead) {
        self.reading_prev_kvs = false;
        for found in read.found {
            self.ring.set_prev(found, self.config.oversized_bytes);
        }
        read.left.iter().for_each(|ask| self.ring.want_again(ask));
        if !self.ring.has_wanted() {
            self.registry.wake_prev_kv();
        }
    }

    /// Has the next oversized revision measured that watchers wait for.
    fn ask_measure(&mut self) {
        if self.measures.is_busy() {
            return;
        }
        let Some((revision, watchers)) = self.registry.take_at_oversized() else { return };
        let registry = &self.registry;
        let wishes = watchers.into_iter().map(|slot| (slot, registry.get(slot).expect("just listed").spec()));
        self.jobs.push(ReadJob::Measure(self.measures.begin(revision, wishes, self.compact)));
    }

    /// An oversized revision was measured: whoever has credit gets it, the others are parked before it.
    fn take_measured(&mut self, measured: Measured) -> Result<(), String> {
        let (revision, deliveries) = match self.measures.end(measured) {
            Ok(measured) => measured,
            Err(LogReadError::Failed(why)) => return Err(why),
            Err(LogReadError::Compacted(compact)) => {
                self.learn_compact(compact);
                self.end_in(WatcherState::AtOversized, i64::MIN, compact);
                return Ok(());
            }
        };
        let header = self.head.max(revision);
        for delivery in deliveries {
            let slot = delivery.watcher;
            let waits = self.registry.get(slot).is_some_and(|watcher| {
                watcher.state() == WatcherState::AtOversized
                    && watcher.next() == revision
                    && OversizedSpec::of(watcher.spec()) == delivery.spec
            });
            let none = delivery.events.bytes == 0;
            if waits
                && (none || self.delivery.send_oversized(&mut self.registry, slot, delivery.events, revision, header))
            {
                self.registry.move_to_at(slot, WatcherState::Ready, revision + 1);
            }
        }
        Ok(())
    }
}
