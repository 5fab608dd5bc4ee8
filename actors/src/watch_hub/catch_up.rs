//! Scans of the store for watchers that are behind what memory holds.
//!
//! All ranges that need the store share one scan that goes up to the events in memory (later arrivals wait for the next one);
//! watchers of a single key read that key's own versions. At most one job per scan is out. A watcher whose next revision is gone
//! from memory and store is ended. Must never lose to a compaction what memory still has.

use super::config::HubConfig;
use super::delivery::{Delivery, Offer};
use super::event_log::EventLog;
use super::index::Index;
use super::jobs::{LogJob, LogRead, ReadJob, Reader};
use super::key_set::KeySet;
use super::registry::{WatcherRegistry, WatcherState};
use super::slots::WatcherSlot;
use super::source::LogReadError;
use bytes::Bytes;
use std::sync::Arc;

/// Scans of the store at the same time: one of ranges, the others of single keys.
pub(super) const SCANS: usize = 4;

/// A scan of the store for several watchers.
#[derive(Debug)]
struct CatchUpScan {
    id: u64,
    /// Of one key.
    single: bool,
    members: Vec<WatcherSlot>,
    index: Index<WatcherSlot>,
    keys: Arc<KeySet>,
    prev_keys: Arc<KeySet>,
    /// Everything before was handed to the members.
    next: i64,
    reading: bool,
}

/// The scans under way, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct CatchUpScans {
    scans: Vec<CatchUpScan>,
    last_id: u64,
    /// Watchers that were in the state `NeedsStore` when they were listed; they may have moved on.
    waiting: Vec<WatcherSlot>,
}

impl CatchUpScans {
    /// These watchers need events that memory does not have any more.
    pub(super) fn wait(&mut self, watchers: Vec<WatcherSlot>) {
        self.waiting.extend(watchers);
    }

    /// Begins scans for those who wait, as far as scans are free.
    pub(super) fn begin(&mut self, registry: &mut WatcherRegistry) {
        if self.waiting.is_empty() {
            return;
        }
        let mut left = std::mem::take(&mut self.waiting);
        left.retain(|slot| registry.is_in(*slot, WatcherState::NeedsStore));
        let ranges_busy = self.scans.iter().any(|scan| !scan.single);
        while let Some(first) = left.iter().copied().find(|slot| !ranges_busy || single_key(registry, *slot).is_some())
        {
            if self.scans.len() >= SCANS {
                break;
            }
            let key = single_key(registry, first);
            // everybody who watches just this key; or everybody who watches a range
            let (members, rest) = left.into_iter().partition(|slot| single_key(registry, *slot) == key);
            left = rest;
            self.begin_scan(registry, members, key.is_some());
            if key.is_none() {
                // ranges that come later wait for the next scan
                break;
            }
        }
        self.waiting = left;
    }

    fn begin_scan(&mut self, registry: &mut WatcherRegistry, members: Vec<WatcherSlot>, single: bool) {
        self.last_id += 1;
        let id = self.last_id;
        let mut index = Index::default();
        let mut next = i64::MAX;
        for slot in &members {
            let watcher = registry.get(*slot).expect("waits for the store");
            index.insert(&watcher.spec().range, *slot);
            next = next.min(watcher.next());
            registry.move_to(*slot, WatcherState::InScan(id));
        }
        let specs = || members.iter().filter_map(|slot| registry.get(*slot)).map(|watcher| watcher.spec());
        let keys = Arc::new(KeySet::of(specs().map(|spec| &spec.range)));
        let prev_keys = Arc::new(KeySet::of(specs().filter(|spec| spec.prev_kv).map(|spec| &spec.range)));
        self.scans.push(CatchUpScan { id, single, members, index, keys, prev_keys, next, reading: false });
    }

    /// Adds a job for the next chunk of every scan; ends those that reached `memory`, the first revision that memory has, or
    /// have nobody left. True when one ended: its members are ready for what comes next.
    pub(super) fn next_jobs(
        &mut self,
        registry: &mut WatcherRegistry,
        memory: i64,
        config: &HubConfig,
        jobs: &mut Vec<ReadJob>,
    ) -> bool {
        let mut ended = false;
        self.scans.retain_mut(|scan| {
            if scan.reading {
                return true;
            }
            scan.members.retain(|slot| registry.is_in(*slot, WatcherState::InScan(scan.id)));
            if scan.members.is_empty() || scan.next >= memory {
                scan.release(registry);
                ended = true;
                return false;
            }
            scan.reading = true;
            jobs.push(ReadJob::Log(LogJob {
                reader: Reader::Scan(scan.id),
                from: scan.next,
                to: memory - 1,
                keys: scan.keys.clone(),
                prev_keys: scan.prev_keys.clone(),
                max_bytes: config.read_bytes,
                oversized: config.oversized_bytes,
            }));
            true
        });
        ended
    }

    /// Hands a chunk to the members of its scan. `header` and `compact` as in [`Offer`]. When the store has forgotten the next
    /// revision, its compact revision comes back.
    ///
    /// # Errors
    /// A text when the store failed: the node must stop.
    pub(super) fn take_chunk(
        &mut self,
        id: u64,
        read: Result<LogRead, LogReadError>,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        header: i64,
        compact: i64,
    ) -> Result<Option<i64>, String> {
        let Some(at) = self.scans.iter().position(|scan| scan.id == id) else { return Ok(None) };
        let mut scan = self.scans.swap_remove(at);
        scan.reading = false;
        let mut learned = None;
        match read {
            Ok(read) => scan.take(read, registry, delivery, header, compact),
            Err(LogReadError::Compacted(compact)) if compact > scan.next => {
                scan.skip_compacted(registry, delivery, compact);
                learned = Some(compact);
            }
            Err(why @ LogReadError::Compacted(_)) => return Err(why.to_string()),
            Err(LogReadError::Failed(why)) => return Err(why),
        }
        self.scans.push(scan);
        Ok(learned)
    }
}

impl CatchUpScan {
    fn take(
        &mut self,
        read: LogRead,
        registry: &mut WatcherRegistry,
        delivery: &mut Delivery,
        header: i64,
        compact: i64,
    ) {
        let LogRead { revisions, next, oversized } = read;
        assert!(next > self.next || oversized, "AI-LOG-MOVES: a read of the log from {} did not move", self.next);
        let mut log = EventLog::of(revisions, self.next);
        let span = 0..log.len();
        let state = WatcherState::InScan(self.id);
        delivery.offer(registry, &mut log, span, Offer { index: Some(&self.index), state, header, compact });
        self.next = next;
        if oversized {
            registry.stop_at_oversized(next, &self.members, state);
            self.next = next + 1;
        }
    }

    /// History before `compact` is gone: who needs it ends, the others go on.
    fn skip_compacted(&mut self, registry: &mut WatcherRegistry, delivery: &mut Delivery, compact: i64) {
        for slot in &self.members {
            if !registry.is_in(*slot, WatcherState::InScan(self.id)) {
                continue;
            }
            let next = registry.get(*slot).expect("is there").next().max(self.next);
            if next < compact {
                delivery.end_compacted(registry, *slot, compact);
            }
        }
        self.next = self.next.max(compact);
    }

    /// Lets go of the members, at the revision up to which they were handed everything.
    fn release(&mut self, registry: &mut WatcherRegistry) {
        for slot in &self.members {
            let next = registry.get(*slot).expect("a member").next().max(self.next);
            registry.move_to_at(*slot, WatcherState::Ready, next);
        }
    }
}

/// The key of a watcher that watches just one.
fn single_key(registry: &WatcherRegistry, slot: WatcherSlot) -> Option<Bytes> {
    let range = &registry.get(slot)?.spec().range;
    range.is_single().then(|| range.key.clone())
}
