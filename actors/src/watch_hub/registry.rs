//! Who watches what on which stream, and where each watcher gets its next events from.
//!
//! Each watcher is in exactly one state and is listed where that state is looked through. Must never promise progress that an
//! event would break afterwards (AI-PROMISE).

use super::index::Index;
use super::slots::{Slots, StreamSlot, WatcherSlot};
use messages::watch::{CreateWatch, StreamKey};
use std::collections::{BTreeMap, HashMap};

/// Where a watcher gets its next events from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatcherState {
    /// From new revisions as they come.
    AtHead,
    /// Behind, to be looked at by the next round of catching up.
    Ready,
    /// Behind, and the events in memory do not reach back to it.
    NeedsStore,
    /// Behind, being served from the events in memory.
    FromMemory,
    /// Behind, member of a scan of the store.
    InScan(u64),
    /// Behind, and its next batch is oversized: waits to be told how large it is.
    AtOversized,
    /// Waits for a previous key-value.
    NeedsPrevKv,
    /// Waits for its stream to be allowed to send.
    Parked,
    /// Ended by compaction; keeps its id until the client cancels it.
    Compacted,
}

impl WatcherState {
    /// Counted as slow; a short wait for a previous key-value is not.
    fn is_behind(self) -> bool {
        !matches!(self, Self::AtHead | Self::Compacted | Self::NeedsPrevKv)
    }
}

/// A watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    stream: StreamSlot,
    id: i64,
    spec: CreateWatch,
    state: WatcherState,
    /// First revision it has not been offered; at the head it may be older than the head's.
    next: i64,
    /// It was promised to have been sent everything up to here.
    promised: i64,
    /// When it last was sent something, in milliseconds.
    last_sent: u64,
    /// When a notice of progress is due; zero for never.
    notice_due: u64,
}

impl Watcher {
    pub(super) fn stream(&self) -> StreamSlot {
        self.stream
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn spec(&self) -> &CreateWatch {
        &self.spec
    }

    pub(super) fn state(&self) -> WatcherState {
        self.state
    }

    pub(super) fn next(&self) -> i64 {
        self.next
    }

    pub(super) fn last_sent(&self) -> u64 {
        self.last_sent
    }

    pub(super) fn notice_due(&self) -> u64 {
        self.notice_due
    }
}

/// A watch stream.
#[derive(Debug)]
struct Stream {
    ids: BTreeMap<i64, WatcherSlot>,
    next_id: i64,
    parked: Vec<WatcherSlot>,
    /// The newest revision an event of which was sent: no promise may speak of less.
    last_event: i64,
}

/// How far a stream was sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentUpTo {
    /// Every event of the stream's watchers up to here was sent.
    pub(super) revision: i64,
    /// A promise may not speak of less than this.
    pub(super) last_event: i64,
}

/// All watchers and streams.
#[derive(Debug, Default)]
pub(super) struct WatcherRegistry {
    watchers: Slots<WatcherSlot, Watcher>,
    streams: Slots<StreamSlot, Stream>,
    by_key: HashMap<StreamKey, StreamSlot>,
    /// Every watcher that is not ended, by what it watches.
    index: Index<WatcherSlot>,
    /// Watchers that were `Ready`, `NeedsPrevKv` or `AtOversized` when they were listed; they may have moved on.
    ready: Vec<WatcherSlot>,
    need_prev_kv: Vec<WatcherSlot>,
    at_oversized: Vec<WatcherSlot>,
    behind: usize,
    /// The time, in milliseconds.
    now: u64,
}

impl WatcherRegistry {
    /// Opens a stream. One of the same key is replaced: it comes back, to be closed.
    pub(super) fn open(&mut self, key: StreamKey) -> (StreamSlot, Option<StreamSlot>) {
        let stream = Stream { ids: BTreeMap::new(), next_id: 0, parked: Vec::new(), last_event: 0 };
        let slot = self.streams.insert(stream);
        (slot, self.by_key.insert(key, slot))
    }

    /// The stream of this key, which is then unknown by it.
    pub(super) fn take_key(&mut self, key: StreamKey) -> Option<StreamSlot> {
        self.by_key.remove(&key)
    }

    /// Ends a stream and its watchers.
    pub(super) fn close(&mut self, slot: StreamSlot) {
        let Some(stream) = self.streams.remove(slot) else { return };
        for watcher in stream.ids.into_values() {
            self.forget(watcher);
        }
    }

    pub(super) fn stream(&self, key: StreamKey) -> Option<StreamSlot> {
        self.by_key.get(&key).copied()
    }

    /// The id a new watcher gets: its own, or the next free one; `None` when it is taken.
    pub(super) fn pick_id(&mut self, stream: StreamSlot, wanted: i64) -> Option<i64> {
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

    /// Adds a watcher whose first revision is `next`, under an id of [`Self::pick_id`].
    pub(super) fn add(
        &mut self,
        stream: StreamSlot,
        id: i64,
        spec: CreateWatch,
        next: i64,
        state: WatcherState,
    ) -> WatcherSlot {
        let range = spec.range.clone();
        let slot = self.watchers.insert(Watcher {
            stream,
            id,
            spec,
            state: WatcherState::AtHead,
            next,
            promised: 0,
            last_sent: self.now,
            notice_due: 0,
        });
        self.index.insert(&range, slot);
        self.streams.get_mut(stream).expect("the caller found it").ids.insert(id, slot);
        self.move_to(slot, state);
        slot
    }

    /// Ends a watcher and frees its id; false when there is none.
    pub(super) fn cancel(&mut self, stream: StreamSlot, id: i64) -> bool {
        let Some(slot) = self.streams.get_mut(stream).and_then(|s| s.ids.remove(&id)) else { return false };
        self.forget(slot);
        true
    }

    fn forget(&mut self, slot: WatcherSlot) {
        let Some(watcher) = self.watchers.remove(slot) else { return };
        self.behind -= usize::from(watcher.state.is_behind());
        if watcher.state != WatcherState::Compacted {
            self.index.remove(&watcher.spec.range, slot);
        }
    }

    pub(super) fn get(&self, slot: WatcherSlot) -> Option<&Watcher> {
        self.watchers.get(slot)
    }

    /// True when the watcher exists and is in this state.
    pub(super) fn is_in(&self, slot: WatcherSlot, state: WatcherState) -> bool {
        self.watchers.get(slot).is_some_and(|watcher| watcher.state == state)
    }

    /// Moves a watcher to another state, and lists it where that state is looked through.
    pub(super) fn move_to(&mut self, slot: WatcherSlot, state: WatcherState) {
        let watcher = self.watchers.get_mut(slot).expect("only watchers that exist are moved");
        let before = std::mem::replace(&mut watcher.state, state);
        self.behind = self.behind + usize::from(state.is_behind()) - usize::from(before.is_behind());
        match state {
            WatcherState::Ready => self.ready.push(slot),
            WatcherState::NeedsPrevKv => self.need_prev_kv.push(slot),
            WatcherState::AtOversized => self.at_oversized.push(slot),
            WatcherState::Parked => {
                self.streams.get_mut(watcher.stream).expect("streams outlive watchers").parked.push(slot);
            }
            WatcherState::Compacted => self.index.remove(&watcher.spec.range, slot),
            WatcherState::AtHead | WatcherState::NeedsStore | WatcherState::FromMemory | WatcherState::InScan(_) => {}
        }
    }

    /// Moves a watcher to another state, in which it goes on at `next`.
    pub(super) fn move_to_at(&mut self, slot: WatcherSlot, state: WatcherState, next: i64) {
        self.watchers.get_mut(slot).expect("only watchers that exist are moved").next = next;
        self.move_to(slot, state);
    }

    /// Watchers in state `from` that have not been offered this oversized revision now wait for its length.
    pub(super) fn stop_at_oversized(&mut self, revision: i64, watchers: &[WatcherSlot], from: WatcherState) {
        for slot in watchers {
            if self.watchers.get(*slot).is_some_and(|w| w.state == from && w.next <= revision) {
                self.move_to_at(*slot, WatcherState::AtOversized, revision);
            }
        }
    }

    /// Appends the watchers of a key that are not ended.
    pub(super) fn find(&self, key: &[u8], found: &mut Vec<WatcherSlot>) {
        self.index.find(key, found);
    }

    /// Watchers to be looked at by this round of catching up. One may be listed twice, or have left the state `Ready` since.
    pub(super) fn take_ready(&mut self) -> Vec<WatcherSlot> {
        std::mem::take(&mut self.ready)
    }

    /// Watchers that wait for the length of an oversized batch: the lowest revision where one begins, and who waits there.
    pub(super) fn take_at_oversized(&mut self) -> Option<(i64, Vec<WatcherSlot>)> {
        let mut waiting = std::mem::take(&mut self.at_oversized);
        waiting.retain(|slot| self.is_in(*slot, WatcherState::AtOversized));
        let next_of = |slot: &WatcherSlot| self.watchers.get(*slot).expect("just seen").next;
        let revision = waiting.iter().map(next_of).min()?;
        let (first, later) = waiting.into_iter().partition(|slot| next_of(slot) == revision);
        self.at_oversized = later;
        Some((revision, first))
    }

    /// Whether a watcher may be waiting for a previous key-value.
    pub(super) fn needs_prev_kv(&self) -> bool {
        !self.need_prev_kv.is_empty()
    }

    /// Those who waited for previous key-values are looked at again.
    pub(super) fn wake_prev_kv(&mut self) {
        let waiting = std::mem::take(&mut self.need_prev_kv);
        self.wake(waiting, WatcherState::NeedsPrevKv);
    }

    /// Those who waited for a stream to be allowed to send are looked at again.
    pub(super) fn wake_parked(&mut self, stream: StreamSlot) {
        let Some(stream) = self.streams.get_mut(stream) else { return };
        let parked = std::mem::take(&mut stream.parked);
        self.wake(parked, WatcherState::Parked);
    }

    fn wake(&mut self, watchers: Vec<WatcherSlot>, from: WatcherState) {
        for slot in watchers {
            if self.is_in(slot, from) {
                self.move_to(slot, WatcherState::Ready);
            }
        }
    }

    /// Every watcher.
    pub(super) fn all(&self) -> Vec<WatcherSlot> {
        self.watchers.numbers()
    }

    pub(super) fn watchers(&self) -> usize {
        self.watchers.len()
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Watchers that are slow.
    pub(super) fn behind(&self) -> usize {
        self.behind
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Sets the time, in milliseconds from any start.
    pub(super) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    pub(super) fn set_notice_due(&mut self, slot: WatcherSlot, due: u64) {
        self.watchers.get_mut(slot).expect("the caller found it").notice_due = due;
    }

    /// Notes that events of revisions up to `last` go out to a watcher.
    ///
    /// # Panics
    /// When it was promised before to have been sent everything up to there (AI-PROMISE).
    pub(super) fn note_events(&mut self, slot: WatcherSlot, last: i64) {
        let watcher = self.watchers.get_mut(slot).expect("nothing is cancelled while events are offered");
        assert!(
            last > watcher.promised,
            "AI-PROMISE: revision {last} after progress {}: {watcher:?}",
            watcher.promised
        );
        watcher.last_sent = self.now;
        if let Some(stream) = self.streams.get_mut(watcher.stream) {
            stream.last_event = stream.last_event.max(last);
        }
    }

    /// Notes that a watcher is sent a notice of progress up to `revision`.
    pub(super) fn note_notice(&mut self, slot: WatcherSlot, revision: i64) {
        let watcher = self.watchers.get_mut(slot).expect("the caller found it");
        watcher.last_sent = self.now;
        watcher.promised = revision;
    }

    /// Notes a promise of progress to all watchers of a stream.
    pub(super) fn note_promise(&mut self, stream: StreamSlot, revision: i64) {
        let Some(stream) = self.streams.get(stream) else { return };
        for slot in stream.ids.values() {
            self.watchers.get_mut(*slot).expect("ids name watchers").promised = revision;
        }
    }

    /// How far everything was sent on a stream, with the head of the hub at `head`. `None` withholds any promise: from a stream
    /// without watchers, and while one of them starts behind `published` or was ended by compaction.
    pub(super) fn sent_up_to(&self, stream: StreamSlot, head: i64, published: i64) -> Option<SentUpTo> {
        let stream = self.streams.get(stream).filter(|stream| !stream.ids.is_empty())?;
        let mut revision = head;
        for slot in stream.ids.values() {
            let watcher = self.watchers.get(*slot).expect("ids name watchers");
            if watcher.spec.start_revision > published || watcher.state == WatcherState::Compacted {
                return None;
            }
            if watcher.state != WatcherState::AtHead {
                revision = revision.min(watcher.next - 1);
            }
        }
        Some(SentUpTo { revision, last_event: stream.last_event })
    }
}
