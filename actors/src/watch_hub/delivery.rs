//! How events reach watchers: offered one by one in log order, gathered per watcher, sent as frames while there is credit.
//!
//! A watcher that has events to get and may not be sent them is parked before their revision. Must never queue events for a
//! stream without credit, and never send a part of a revision to a watcher that did not ask for fragments.

use super::encode::fragments;
use super::event_log::{EventLog, WithPrevKv};
use super::flow_control::FlowControl;
use super::index::Index;
use super::registry::{WatcherRegistry, WatcherState};
use super::slots::{BySlot, StreamSlot, WatcherSlot};
use bytes::Bytes;
use messages::watch::{EVENT_COST, OversizedEvents, StreamKey, WatchFrame};
use std::ops::Range;

/// Where responses are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseSizes {
    /// A response that reaches this many bytes is split for watchers that want fragments.
    pub(super) fragment: usize,
    /// A response that reaches this many bytes ends with the revision at hand.
    pub(super) frame: usize,
    /// A watcher that is behind and wants fragments pulls a batch when it has this many bytes to get at once.
    pub(super) pulled: usize,
    /// Most revisions of a response.
    pub(super) revisions: usize,
}

/// Which watchers are offered events, and what the frames say.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    /// Those of this index, or all.
    pub(super) index: Option<&'a Index<WatcherSlot>>,
    /// Only those in this state.
    pub(super) state: WatcherState,
    /// Revision in the frames' headers.
    pub(super) header: i64,
    /// The newest compact revision known: up to there no previous key-values are sent.
    pub(super) compact: i64,
}

/// Frames of one stream that are to be sent.
#[derive(Debug)]
struct Outgoing {
    key: StreamKey,
    frames: Vec<WatchFrame>,
}

/// Events of one watcher, on their way into a frame.
#[derive(Debug)]
struct Gathered {
    watcher: WatcherSlot,
    /// The oldest revision of the events, and how many there are.
    first: i64,
    revisions: usize,
    /// The newest revision of the events.
    last: i64,
    /// Where the events of `last` begin.
    last_at: usize,
    bytes: usize,
    events: Vec<Bytes>,
}

/// An event of a log: its revision's place, and its own in that revision.
#[derive(Clone, Copy)]
struct EventAt {
    revision: usize,
    event: usize,
}

/// Frames on their way out.
#[derive(Debug)]
pub(super) struct Delivery {
    sizes: ResponseSizes,
    flow: FlowControl,
    outgoing: BySlot<Outgoing>,
    /// Streams that have frames to be sent.
    filled: Vec<StreamSlot>,
    /// What was gathered since the pass over a log began, and by watcher where.
    gathered: Vec<Gathered>,
    gathered_of: BySlot<usize>,
    /// Kept for its memory.
    found: Vec<WatcherSlot>,
    events_sent: u64,
}

impl Delivery {
    /// With at most `budget` bytes sent on all streams and not taken by the clients.
    pub(super) fn new(sizes: ResponseSizes, budget: usize) -> Self {
        Self {
            sizes,
            flow: FlowControl::new(budget),
            outgoing: BySlot::default(),
            filled: Vec::new(),
            gathered: Vec::new(),
            gathered_of: BySlot::default(),
            found: Vec::new(),
            events_sent: 0,
        }
    }

    pub(super) fn open(&mut self, stream: StreamSlot, key: StreamKey, credit: usize) {
        self.flow.open(stream, credit);
        self.outgoing.insert(stream, Outgoing { key, frames: Vec::new() });
    }

    pub(super) fn close(&mut self, stream: StreamSlot) {
        self.flow.close(stream);
        self.outgoing.remove(stream);
    }

    /// Events sent since the start.
    pub(super) fn events_sent(&self) -> u64 {
        self.events_sent
    }

    /// The client of a stream took so many bytes; true when it may be sent more.
    pub(super) fn take_back(&mut self, stream: StreamSlot, bytes: usize) -> bool {
        self.flow.give_back(stream, bytes);
        self.flow.may_send(stream)
    }

    /// Appends a frame to a stream; the frame counts against its credit.
    pub(super) fn send(&mut self, stream: StreamSlot, frame: WatchFrame) {
        self.flow.charge(stream, frame.cost());
        self.push(stream, frame);
    }

    /// Appends a frame that was counted.
    fn push(&mut self, stream: StreamSlot, frame: WatchFrame) {
        let Some(outgoing) = self.outgoing.get_mut(stream) else { return };
        if outgoing.frames.is_empty() {
            self.filled.push(stream);
        }
        outgoing.frames.push(frame);
    }

    /// What is to be sent, as one list per stream.
    pub(super) fn take_frames(&mut self) -> Vec<(StreamKey, Vec<WatchFrame>)> {
        let outgoing = &mut self.outgoing;
        let lists = self.filled.drain(..).filter_map(|slot| {
            let stream = outgoing.get_mut(slot)?;
            Some((stream.key, std::mem::take(&mut stream.frames)))
        });
        lists.filter(|(_, frames)| !frames.is_empty()).collect()
    }

    /// Ends a watcher whose next revision is gone. Its id stays taken until the client cancels it.
    pub(super) fn end_compacted(&mut self, registry: &mut WatcherRegistry, slot: WatcherSlot, compact_revision: i64) {
        let watcher = registry.get(slot).expect("the caller found it");
        let stream = watcher.stream();
        let watch_id = watcher.id();
        registry.move_to(slot, WatcherState::Compacted);
        let reason = String::new();
        let frame = WatchFrame::Canceled { watch_id, created: false, revision: 0, compact_revision, reason };
        self.send(stream, frame);
    }

    /// Offers revisions of a log to watchers, and sends what each of them gathered.
    pub(super) fn offer(
        &mut self,
        registry: &mut WatcherRegistry,
        log: &mut EventLog,
        span: Range<usize>,
        offer: Offer<'_>,
    ) {
        for revision in span {
            for event in 0..log.events(revision) {
                let mut found = std::mem::take(&mut self.found);
                found.clear();
                let key = &log.event(revision, event).key;
                match offer.index {
                    Some(index) => index.find(key, &mut found),
                    None => registry.find(key, &mut found),
                }
                for watcher in &found {
                    self.offer_event(registry, log, *watcher, EventAt { revision, event }, offer);
                }
                self.found = found;
            }
        }
        for gathered in std::mem::take(&mut self.gathered) {
            self.gathered_of.remove(gathered.watcher);
            if self.is_pulled(registry, &gathered, offer.state) {
                self.leave_to_client(registry, gathered.watcher, gathered.first, &gathered.events);
            } else if !gathered.events.is_empty() {
                self.send_events(registry, gathered.watcher, gathered.events, gathered.last, offer.header);
            }
        }
    }

    fn offer_event(
        &mut self,
        registry: &mut WatcherRegistry,
        log: &mut EventLog,
        slot: WatcherSlot,
        at: EventAt,
        offer: Offer<'_>,
    ) {
        let Some(watcher) = registry.get(slot) else { return };
        let revision = log.revision(at.revision);
        let delete = log.event(at.revision, at.event).delete;
        let filtered = if delete { watcher.spec().no_delete } else { watcher.spec().no_put };
        if watcher.state() != offer.state || watcher.next() > revision || filtered {
            return;
        }
        let stream = watcher.stream();
        let place = self.gathered_of.get(slot).copied();
        let begins = place.is_none_or(|place| self.gathered[place].last != revision);
        if begins && !self.flow.may_send(stream) {
            return registry.move_to_at(slot, WatcherState::Parked, revision);
        }
        // what was there before a compacted revision is gone, also where memory still has it
        let with_prev = watcher.spec().prev_kv && revision > offer.compact;
        let bytes = match with_prev {
            false => log.encoded(at.revision, at.event),
            true => match log.encoded_with_prev(at.revision, at.event) {
                WithPrevKv::Known(bytes) => bytes,
                WithPrevKv::Wanted => {
                    want_rest(registry, log, slot, at);
                    return self.stop_before(registry, slot, revision, WatcherState::NeedsPrevKv);
                }
                WithPrevKv::Oversized => {
                    return self.stop_before(registry, slot, revision, WatcherState::AtOversized);
                }
            },
        };
        let place = place.unwrap_or_else(|| self.begin_gathering(slot, revision));
        if begins {
            if self.is_pulled(registry, &self.gathered[place], offer.state) {
                let gathered = &mut self.gathered[place];
                gathered.bytes = 0;
                let events = std::mem::take(&mut gathered.events);
                let first = gathered.first;
                return self.leave_to_client(registry, slot, first, &events);
            }
            let gathered = &self.gathered[place];
            if gathered.bytes >= self.sizes.frame || gathered.revisions == self.sizes.revisions {
                self.send_gathered(registry, place, offer.header);
            }
            let gathered = &mut self.gathered[place];
            if gathered.events.is_empty() {
                gathered.first = revision;
                gathered.revisions = 0;
            }
            gathered.revisions += 1;
            gathered.last = revision;
            gathered.last_at = gathered.events.len();
        }
        // counted now: what is gathered is under way as much as what was sent
        self.flow.charge(stream, bytes.len() + EVENT_COST);
        let gathered = &mut self.gathered[place];
        gathered.bytes += bytes.len();
        gathered.events.push(bytes);
    }

    fn begin_gathering(&mut self, watcher: WatcherSlot, revision: i64) -> usize {
        let place = self.gathered.len();
        self.gathered.push(Gathered {
            watcher,
            first: revision,
            revisions: 0,
            last: revision,
            last_at: 0,
            bytes: 0,
            events: Vec::new(),
        });
        self.gathered_of.insert(watcher, place);
        place
    }

    /// True when a watcher that is behind and takes fragments has much to get: it pulls as much as a response in
    /// fragments carries, because no other response may come between two fragments.
    fn is_pulled(&self, registry: &WatcherRegistry, gathered: &Gathered, offered: WatcherState) -> bool {
        let behind = offered != WatcherState::AtHead;
        let full = !gathered.events.is_empty() && gathered.bytes >= self.sizes.pulled;
        behind && full && registry.get(gathered.watcher).is_some_and(|w| w.spec().fragment)
    }

    /// What was gathered for a watcher from `first` on is not sent: its client pulls it.
    fn leave_to_client(&mut self, registry: &mut WatcherRegistry, slot: WatcherSlot, first: i64, events: &[Bytes]) {
        let stream = registry.get(slot).expect("nothing is cancelled while events are offered").stream();
        self.flow.give_back(stream, events.iter().map(|e| e.len() + EVENT_COST).sum());
        registry.move_to_at(slot, WatcherState::AtOversized, first);
    }

    /// Sends what was gathered for a watcher so far; more may follow.
    fn send_gathered(&mut self, registry: &mut WatcherRegistry, place: usize, header: i64) {
        let gathered = &mut self.gathered[place];
        gathered.bytes = 0;
        let watcher = gathered.watcher;
        let last = gathered.last;
        let events = std::mem::take(&mut gathered.events);
        self.send_events(registry, watcher, events, last, header);
    }

    /// Something of a revision is missing: what comes before it can go, the watcher waits in `state`.
    fn stop_before(&mut self, registry: &mut WatcherRegistry, slot: WatcherSlot, revision: i64, state: WatcherState) {
        let stream = registry.get(slot).expect("just found").stream();
        if let Some(place) = self.gathered_of.get(slot).copied()
            && let Some(gathered) = self.gathered.get_mut(place)
            && gathered.last == revision
        {
            let cut: usize = gathered.events.drain(gathered.last_at..).map(|e| e.len() + EVENT_COST).sum();
            gathered.last = revision - 1;
            self.flow.give_back(stream, cut);
        }
        registry.move_to_at(slot, state, revision);
    }

    /// Sends the events of oversized revisions, or parks the watcher before them; false when it was parked. `header` is the
    /// revision in the frame's header.
    pub(super) fn send_oversized(
        &mut self,
        registry: &mut WatcherRegistry,
        slot: WatcherSlot,
        events: OversizedEvents,
        span: Range<i64>,
        header: i64,
    ) -> bool {
        let watcher = registry.get(slot).expect("the caller found it");
        let stream = watcher.stream();
        if !self.flow.may_send(stream) {
            registry.move_to_at(slot, WatcherState::Parked, span.start);
            return false;
        }
        let watch_id = watcher.id();
        let fragment = watcher.spec().fragment;
        registry.note_events(slot, span.end - 1);
        self.send(stream, WatchFrame::Oversized { watch_id, revision: header, events, fragment });
        true
    }

    fn send_events(
        &mut self,
        registry: &mut WatcherRegistry,
        slot: WatcherSlot,
        events: Vec<Bytes>,
        last: i64,
        revision: i64,
    ) {
        registry.note_events(slot, last);
        let watcher = registry.get(slot).expect("nothing is cancelled while events are offered");
        let stream = watcher.stream();
        let watch_id = watcher.id();
        self.events_sent += events.len() as u64;
        self.flow.charge(stream, WatchFrame::COST);
        if !watcher.spec().fragment {
            return self.push(stream, WatchFrame::Events { watch_id, revision, events, fragment: false });
        }
        let mut parts = fragments(events, self.sizes.fragment).into_iter().peekable();
        while let Some(events) = parts.next() {
            let fragment = parts.peek().is_some();
            self.push(stream, WatchFrame::Events { watch_id, revision, events, fragment });
            if fragment {
                self.flow.charge(stream, WatchFrame::COST);
            }
        }
    }
}

/// A previous key-value has to be read: those of the watcher's later events of the revision are asked for with it.
fn want_rest(registry: &WatcherRegistry, log: &mut EventLog, slot: WatcherSlot, at: EventAt) {
    let range = &registry.get(slot).expect("just found").spec().range;
    for later in at.event + 1..log.events(at.revision) {
        if range.contains(&log.event(at.revision, later).key) {
            log.encoded_with_prev(at.revision, later);
        }
    }
}
