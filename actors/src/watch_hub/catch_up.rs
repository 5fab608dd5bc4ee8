//! How watchers that are behind, and the hub itself, catch up: from the ring at once, from the store by jobs.
//!
//! All ranges that need the store share one scan that goes up to the ring (later arrivals wait for the next one); cursors of
//! single keys read their key's own versions. At most one job per scan is out. A watcher whose next revision is gone from ring
//! and store is ended; what the ring still has is never lost to a compaction.

use super::core::Hub;
use super::floor::Place;
use super::huge::Measures;
use super::index::Index;
use super::key_set::KeySet;
use super::log::Log;
use super::logs::{Done, LogRead, LogReadError, Reader, Work};
use crate::wiring::events::RevisionEvents;
use std::collections::VecDeque;
use std::sync::Arc;

/// Scans of the store at the same time: one of ranges, the others of single keys.
const SWEEPS: usize = 4;
/// Previous key-values asked for by one job.
const PREVS_PER_JOB: usize = 4096;

/// The hub's own reads are so many times larger: every watcher at the head waits for them.
const FILL: usize = 4;

/// A scan of the store for several watchers.
#[derive(Debug)]
struct Sweep {
    id: u64,
    single: bool,
    members: Vec<u32>,
    index: Index,
    keys: Arc<KeySet>,
    prev_keys: Arc<KeySet>,
    /// Everything before was handed to the members.
    next: i64,
    reading: bool,
}

/// Jobs, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    pub(super) work: Vec<Work>,
    /// The hub reads the store for itself.
    pub(super) filling: bool,
    /// Events that came meanwhile: the revision they follow, the one they reach.
    kept: VecDeque<(i64, i64, Arc<[RevisionEvents]>)>,
    kept_bytes: usize,
    sweeps: Vec<Sweep>,
    next_sweep: u64,
    /// Watchers that need the store and are in no sweep.
    waiting: Vec<u32>,
    reading_prev: bool,
    pub(super) measures: Measures,
}

impl CatchUp {
    /// Keeps events that cannot be fed yet, or none at all when they are too many: the store has them.
    pub(super) fn keep(&mut self, after: i64, upto: i64, events: Arc<[RevisionEvents]>, most: usize) {
        let bytes: usize = events.iter().flat_map(|r| &r.events).map(|e| e.kv.len() + 256).sum();
        self.kept_bytes += bytes;
        self.kept.push_back((after, upto, events));
        if self.kept_bytes > most {
            self.drop_kept();
        }
    }

    pub(super) fn drop_kept(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }
}

impl Hub {
    /// Moves everybody as far as memory reaches and asks for what has to be read.
    pub(super) fn pump(&mut self) {
        self.fill();
        self.serve_from_ring();
        self.ask_prevs();
        self.start_sweeps();
        self.ask_sweeps();
        self.ask_huge();
    }

    /// Brings the head to the newest revision.
    fn fill(&mut self) {
        if self.catch_up.filling {
            return;
        }
        while let Some((after, upto, events)) = self.catch_up.kept.pop_front() {
            if after > self.head {
                self.catch_up.kept.push_front((after, upto, events));
                break;
            }
            self.feed(&events, upto);
        }
        if self.catch_up.kept.is_empty() {
            self.catch_up.kept_bytes = 0;
        }
        if self.head >= self.target {
            return;
        }
        if self.floor.watchers.len() == 0 {
            self.jump(self.target);
            return;
        }
        self.catch_up.filling = true;
        // what was kept is in memory: read up to it
        let to = self.catch_up.kept.front().map_or(self.target, |(after, ..)| *after);
        self.catch_up.work.push(Work::Log {
            reader: Reader::Head,
            from: self.head + 1,
            to,
            keys: Arc::new(KeySet::all()),
            prev_keys: Arc::default(),
            max_bytes: self.config.read_bytes.saturating_mul(FILL),
            huge: self.config.huge_bytes,
        });
    }

    /// Goes on behind `head` without the events before it.
    pub(super) fn jump(&mut self, head: i64) {
        self.head = head;
        self.ring.restart(head + 1);
    }

    pub(super) fn take_done(&mut self, done: Done) -> Result<(), String> {
        match done {
            Done::Log { reader: Reader::Head, chunk } => self.filled(chunk),
            Done::Log { reader: Reader::Sweep(id), chunk } => self.swept(id, chunk),
            Done::Prev(found) => {
                self.catch_up.reading_prev = false;
                let (found, again) = found.map_err(|why| why.to_string())?;
                for (revision, place, prev) in found {
                    self.ring.set_prev(revision, place, prev, self.config.huge_bytes);
                }
                again.into_iter().for_each(|(revision, place, _)| self.ring.want_again(revision, place));
                if !self.ring.has_wanted() {
                    self.floor.wake_waiting();
                }
                Ok(())
            }
            Done::Huge(done) => self.measured(done),
        }
    }

    fn filled(&mut self, chunk: Result<LogRead, LogReadError>) -> Result<(), String> {
        self.catch_up.filling = false;
        match chunk {
            Ok((revisions, next, huge)) => {
                self.feed_stored(revisions, next - 1);
                if huge {
                    // the ring cannot hold it
                    let all = self.floor.watchers.numbers();
                    self.meet_huge(next, &all, Place::Head);
                    self.jump(next);
                }
            }
            Err(LogReadError::Compacted(compact)) if compact > self.head + 1 => self.lose(compact),
            Err(why @ LogReadError::Compacted(_)) => return Err(why.to_string()),
            Err(LogReadError::Failed(why)) => return Err(why),
        }
        Ok(())
    }

    /// History up to `compact` is gone before the head's watchers got it.
    fn lose(&mut self, compact: i64) {
        self.floor.compact = self.floor.compact.max(compact);
        for at in self.floor.watchers.numbers() {
            let watcher = self.floor.watchers.get(at).expect("just listed");
            if watcher.place() == Place::Head && watcher.next.max(self.head + 1) < compact {
                self.compacted(at, compact);
            }
        }
        self.jump(self.head.max(compact - 1));
    }

    /// Serves everybody whom the ring reaches; the others need the store.
    fn serve_from_ring(&mut self) {
        let mut members = Vec::new();
        let mut index = Index::default();
        let mut from = i64::MAX;
        for at in std::mem::take(&mut self.floor.ready) {
            if !self.floor.is_at(at, Place::Ready) {
                continue;
            }
            let watcher = self.floor.watchers.get(at).expect("is there");
            if watcher.next > self.head {
                self.floor.put(at, Place::Head);
            } else if watcher.next >= self.ring.start() {
                from = from.min(watcher.next);
                index.insert(&watcher.spec.range, at);
                members.push(at);
                self.floor.put(at, Place::Ring);
            } else {
                self.floor.put(at, Place::NeedsStore);
                self.catch_up.waiting.push(at);
            }
        }
        if members.is_empty() {
            return;
        }
        let span = self.ring.seek(from)..self.ring.len();
        self.floor.pass(&mut self.ring, span, Some(&index), Place::Ring, self.head);
        for at in members {
            if self.floor.is_at(at, Place::Ring) {
                self.floor.watchers.get_mut(at).expect("is there").next = self.head + 1;
                self.floor.put(at, Place::Head);
            }
        }
        self.ring.trim(self.config.ring_bytes);
    }

    fn ask_prevs(&mut self) {
        if self.catch_up.reading_prev {
            return;
        }
        loop {
            while self.ring.has_wanted() {
                let asks = self.ring.take_wanted(PREVS_PER_JOB);
                if !asks.is_empty() {
                    self.catch_up.reading_prev = true;
                    self.catch_up.work.push(Work::Prev(asks));
                    return;
                }
            }
            if self.floor.wait_prev.is_empty() {
                return;
            }
            // what they waited for left the ring
            self.floor.wake_waiting();
            self.serve_from_ring();
        }
    }

    fn start_sweeps(&mut self) {
        if self.catch_up.waiting.is_empty() {
            return;
        }
        let mut left = std::mem::take(&mut self.catch_up.waiting);
        left.retain(|at| self.floor.is_at(*at, Place::NeedsStore));
        let ranges_busy = self.catch_up.sweeps.iter().any(|s| !s.single);
        while let Some(first) = left.iter().copied().find(|at| !ranges_busy || self.is_single(*at)) {
            if self.catch_up.sweeps.len() >= SWEEPS {
                break;
            }
            let key = self.is_single(first).then(|| self.range_key(first));
            let (members, rest) = left.into_iter().partition(|at| match &key {
                Some(key) => self.is_single(*at) && self.range_key(*at) == *key,
                None => !self.is_single(*at),
            });
            left = rest;
            self.start_sweep(members, key.is_some());
            if key.is_none() {
                // ranges that come later wait for the next scan
                break;
            }
        }
        self.catch_up.waiting = left;
    }

    fn is_single(&self, at: u32) -> bool {
        self.floor.watchers.get(at).is_some_and(|w| w.spec.range.is_single())
    }

    fn range_key(&self, at: u32) -> bytes::Bytes {
        self.floor.watchers.get(at).map(|w| w.spec.range.key.clone()).unwrap_or_default()
    }

    fn start_sweep(&mut self, members: Vec<u32>, single: bool) {
        self.catch_up.next_sweep += 1;
        let id = self.catch_up.next_sweep;
        let mut index = Index::default();
        let mut next = i64::MAX;
        for at in &members {
            let watcher = self.floor.watchers.get(*at).expect("waits for the store");
            index.insert(&watcher.spec.range, *at);
            next = next.min(watcher.next);
            self.floor.put(*at, Place::Sweep(id));
        }
        let specs = || members.iter().filter_map(|at| self.floor.watchers.get(*at)).map(|w| &w.spec);
        let keys = Arc::new(KeySet::of(specs().map(|s| &s.range)));
        let prev_keys = Arc::new(KeySet::of(specs().filter(|s| s.prev_kv).map(|s| &s.range)));
        self.catch_up.sweeps.push(Sweep { id, single, members, index, keys, prev_keys, next, reading: false });
    }

    /// Asks for the next chunk of every sweep; ends those that reached the ring or have nobody left.
    fn ask_sweeps(&mut self) {
        let mut sweeps = std::mem::take(&mut self.catch_up.sweeps);
        let mut ended = false;
        sweeps.retain_mut(|sweep| {
            if sweep.reading {
                return true;
            }
            sweep.members.retain(|at| self.floor.is_at(*at, Place::Sweep(sweep.id)));
            if sweep.members.is_empty() || sweep.next >= self.ring.start() {
                self.end_sweep(sweep);
                ended = true;
                return false;
            }
            sweep.reading = true;
            self.catch_up.work.push(Work::Log {
                reader: Reader::Sweep(sweep.id),
                from: sweep.next,
                to: self.ring.start() - 1,
                keys: sweep.keys.clone(),
                prev_keys: sweep.prev_keys.clone(),
                max_bytes: self.config.read_bytes,
                huge: self.config.huge_bytes,
            });
            true
        });
        self.catch_up.sweeps = sweeps;
        if ended {
            // the ring, the next scan, or the head takes over
            self.pump();
        }
    }

    fn end_sweep(&mut self, sweep: &Sweep) {
        for at in &sweep.members {
            let watcher = self.floor.watchers.get_mut(*at).expect("a member");
            watcher.next = watcher.next.max(sweep.next);
            self.floor.put(*at, Place::Ready);
        }
    }

    fn swept(&mut self, id: u64, chunk: Result<LogRead, LogReadError>) -> Result<(), String> {
        let Some(at) = self.catch_up.sweeps.iter().position(|s| s.id == id) else { return Ok(()) };
        let mut sweep = self.catch_up.sweeps.swap_remove(at);
        sweep.reading = false;
        match chunk {
            Ok((revisions, next, huge)) => {
                assert!(next > sweep.next || huge, "AI-LOG-MOVES: a read of the log from {} did not move", sweep.next);
                let mut log = Log::of(revisions, sweep.next);
                let span = 0..log.len();
                self.floor.pass(&mut log, span, Some(&sweep.index), Place::Sweep(id), self.head);
                sweep.next = next;
                if huge {
                    self.meet_huge(next, &sweep.members, Place::Sweep(id));
                    sweep.next = next + 1;
                }
            }
            Err(LogReadError::Compacted(compact)) if compact > sweep.next => self.cut_sweep(&mut sweep, compact),
            Err(why @ LogReadError::Compacted(_)) => return Err(why.to_string()),
            Err(LogReadError::Failed(why)) => return Err(why),
        }
        self.catch_up.sweeps.push(sweep);
        Ok(())
    }

    /// History before `compact` is gone: who needs it ends, the others go on.
    fn cut_sweep(&mut self, sweep: &mut Sweep, compact: i64) {
        self.floor.compact = self.floor.compact.max(compact);
        for at in &sweep.members {
            if !self.floor.is_at(*at, Place::Sweep(sweep.id)) {
                continue;
            }
            let next = self.floor.watchers.get(*at).expect("is there").next.max(sweep.next);
            if next < compact {
                self.compacted(*at, compact);
            }
        }
        sweep.next = sweep.next.max(compact);
    }
}
