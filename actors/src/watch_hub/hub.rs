//! The watch hub: what happened goes in, frames per stream and reads of the store come out.
//!
//! A watcher is a cursor in one ordered log. At the head it is fed from memory as revisions come; behind, from memory as far as
//! that reaches, else from the store. Must never block, and never hold more than the ring, one chunk per read in flight, and
//! what credit allows.

use super::batch::OversizedSpec;
use super::catch_up::CatchUpScans;
use super::config::{HubConfig, HubCounts, Position};
use super::delivery::{Delivery, ResponseSizes};
use super::head::HubHead;
use super::jobs::{LogRead, ReadDone, ReadJob, Reader};
use super::oversized::{MeasuredBatches, Measures};
use super::progress::{Notice, ProgressNotices, ProgressRequests};
use super::registry::{WatcherRegistry, WatcherState};
use super::slots::StreamSlot;
use super::source::LogReadError;
use super::span::SpanLimits;
use crate::wiring::events::WatchRevision;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::mutant::{self, Mutant};
use std::sync::Arc;

/// Text of a create whose id is taken.
pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
/// Text of a create whose range holds no key.
pub const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
/// Text of a create with a negative start.
pub const NEGATIVE_START: &str = "etcdserver: mvcc: required revision has been compacted";

/// The hub.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    head: HubHead,
    /// The newest revision a client can have seen; not below the head's.
    published: i64,
    /// The newest compact revision known.
    compact: i64,
    registry: WatcherRegistry,
    delivery: Delivery,
    scans: CatchUpScans,
    measures: Measures,
    requests: ProgressRequests,
    notices: ProgressNotices,
    jobs: Vec<ReadJob>,
}

impl Hub {
    /// A hub over a store at this position, with no event in memory.
    pub fn new(config: HubConfig, at: Position) -> Self {
        let sizes = ResponseSizes {
            fragment: config.fragment_bytes,
            frame: config.frame_bytes,
            // a read of the store ends a little before or behind its budget: half of it says that there is more
            pulled: config.frame_bytes.min(config.read_bytes) / 2,
            revisions: config.response_revisions,
        };
        Self {
            config,
            head: HubHead::new(config, at.revision),
            published: at.revision,
            compact: at.compact_revision,
            registry: WatcherRegistry::default(),
            delivery: Delivery::new(sizes, config.sent_bytes),
            scans: CatchUpScans::default(),
            measures: Measures::default(),
            requests: ProgressRequests::default(),
            notices: ProgressNotices::default(),
            jobs: Vec::new(),
        }
    }

    /// The store moved to `at`. `events` are the revisions since the last call; without them they are read from the store.
    pub fn advanced(&mut self, at: Position, events: Option<Arc<[WatchRevision]>>) {
        self.published = self.published.max(at.revision);
        self.head.advance(at.revision, events, &mut self.registry, &mut self.delivery, self.compact);
        // events that came with it were at the head's watchers before
        self.learn_compact(at.compact_revision);
        self.move_on();
    }

    /// A snapshot replaced the store: what lies between is read from the new one.
    pub fn restored(&mut self, at: Position) {
        self.head.clear_pending();
        if mutant::on(Mutant::WatchersAtHead) {
            self.head.skip_to(at.revision);
        }
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
                ToHub::Refuse { stream, reason } => {
                    if let Some(stream) = self.registry.stream(stream) {
                        self.refuse(stream, &reason);
                    }
                }
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
                let header = self.head.revision();
                let learned =
                    self.scans.take_chunk(id, read, &mut self.registry, &mut self.delivery, header, self.compact)?;
                self.learn_compact(learned.unwrap_or(self.compact));
            }
            ReadDone::PrevKvs(read) => {
                if self.head.take_prev_kvs(read.map_err(|why| why.to_string())?) {
                    self.registry.wake_prev_kv();
                }
            }
            ReadDone::Measured(measured) => self.take_measured(measured)?,
        }
        self.move_on();
        Ok(())
    }

    /// Time passed; `now` in milliseconds from any start. Tells quiet watchers of progress.
    pub fn tick(&mut self, now: u64) -> bool {
        let mut noticed = false;
        self.registry.set_now(now);
        let head = self.head.revision();
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
                if watcher.state() == WatcherState::AtHead && watcher.spec().start_revision <= head {
                    self.registry.note_notice(notice.watcher, head);
                    let frame = WatchFrame::Progress { watch_id: notice.watch_id, revision: head };
                    self.delivery.send(notice.stream, frame);
                    noticed = true;
                }
            }
            self.schedule(Notice { due, ..notice });
        }
        noticed
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
            ring_bytes: self.head.bytes(),
        }
    }

    fn learn_compact(&mut self, compact_revision: i64) {
        self.compact = self.compact.max(compact_revision);
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
        let from_now =
            spec.start_revision == 0 || (spec.start_revision > self.published + 1 && mutant::on(Mutant::WatchFromNow));
        let next = if from_now { self.published + 1 } else { spec.start_revision };
        let state = if next > self.head.revision() { WatcherState::AtHead } else { WatcherState::Ready };
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
        let mut sent = self.registry.sent_up_to(stream, self.head.revision(), self.published);
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
        let job = self.head.catch_up(&mut self.registry, &mut self.delivery, self.compact);
        self.jobs.extend(job);
        self.published = self.published.max(self.head.revision());
        self.serve_from_memory();
        self.ask_prev_kvs();
        self.scans.begin(&mut self.registry);
        let memory = self.head.memory_start();
        if self.scans.next_jobs(&mut self.registry, memory, &self.config, &mut self.jobs) {
            // memory, the next scan, or the head takes over
            self.catch_up();
        }
        self.ask_measure();
    }

    /// A part of the log was read for the hub itself.
    fn take_log(&mut self, read: Result<LogRead, LogReadError>) -> Result<(), String> {
        self.head.end_reading();
        match read {
            Ok(read) => self.head.take_log(read, &mut self.registry, &mut self.delivery, self.compact),
            Err(LogReadError::Compacted(compact)) if compact > self.head.revision() + 1 => self.lose_history(compact),
            Err(why @ LogReadError::Compacted(_)) => return Err(why.to_string()),
            Err(LogReadError::Failed(why)) => return Err(why),
        }
        Ok(())
    }

    /// History up to `compact` is gone before the watchers at the head got it.
    fn lose_history(&mut self, compact: i64) {
        self.learn_compact(compact);
        let head = self.head.revision();
        self.end_in(WatcherState::AtHead, head + 1, compact);
        self.head.skip_to(head.max(compact - 1));
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

    /// Serves everybody whom memory reaches; the others need the store.
    fn serve_from_memory(&mut self) {
        let beyond = self.head.serve(&mut self.registry, &mut self.delivery, self.compact);
        self.scans.wait(beyond);
    }

    /// Asks for previous key-values that watchers wait for.
    fn ask_prev_kvs(&mut self) {
        while !self.head.is_reading_prev_kvs() {
            if let Some(job) = self.head.ask_prev_kvs() {
                self.jobs.push(job);
                return;
            }
            if !self.registry.needs_prev_kv() {
                return;
            }
            // what they waited for left memory
            self.registry.wake_prev_kv();
            self.serve_from_memory();
        }
    }

    /// Has the next oversized batches measured that watchers wait for.
    fn ask_measure(&mut self) {
        if self.measures.is_busy() {
            return;
        }
        let Some((revision, watchers)) = self.registry.take_at_oversized() else { return };
        let registry = &self.registry;
        let wishes = watchers.into_iter().map(|slot| (slot, registry.get(slot).expect("just listed").spec()));
        let limits = SpanLimits {
            revisions: self.config.response_revisions,
            bytes: self.config.fragmented_bytes,
            oversized: self.config.oversized_bytes,
            // a promise of progress may never speak of less than was sent
            last: self.head.revision(),
        };
        self.jobs.push(ReadJob::Measure(self.measures.begin(revision, limits, wishes, self.compact)));
    }

    /// Oversized batches were measured: whoever has credit gets his, the others are parked before it.
    fn take_measured(&mut self, measured: MeasuredBatches) -> Result<(), String> {
        let (revision, deliveries) = match self.measures.end(measured) {
            Ok(measured) => measured,
            Err(LogReadError::Failed(why)) => return Err(why),
            Err(LogReadError::Compacted(compact)) => {
                self.learn_compact(compact);
                self.end_in(WatcherState::AtOversized, i64::MIN, compact);
                return Ok(());
            }
        };
        for delivery in deliveries {
            let slot = delivery.watcher;
            let waits = self.registry.get(slot).is_some_and(|watcher| {
                watcher.state() == WatcherState::AtOversized
                    && watcher.next() == revision
                    && OversizedSpec::of(watcher.spec()) == delivery.spec
            });
            let none = delivery.events.bytes == 0;
            let span = revision..delivery.next;
            let header = self.head.revision().max(span.end - 1);
            if waits
                && (none
                    || self.delivery.send_oversized(&mut self.registry, slot, delivery.events, span.clone(), header))
            {
                self.registry.move_to_at(slot, WatcherState::Ready, span.end);
            }
        }
        Ok(())
    }
}
