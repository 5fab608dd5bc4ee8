//! Revisions with too many events for memory: measured once for all who want them, then pulled by each client.
//!
//! A revision comes to a client whole, in one response, whatever its size; so its length must be known before its first byte.
//! Must never hold more of it than one part.

use super::core::Hub;
use super::encode;
use super::floor::Place;
use super::index::Index;
use super::key_set::KeySet;
use super::logs::{LogReadError, LogReads, Work};
use crate::wiring::events::LogEvent;
use bytes::{Bytes, BytesMut};
use messages::read::ChunkSource;
use messages::watch::{CreateWatch, OversizedEvents};
use model::{KeyRange, ReadError};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a part that is read at once.
const PART: usize = 256 << 10;
/// Measures that are remembered, so that a slow client does not have its revision measured again.
const REMEMBERED: usize = 4096;

/// What decides which events of a revision a watcher gets, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HugeSpec {
    range: KeyRange,
    no_put: bool,
    no_delete: bool,
    prev_kv: bool,
}

impl HugeSpec {
    fn of(create: &CreateWatch) -> Self {
        let CreateWatch { range, no_put, no_delete, prev_kv, .. } = create;
        Self { range: range.clone(), no_put: *no_put, no_delete: *no_delete, prev_kv: *prev_kv }
    }

    fn wants(&self, event: &LogEvent) -> bool {
        !(if event.delete { self.no_delete } else { self.no_put })
    }
}

/// A revision to be measured: for watchers, each with its wishes and the length if that is known.
#[derive(Clone, Debug)]
pub struct HugeWork {
    revision: i64,
    asks: Vec<(u32, HugeSpec, Option<u64>)>,
}

/// A measured revision: for each watcher its wishes, and its events unless there are none.
#[derive(Debug)]
pub struct HugeDone {
    revision: i64,
    result: Result<Vec<(u32, HugeSpec, OversizedEvents)>, LogReadError>,
}

impl HugeWork {
    /// Measures, and gives each watcher a source of its own; blocks on the store.
    pub(super) fn run(self, logs: &Arc<dyn LogReads>) -> HugeDone {
        let Self { revision, asks } = self;
        let result = measured_in_one_state(logs.as_ref(), revision, &asks).map(|(lengths, bare)| {
            let events = |(at, spec, known): (u32, HugeSpec, Option<u64>)| {
                let bytes = lengths.get(&spec).copied().or(known).expect("what is not known was measured");
                let keys = KeySet::of(std::iter::once(&spec.range));
                let source = Source { logs: logs.clone(), revision, next: Some(0), keys, spec: spec.clone(), bare };
                (at, spec, OversizedEvents::new(bytes, Box::new(source)))
            };
            asks.into_iter().map(events).collect()
        });
        HugeDone { revision, result }
    }
}

/// The lengths that are not known, all of before or all of after a compaction at the revision itself, which takes the previous
/// key-values away (then true). What is remembered may be of before one that the hub has not heard of.
fn measured_in_one_state(
    logs: &dyn LogReads,
    revision: i64,
    asks: &[(u32, HugeSpec, Option<u64>)],
) -> Result<(HashMap<HugeSpec, u64>, bool), LogReadError> {
    loop {
        let (_, compact) = logs.position();
        if revision < compact {
            return Err(LogReadError::Compacted(compact));
        }
        let bare = revision == compact;
        let unknown = asks.iter().filter(|(_, spec, known)| known.is_none() || (bare && spec.prev_kv));
        let lengths = measure(logs, revision, unknown.map(|(_, spec, _)| spec.clone()), bare)?;
        if bare || revision > logs.position().1 {
            return Ok((lengths, bare));
        }
    }
}

/// Bytes of the `events` fields of a revision, for each kind of wishes, in one walk; `bare`: without previous key-values.
fn measure(
    logs: &dyn LogReads,
    revision: i64,
    specs: impl Iterator<Item = HugeSpec>,
    bare: bool,
) -> Result<HashMap<HugeSpec, u64>, LogReadError> {
    let mut lengths: HashMap<HugeSpec, u64> = specs.map(|spec| (spec, 0)).collect();
    if lengths.is_empty() {
        return Ok(lengths);
    }
    let list: Vec<HugeSpec> = lengths.keys().cloned().collect();
    let mut sums = vec![0; list.len()];
    let mut index = Index::default();
    list.iter().enumerate().for_each(|(n, spec)| index.insert(&spec.range, n as u32));
    let keys = KeySet::of(list.iter().map(|spec| &spec.range));
    let mut next = Some(0);
    let mut found = Vec::new();
    while let Some(from) = next {
        let part = logs.part(revision, from, &keys, PART)?;
        for (_, event) in &part.events {
            found.clear();
            index.find(&event.key, &mut found);
            let mut prev = None;
            for n in found.iter().map(|n| *n as usize).filter(|n| list[*n].wants(event)) {
                let prev = match list[n].prev_kv && !bare {
                    false => None,
                    true => match &prev {
                        Some(known) => *known,
                        None => *prev.insert(logs.prev_kv(revision, event)?.map(|prev| prev.len())),
                    },
                };
                sums[n] += encode::event_len(event.delete, event.kv.len(), prev) as u64;
            }
        }
        next = part.next;
    }
    list.into_iter().zip(sums).for_each(|(spec, sum)| *lengths.get_mut(&spec).expect("listed") = sum);
    Ok(lengths)
}

/// A revision's events for one watcher, part by part.
struct Source {
    logs: Arc<dyn LogReads>,
    revision: i64,
    /// Place in the revision to go on at.
    next: Option<i64>,
    keys: KeySet,
    spec: HugeSpec,
    /// Measured without previous key-values, which a compaction had taken away.
    bare: bool,
}

impl Source {
    fn with_prev(&self) -> bool {
        self.spec.prev_kv && !self.bare
    }
}

impl ChunkSource for Source {
    fn next(&mut self, max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        let mut out = BytesMut::new();
        while let Some(from) = self.next
            && out.is_empty()
        {
            let part = self.logs.part(self.revision, from, &self.keys, max_bytes).map_err(read_error)?;
            self.next = part.next;
            for (place, event) in &part.events {
                if out.len() >= max_bytes {
                    // previous key-values made more of it: the rest is read again
                    self.next = Some(*place);
                    break;
                }
                if !self.spec.wants(event) {
                    continue;
                }
                let prev = match self.with_prev() {
                    true => self.logs.prev_kv(self.revision, event).map_err(read_error)?,
                    false => None,
                };
                out.extend_from_slice(&encode::event(event.delete, &event.kv, prev.as_deref()).bytes);
            }
        }
        // a compaction at this very revision leaves its events and takes what was before them: no longer what was measured
        if self.with_prev() && self.revision <= self.logs.position().1 {
            return Err(ReadError::Compacted);
        }
        Ok((!out.is_empty()).then(|| out.freeze()))
    }
}

fn read_error(why: LogReadError) -> ReadError {
    match why {
        LogReadError::Compacted(_) => ReadError::Compacted,
        LogReadError::Failed(why) => ReadError::Store(why),
    }
}

/// Measures under way and remembered.
#[derive(Debug, Default)]
pub(super) struct Measures {
    busy: bool,
    known: HashMap<(i64, HugeSpec), u64>,
    /// The compact revision they were taken at: a compaction takes previous key-values away.
    compact: i64,
}

impl Hub {
    /// Has the next revision of watchers measured that is too large for memory: one revision at a time.
    pub(super) fn ask_huge(&mut self) {
        if self.catch_up.measures.busy {
            return;
        }
        if self.catch_up.measures.compact != self.floor.compact {
            self.catch_up.measures.known.clear();
            self.catch_up.measures.compact = self.floor.compact;
        }
        let floor = &mut self.floor;
        let waiting: Vec<u32> =
            std::mem::take(&mut floor.huge).into_iter().filter(|at| floor.is_at(*at, Place::Huge)).collect();
        let next = |at: &u32| floor.watchers.get(*at).expect("is there").next;
        let Some(revision) = waiting.iter().map(next).min() else { return };
        let (now, later) = waiting.into_iter().partition(|at| next(at) == revision);
        self.floor.huge = later;
        let now: Vec<u32> = now;
        let measures = &self.catch_up.measures;
        let ask = |at: u32| {
            let spec = HugeSpec::of(&self.floor.watchers.get(at).expect("is there").spec);
            let known = measures.known.get(&(revision, spec.clone())).copied();
            (at, spec, known)
        };
        let asks = now.into_iter().map(ask).collect();
        self.catch_up.measures.busy = true;
        self.catch_up.work.push(Work::Huge(HugeWork { revision, asks }));
    }

    /// A revision was measured: whoever has credit gets it, the others are parked before it.
    pub(super) fn measured(&mut self, done: HugeDone) -> Result<(), String> {
        self.catch_up.measures.busy = false;
        let HugeDone { revision, result } = done;
        let list = match result {
            Ok(list) => list,
            Err(LogReadError::Failed(why)) => return Err(why),
            Err(LogReadError::Compacted(compact)) => {
                self.floor.compact = self.floor.compact.max(compact);
                for at in self.floor.watchers.numbers() {
                    let watcher = self.floor.watchers.get(at).expect("just listed");
                    if watcher.place() == Place::Huge && watcher.next < compact {
                        self.compacted(at, compact);
                    }
                }
                return Ok(());
            }
        };
        if self.catch_up.measures.known.len() > REMEMBERED {
            self.catch_up.measures.known.clear();
        }
        for (at, spec, events) in list {
            let bytes = events.bytes;
            let waits = |w: &super::floor::Watcher| {
                w.place() == Place::Huge && w.next == revision && HugeSpec::of(&w.spec) == spec
            };
            if self.floor.watchers.get(at).is_some_and(waits)
                && (bytes == 0 || self.floor.send_huge(at, events, revision, self.head.max(revision)))
            {
                self.floor.watchers.get_mut(at).expect("just found").next = revision + 1;
                self.floor.put(at, Place::Ready);
            }
            self.catch_up.measures.known.insert((revision, spec), bytes);
        }
        Ok(())
    }

    /// Sends `watchers` that have not been offered a huge revision to have it measured.
    pub(super) fn meet_huge(&mut self, revision: i64, watchers: &[u32], from: Place) {
        for at in watchers {
            if self.floor.is_at(*at, from)
                && let Some(watcher) = self.floor.watchers.get_mut(*at)
                && watcher.next <= revision
            {
                watcher.next = revision;
                self.floor.put(*at, Place::Huge);
            }
        }
    }
}
