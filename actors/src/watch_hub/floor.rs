//! Watchers and streams, and how events reach them: offered one by one in log order, sent as frames while there is credit.
//!
//! Hides the credit rule: a revision may overdraw its stream once; a watcher that then has events to get is parked as a cursor.
//! Must never queue events for a stream without credit.

use super::encode::fragments;
use super::index::Index;
use super::log::{Log, WithPrev};
use super::slab::Slab;
use bytes::Bytes;
use messages::watch::{CreateWatch, EVENT_COST, OversizedEvents, StreamKey, WatchFrame};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Where a watcher gets its events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From new revisions as they come.
    Head,
    /// Behind, to be looked at by the next catch-up.
    Ready,
    /// Behind, and the ring does not reach back to it.
    NeedsStore,
    /// Behind, being served from the ring.
    Ring,
    /// Behind, member of a scan of the store.
    Sweep(u64),
    /// Behind, and its next revision is too large for memory: waits to be told how large.
    Huge,
    /// Waits for a previous key-value.
    WaitPrev,
    /// Waits for credit.
    Parked,
    /// Ended by compaction; keeps its id until the client cancels it.
    Compacted,
}

impl Place {
    /// Counted as slow; a short wait for a previous key-value is not.
    fn is_behind(self) -> bool {
        !matches!(self, Self::Head | Self::Compacted | Self::WaitPrev)
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) stream: u32,
    pub(super) spec: CreateWatch,
    pub(super) id: i64,
    place: Place,
    /// First revision it has not been offered; at the head it may be older than the head's.
    pub(super) next: i64,
    /// It was promised to have been sent everything up to here.
    pub(super) promised: i64,
    /// When it last was sent something.
    pub(super) last_sent: u64,
    /// When it is looked at next because it asked for notices; zero for never.
    pub(super) look: u64,
    /// Its events of the pass at hand.
    build: Option<u32>,
}

impl Watcher {
    pub(super) fn place(&self) -> Place {
        self.place
    }
}

/// A watch stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    account: Account,
    pub(super) ids: BTreeMap<i64, u32>,
    next_id: i64,
    parked: Vec<u32>,
    /// A promise is asked for: of the first revision at least, and another one of the second.
    pub(super) progress: Option<(i64, i64)>,
    /// The newest revision an event of which was sent: no promise may speak of less.
    pub(super) last_event: i64,
    out: Vec<WatchFrame>,
}

/// Events of one watcher, on their way into a frame.
#[derive(Debug)]
struct Build {
    watcher: u32,
    last: i64,
    /// Where the events of `last` begin.
    last_at: usize,
    bytes: usize,
    events: Vec<Bytes>,
}

/// Bytes that decide how responses are cut, and how many may be under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Bytes sent on all streams together and not taken by the clients: slow streams divide it.
    pub(super) budget: usize,
    /// A response that reaches this is split for watchers that want fragments.
    pub(super) fragment: usize,
    /// A response that reaches this ends with the revision at hand.
    pub(super) frame: usize,
}

/// All watchers and streams.
#[derive(Debug)]
pub(super) struct Floor {
    pub(super) watchers: Slab<Watcher>,
    pub(super) streams: Slab<Stream>,
    pub(super) by_key: HashMap<StreamKey, u32>,
    pub(super) index: Index,
    cut: Cut,
    /// The newest compact revision known.
    pub(super) compact: i64,
    builds: Vec<Build>,
    found: Vec<u32>,
    dirty: Vec<u32>,
    /// Watchers to be looked at by the next catch-up.
    pub(super) ready: Vec<u32>,
    pub(super) wait_prev: Vec<u32>,
    /// Watchers to be told how large their next revision is.
    pub(super) huge: Vec<u32>,
    /// Streams whose clients owe something.
    slow: usize,
    pub(super) now: u64,
    pub(super) behind: usize,
    pub(super) events_sent: u64,
}

impl Floor {
    pub(super) fn new(cut: Cut, compact: i64) -> Self {
        Self {
            watchers: Slab::default(),
            streams: Slab::default(),
            by_key: HashMap::new(),
            index: Index::default(),
            cut,
            compact,
            builds: Vec::new(),
            found: Vec::new(),
            dirty: Vec::new(),
            ready: Vec::new(),
            wait_prev: Vec::new(),
            huge: Vec::new(),
            slow: 0,
            now: 0,
            behind: 0,
            events_sent: 0,
        }
    }

    pub(super) fn open(&mut self, key: StreamKey, credit: usize) {
        let account = Account { credit: signed(credit), owed: 0 };
        let (ids, parked, out) = (BTreeMap::new(), Vec::new(), Vec::new());
        let stream = Stream { key, account, ids, next_id: 0, parked, progress: None, last_event: 0, out };
        let at = self.streams.insert(stream);
        if let Some(old) = self.by_key.insert(key, at) {
            self.close_at(old);
        }
    }

    pub(super) fn close(&mut self, key: StreamKey) {
        if let Some(at) = self.by_key.remove(&key) {
            self.close_at(at);
        }
    }

    fn close_at(&mut self, at: u32) {
        let Some(stream) = self.streams.remove(at) else { return };
        self.slow -= usize::from(stream.account.owed > 0);
        for watcher in stream.ids.into_values() {
            self.forget(watcher);
        }
    }

    /// The id a new watcher gets: its own, or the next free one; `None` when it is taken.
    pub(super) fn pick_id(&mut self, stream: u32, wanted: i64) -> Option<i64> {
        let stream = self.streams.get_mut(stream)?;
        if wanted != 0 {
            return (!stream.ids.contains_key(&wanted)).then_some(wanted);
        }
        while stream.ids.contains_key(&stream.next_id) {
            stream.next_id += 1;
        }
        stream.next_id += 1;
        Some(stream.next_id - 1)
    }

    pub(super) fn add(&mut self, stream: u32, id: i64, spec: CreateWatch, next: i64, place: Place) -> u32 {
        let range = spec.range.clone();
        let at = self.watchers.insert(Watcher {
            stream,
            spec,
            id,
            place: Place::Head,
            next,
            promised: 0,
            last_sent: self.now,
            look: 0,
            build: None,
        });
        self.index.insert(&range, at);
        self.streams.get_mut(stream).expect("the caller found it").ids.insert(id, at);
        self.put(at, place);
        at
    }

    /// Ends a watcher and frees its id.
    pub(super) fn cancel(&mut self, stream: u32, id: i64) -> bool {
        let Some(at) = self.streams.get_mut(stream).and_then(|s| s.ids.remove(&id)) else { return false };
        self.forget(at);
        true
    }

    fn forget(&mut self, at: u32) {
        let Some(watcher) = self.watchers.remove(at) else { return };
        self.behind -= usize::from(watcher.place.is_behind());
        if watcher.place != Place::Compacted {
            self.index.remove(&watcher.spec.range, at);
        }
    }

    /// Moves a watcher to another place, and files it where that place is looked through.
    pub(super) fn put(&mut self, at: u32, place: Place) {
        let watcher = self.watchers.get_mut(at).expect("only watchers that exist are moved");
        let before = std::mem::replace(&mut watcher.place, place);
        self.behind = self.behind + usize::from(place.is_behind()) - usize::from(before.is_behind());
        match place {
            Place::Ready => self.ready.push(at),
            Place::WaitPrev => self.wait_prev.push(at),
            Place::Huge => self.huge.push(at),
            Place::Parked => self.streams.get_mut(watcher.stream).expect("streams outlive watchers").parked.push(at),
            Place::Compacted => self.index.remove(&watcher.spec.range, at),
            Place::Head | Place::NeedsStore | Place::Ring | Place::Sweep(_) => {}
        }
    }

    /// True when the watcher exists and is there.
    pub(super) fn is_at(&self, at: u32, place: Place) -> bool {
        self.watchers.get(at).is_some_and(|w| w.place == place)
    }

    pub(super) fn grant(&mut self, key: StreamKey, bytes: usize) {
        let Some(at) = self.by_key.get(&key).copied() else { return };
        self.book(at, -signed(bytes));
        if self.may_send(at) {
            let stream = self.streams.get_mut(at).expect("named by its key");
            let parked = std::mem::take(&mut stream.parked);
            self.wake(parked, Place::Parked);
        }
    }

    /// Counts bytes for a stream's client, or back.
    fn book(&mut self, stream: u32, bytes: i64) {
        let Some(stream) = self.streams.get_mut(stream) else { return };
        let was = stream.account.owed > 0;
        stream.account.book(bytes);
        self.slow = self.slow + usize::from(stream.account.owed > 0) - usize::from(was);
    }

    /// True when something may be sent on a stream: it has credit, and its client owes less than its share of the budget. One
    /// that owes nothing may always be sent something; one that owes is heard of again.
    fn may_send(&self, stream: u32) -> bool {
        let share = (self.cut.budget / self.slow.max(1)).max(LEAST_SHARE);
        self.streams.get(stream).is_some_and(|s| s.account.credit > 0 && s.account.owed < signed(share))
    }

    /// Wakes what waited for previous key-values.
    pub(super) fn wake_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.wait_prev);
        self.wake(waiting, Place::WaitPrev);
    }

    fn wake(&mut self, watchers: Vec<u32>, from: Place) {
        for at in watchers {
            if self.is_at(at, from) {
                self.put(at, Place::Ready);
            }
        }
    }

    /// Notes a promise to all watchers of a stream.
    pub(super) fn promise(&mut self, stream: u32, revision: i64) {
        let Some(stream) = self.streams.get(stream) else { return };
        for at in stream.ids.values() {
            self.watchers.get_mut(*at).expect("ids name watchers").promised = revision;
        }
    }

    /// Appends a frame to a stream; the frame counts against its credit.
    pub(super) fn send(&mut self, stream: u32, frame: WatchFrame) {
        self.book(stream, signed(frame.cost()));
        self.push(stream, frame);
    }

    /// Appends a frame that was counted.
    fn push(&mut self, stream: u32, frame: WatchFrame) {
        let Some(open) = self.streams.get_mut(stream) else { return };
        if open.out.is_empty() {
            self.dirty.push(stream);
        }
        open.out.push(frame);
    }

    /// What is to be sent, as one list per stream.
    pub(super) fn take_frames(&mut self) -> Vec<(StreamKey, Vec<WatchFrame>)> {
        let streams = &mut self.streams;
        let lists = self.dirty.drain(..).filter_map(|at| {
            let stream = streams.get_mut(at)?;
            Some((stream.key, std::mem::take(&mut stream.out)))
        });
        lists.filter(|(_, frames)| !frames.is_empty()).collect()
    }

    /// Offers revisions of a log to the watchers of an index that are at `place`; ends early when none is left there.
    /// `header` is the revision of the frames' headers.
    pub(super) fn pass(&mut self, log: &mut Log, span: Range<usize>, index: Option<&Index>, place: Place, header: i64) {
        for at in span {
            let revision = log.revision(at);
            for event in 0..log.events(at) {
                let mut found = std::mem::take(&mut self.found);
                found.clear();
                index.unwrap_or(&self.index).find(&log.event(at, event).key, &mut found);
                for watcher in &found {
                    self.offer(*watcher, place, log, (at, event), revision, header);
                }
                self.found = found;
            }
        }
        for build in std::mem::take(&mut self.builds) {
            self.finish(build, header);
        }
    }

    fn offer(&mut self, at: u32, place: Place, log: &mut Log, event: (usize, usize), revision: i64, header: i64) {
        let Some(watcher) = self.watchers.get(at) else { return };
        let delete = log.event(event.0, event.1).delete;
        let filtered = if delete { watcher.spec.no_delete } else { watcher.spec.no_put };
        if watcher.place != place || watcher.next > revision || filtered {
            return;
        }
        let slot = watcher.build;
        let begins = slot.is_none_or(|slot| self.builds[slot as usize].last != revision);
        if begins && !self.has_credit(at) {
            return self.park(at, revision);
        }
        let watcher = self.watchers.get(at).expect("just found");
        // what was there before a compacted revision is gone, also where memory still has it
        let (stream, with_prev) = (watcher.stream, watcher.spec.prev_kv && revision > self.compact);
        let bytes = match with_prev {
            false => log.encoded(event.0, event.1),
            true => match log.encoded_with_prev(event.0, event.1) {
                WithPrev::Known(bytes) => bytes,
                WithPrev::Wanted => {
                    self.want_rest(at, log, event);
                    return self.block(at, revision, Place::WaitPrev);
                }
                WithPrev::Huge => return self.block(at, revision, Place::Huge),
            },
        };
        let slot = slot.unwrap_or_else(|| self.begin_build(at, revision));
        if begins {
            if self.builds[slot as usize].bytes >= self.cut.frame {
                self.flush_build(slot, header);
            }
            let build = &mut self.builds[slot as usize];
            (build.last, build.last_at) = (revision, build.events.len());
        }
        // counted now: what is gathered in a pass is under way as much as what was sent
        self.book(stream, signed(bytes.len() + EVENT_COST));
        let build = &mut self.builds[slot as usize];
        build.bytes += bytes.len();
        build.events.push(bytes);
    }

    /// A previous key-value has to be read: those of the watcher's other events of the revision are asked for with it.
    fn want_rest(&self, at: u32, log: &mut Log, (revision, event): (usize, usize)) {
        let range = &self.watchers.get(at).expect("just found").spec.range;
        for later in event + 1..log.events(revision) {
            if range.contains(&log.event(revision, later).key) {
                log.encoded_with_prev(revision, later);
            }
        }
    }

    fn begin_build(&mut self, at: u32, revision: i64) -> u32 {
        let slot = self.builds.len() as u32;
        self.builds.push(Build { watcher: at, last: revision, last_at: 0, bytes: 0, events: Vec::new() });
        self.watchers.get_mut(at).expect("just found").build = Some(slot);
        slot
    }

    /// Sends what a build holds and empties it.
    fn flush_build(&mut self, slot: u32, header: i64) {
        let build = &mut self.builds[slot as usize];
        let (at, events, last) = (build.watcher, std::mem::take(&mut build.events), build.last);
        build.bytes = 0;
        self.send_events(at, events, last, header);
    }

    /// A previous key-value is missing: what comes before its revision can go, the rest waits.
    fn block(&mut self, at: u32, revision: i64, place: Place) {
        let watcher = self.watchers.get_mut(at).expect("just found");
        watcher.next = revision;
        let stream = watcher.stream;
        if let Some(build) = watcher.build.and_then(|slot| self.builds.get_mut(slot as usize))
            && build.last == revision
        {
            let cut: usize = build.events.drain(build.last_at..).map(|e| e.len() + EVENT_COST).sum();
            build.last = revision - 1;
            self.book(stream, -signed(cut));
        }
        self.put(at, place);
    }

    fn park(&mut self, at: u32, revision: i64) {
        self.watchers.get_mut(at).expect("just found").next = revision;
        self.put(at, Place::Parked);
    }

    fn has_credit(&self, at: u32) -> bool {
        self.watchers.get(at).is_some_and(|w| self.may_send(w.stream))
    }

    fn finish(&mut self, build: Build, header: i64) {
        self.watchers.get_mut(build.watcher).expect("nothing is cancelled during a pass").build = None;
        if !build.events.is_empty() {
            self.send_events(build.watcher, build.events, build.last, header);
        }
    }

    /// Sends the events of a huge revision, or parks the watcher before it; false when it was parked.
    pub(super) fn send_huge(&mut self, at: u32, events: OversizedEvents, of: i64, revision: i64) -> bool {
        if !self.has_credit(at) {
            self.park(at, of);
            return false;
        }
        let now = self.now;
        let watcher = self.watchers.get_mut(at).expect("the caller found it");
        watcher.last_sent = now;
        assert!(of > watcher.promised, "AI-PROMISE: revision {of} after progress {}", watcher.promised);
        let (stream, watch_id, fragment) = (watcher.stream, watcher.id, watcher.spec.fragment);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.last_event = stream.last_event.max(of);
        }
        self.send(stream, WatchFrame::Oversized { watch_id, revision, events, fragment });
        true
    }

    fn send_events(&mut self, at: u32, events: Vec<Bytes>, last: i64, revision: i64) {
        let now = self.now;
        let watcher = self.watchers.get_mut(at).expect("nothing is cancelled during a pass");
        watcher.last_sent = now;
        assert!(
            last > watcher.promised,
            "AI-PROMISE: revision {last} after progress {}: {watcher:?}",
            watcher.promised
        );
        let (stream, watch_id, fragment) = (watcher.stream, watcher.id, watcher.spec.fragment);
        self.events_sent += events.len() as u64;
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.last_event = stream.last_event.max(last);
        }
        self.book(stream, signed(WatchFrame::COST));
        if !fragment {
            return self.push(stream, WatchFrame::Events { watch_id, revision, events, fragment: false });
        }
        let mut parts = fragments(events, self.cut.fragment).into_iter().peekable();
        while let Some(events) = parts.next() {
            let fragment = parts.peek().is_some();
            self.push(stream, WatchFrame::Events { watch_id, revision, events, fragment });
            if fragment {
                self.book(stream, signed(WatchFrame::COST));
            }
        }
    }
}

/// What a stream may be sent beyond what its client has taken.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Bytes left of what was granted; a frame may overdraw it.
    credit: i64,
    /// Bytes sent and not taken.
    owed: i64,
}

impl Account {
    fn book(&mut self, bytes: i64) {
        self.credit = self.credit.saturating_sub(bytes);
        self.owed = self.owed.saturating_add(bytes).max(0);
    }
}

/// Least share of a stream in the budget.
const LEAST_SHARE: usize = 8 << 10;

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
