//! The watch hub's core: what happened goes in, frames per stream and reads of the store come out.
//!
//! A watcher is a cursor in one ordered log. At the head it is fed from memory; behind, by [`catch_up`](super::catch_up).
//! Must never block, and never hold more than the ring, one chunk per read in flight, and what credit allows.

use super::catch_up::CatchUp;
use super::floor::{Cut, Floor, Place};
use super::log::{Log, Prev, Stored, StoredRevision};
use super::logs::{Done, Work};
use crate::limits::{HUB_READ_BYTES, HUB_RING_BYTES, HUB_SENT_BYTES, OVERSIZED_REVISION_BYTES};
use crate::wiring::events::RevisionEvents;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::mutant::{self, Mutant};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Sizes and times of a hub.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// Bytes of events kept in memory.
    pub ring_bytes: usize,
    /// A response that reaches this many bytes is split where the client asked for fragments (etcd: the largest request
    /// plus 512 KiB).
    pub fragment_bytes: usize,
    /// A response that reaches this many bytes ends with the revision at hand.
    pub frame_bytes: usize,
    /// Budget of one read of the store.
    pub read_bytes: usize,
    /// Several events of one revision with more bytes than this are not held in memory.
    pub huge_bytes: usize,
    /// Bytes sent on all streams together that the clients have not taken.
    pub sent_bytes: usize,
    /// Milliseconds without an event after which a watcher that asked for it is told of progress.
    pub progress_interval: u64,
}

impl HubConfig {
    /// Defaults for a largest request.
    pub fn for_requests(max_request_bytes: usize) -> Self {
        Self {
            ring_bytes: HUB_RING_BYTES,
            fragment_bytes: max_request_bytes + (512 << 10),
            frame_bytes: 256 << 10,
            read_bytes: HUB_READ_BYTES,
            huge_bytes: OVERSIZED_REVISION_BYTES,
            sent_bytes: HUB_SENT_BYTES,
            progress_interval: 600_000,
        }
    }
}

/// Text of a create whose id is taken.
pub const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
/// Text of a create whose range holds no key.
pub const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
/// Text of a create with a negative start.
pub const NEGATIVE_START: &str = "etcdserver: mvcc: required revision has been compacted";

/// Revision and compact revision of a published view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Current revision.
    pub revision: i64,
    /// Compact revision, below one before any compaction.
    pub compact_revision: i64,
}

/// What a hub is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Watchers.
    pub watchers: usize,
    /// Streams.
    pub streams: usize,
    /// Watchers behind the head.
    pub slow: usize,
    /// Events sent since the start.
    pub events: u64,
    /// Bytes in the ring.
    pub ring_bytes: usize,
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    pub(super) config: HubConfig,
    /// Every event up to here was offered to the watchers at the head.
    pub(super) head: i64,
    /// The newest revision the applier spoke of.
    pub(super) target: i64,
    /// The newest revision a client can have seen; not below `head`.
    pub(super) published: i64,
    pub(super) ring: Log,
    pub(super) floor: Floor,
    pub(super) catch_up: CatchUp,
    /// Streams that may have to be told of progress.
    asked: Vec<u32>,
    /// When to look whether a watcher was quiet: time, watcher, its stream and id (a number may be used again).
    quiet: BinaryHeap<Reverse<(u64, u32, u32, i64)>>,
}

impl Hub {
    /// A hub over a store at this position, with no event in memory.
    pub fn new(config: HubConfig, at: Position) -> Self {
        Self {
            config,
            head: at.revision,
            target: at.revision,
            published: at.revision,
            ring: Log::new(at.revision + 1),
            floor: Floor::new(
                Cut { budget: config.sent_bytes, fragment: config.fragment_bytes, frame: config.frame_bytes },
                at.compact_revision,
            ),
            catch_up: CatchUp::default(),
            asked: Vec::new(),
            quiet: BinaryHeap::new(),
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
            Some(events) if self.head >= before && !self.catch_up.filling => self.feed(&events, at.revision),
            Some(events) => self.catch_up.keep(before, at.revision, events, self.config.ring_bytes),
            None => {}
        }
        // events that came with it were at the head's watchers before
        self.floor.compact = self.floor.compact.max(at.compact_revision);
        self.settle();
    }

    /// A snapshot replaced the store: what lies between is read from the new one.
    pub fn restored(&mut self, at: Position) {
        self.catch_up.drop_kept();
        self.advanced(at, None);
    }

    /// Requests of clients, in order. `at` is the published view's position, taken after the requests had arrived.
    pub fn requests(&mut self, list: Vec<ToHub>, at: Position) {
        self.published = self.published.max(at.revision);
        self.floor.compact = self.floor.compact.max(at.compact_revision);
        for request in list {
            match request {
                ToHub::OpenStream { stream, credit } => self.floor.open(stream, credit),
                ToHub::Create { stream, create } => self.create(stream, create),
                ToHub::Cancel { stream, watch_id } => self.cancel(stream, watch_id),
                ToHub::Progress { stream } => self.ask_progress(stream),
                ToHub::Credit { stream, bytes } => self.floor.grant(stream, bytes),
                ToHub::CloseStream { stream } => self.floor.close(stream),
            }
        }
        self.settle();
    }

    /// A job came back.
    ///
    /// # Errors
    /// A text when the store failed: the node must stop.
    pub fn done(&mut self, done: Done) -> Result<(), String> {
        self.take_done(done)?;
        self.settle();
        Ok(())
    }

    /// Time passed; `now` in milliseconds from any start. Tells quiet watchers of progress.
    pub fn tick(&mut self, now: u64) {
        self.floor.now = now;
        while let Some(Reverse((due, at, stream, id))) = self.quiet.peek().copied() {
            if due > now {
                break;
            }
            self.quiet.pop();
            let Some(watcher) = self.floor.watchers.get_mut(at) else { continue };
            // a watcher of an earlier life of these numbers may have left its entry behind
            let own = (watcher.stream, watcher.id) == (stream, id) && watcher.look == due;
            if !own || watcher.place() == Place::Compacted {
                continue;
            }
            let interval = self.config.progress_interval.max(1);
            let mut next = watcher.last_sent.saturating_add(interval);
            if next <= now {
                next = now.saturating_add(interval);
                if watcher.place() == Place::Head && watcher.spec.start_revision <= self.head {
                    (watcher.last_sent, watcher.promised) = (now, self.head);
                    let frame = WatchFrame::Progress { watch_id: id, revision: self.head };
                    self.floor.send(stream, frame);
                }
            }
            self.look_at(next, at, stream, id);
        }
    }

    /// Has a look at a watcher at that time: the only one it is due for.
    fn look_at(&mut self, due: u64, at: u32, stream: u32, id: i64) {
        self.floor.watchers.get_mut(at).expect("the caller found it").look = due;
        self.quiet.push(Reverse((due, at, stream, id)));
    }

    /// Jobs to be done by reader threads.
    pub fn take_work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.catch_up.work)
    }

    /// What is to be sent, as one list per stream.
    pub fn take_frames(&mut self) -> Vec<(StreamKey, Vec<WatchFrame>)> {
        self.floor.take_frames()
    }

    /// What it is busy with.
    pub fn counts(&self) -> HubCounts {
        HubCounts {
            watchers: self.floor.watchers.len(),
            streams: self.floor.streams.len(),
            slow: self.floor.behind,
            events: self.floor.events_sent,
            ring_bytes: self.ring.bytes(),
        }
    }

    /// Takes new revisions into the ring and offers them to the watchers at the head, which is at `revision` afterwards.
    pub(super) fn feed(&mut self, events: &[RevisionEvents], revision: i64) {
        if self.floor.watchers.len() == 0 && revision > self.head {
            // nobody is there: who comes and wants them reads the store
            self.published = self.published.max(revision);
            return self.jump(revision);
        }
        let new = events.iter().filter(|r| r.revision > self.head);
        let stored = new.map(|r| StoredRevision {
            revision: r.revision,
            events: r.events.iter().map(|e| Stored::new(e.clone(), Prev::Unknown)).collect(),
        });
        let stored: Vec<_> = stored.collect();
        self.feed_stored(stored, revision);
    }

    pub(super) fn feed_stored(&mut self, revisions: Vec<StoredRevision>, revision: i64) {
        let from = self.ring.len();
        for revision in revisions {
            self.ring.push(revision);
        }
        let span = from..self.ring.len();
        self.head = self.head.max(revision);
        self.published = self.published.max(self.head);
        self.floor.pass(&mut self.ring, span, None, Place::Head, self.head);
        self.ring.trim(self.config.ring_bytes);
    }

    fn create(&mut self, key: StreamKey, mut spec: CreateWatch) {
        let Some(stream) = self.floor.by_key.get(&key).copied() else { return };
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
        let Some(watch_id) = self.floor.pick_id(stream, spec.watch_id) else {
            return self.refuse(stream, DUPLICATE_ID);
        };
        self.floor.send(stream, WatchFrame::Created { watch_id, revision: self.published });
        let (start, notify) = (spec.start_revision, spec.progress_notify);
        let next = if start == 0 { self.published + 1 } else { start };
        let place = if next > self.head { Place::Head } else { Place::Ready };
        let watcher = self.floor.add(stream, watch_id, spec, next, place);
        if next < self.floor.compact {
            self.compacted(watcher, self.floor.compact);
        } else if notify {
            let due = self.floor.now.saturating_add(self.config.progress_interval);
            self.look_at(due, watcher, stream, watch_id);
        }
    }

    fn refuse(&mut self, stream: u32, reason: &str) {
        let frame = WatchFrame::Canceled {
            watch_id: -1,
            created: true,
            revision: self.published,
            compact_revision: 0,
            reason: reason.to_owned(),
        };
        self.floor.send(stream, frame);
    }

    /// Ends a watcher whose next revision is gone. Its id stays taken until the client cancels it.
    pub(super) fn compacted(&mut self, at: u32, compact_revision: i64) {
        let watcher = self.floor.watchers.get(at).expect("the caller found it");
        let (stream, watch_id) = (watcher.stream, watcher.id);
        self.floor.put(at, Place::Compacted);
        let reason = String::new();
        self.floor
            .send(stream, WatchFrame::Canceled { watch_id, created: false, revision: 0, compact_revision, reason });
    }

    fn cancel(&mut self, key: StreamKey, watch_id: i64) {
        let Some(stream) = self.floor.by_key.get(&key).copied() else { return };
        if !self.floor.cancel(stream, watch_id) {
            return;
        }
        let (revision, reason) = (self.published, String::new());
        self.floor
            .send(stream, WatchFrame::Canceled { watch_id, created: false, revision, compact_revision: 0, reason });
    }

    fn ask_progress(&mut self, key: StreamKey) {
        let Some(at) = self.floor.by_key.get(&key).copied() else { return };
        let stream = self.floor.streams.get_mut(at).expect("named by its key");
        // a second question while the first one waits must not put that off
        match &mut stream.progress {
            Some((_, last)) => *last = self.published,
            None => {
                stream.progress = Some((self.published, self.published));
                self.asked.push(at);
            }
        }
    }

    /// Lets watchers that are behind catch up as far as memory reaches, asks for reads, and keeps promises of progress.
    pub(super) fn settle(&mut self) {
        self.pump();
        for at in std::mem::take(&mut self.asked) {
            self.answer_progress(at);
        }
    }

    /// Answers when every event up to the revision asked for has been sent on the stream. A watcher that is behind delays
    /// the answer; one that lies in the future or was compacted withholds it, as does a stream without watchers.
    fn answer_progress(&mut self, at: u32) {
        let Some(stream) = self.floor.streams.get(at) else { return };
        let Some((asked, last)) = stream.progress else { return };
        let mut sent = self.head;
        let mut withheld = stream.ids.is_empty();
        for watcher in stream.ids.values() {
            let watcher = self.floor.watchers.get(*watcher).expect("ids name watchers");
            withheld |= watcher.spec.start_revision > self.published || watcher.place() == Place::Compacted;
            if watcher.place() != Place::Head {
                sent = sent.min(watcher.next - 1);
            }
        }
        if mutant::on(Mutant::ProgressEarly) {
            sent = self.published;
        }
        if !withheld && sent < asked.max(stream.last_event) {
            self.asked.push(at);
            return;
        }
        let again = !withheld && sent < last;
        self.floor.streams.get_mut(at).expect("just found").progress = again.then_some((last, last));
        if again {
            self.asked.push(at);
        }
        if !withheld {
            self.floor.promise(at, sent);
            self.floor.send(at, WatchFrame::Progress { watch_id: -1, revision: sent });
        }
    }
}
