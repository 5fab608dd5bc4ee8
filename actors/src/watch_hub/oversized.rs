//! Oversized batches, which have too many events for memory: measured once for all who want them, then pulled by each client.
//!
//! A batch is one oversized revision, or as many revisions as one response carries to a client that takes it in fragments
//! (`span`). It comes to a client whole, whatever its size; so its length must be known before its first byte. Must never hold
//! more of it than one part, and never change a watcher: what follows from a measure is the hub's to do.

use super::batch::{BatchSize, OversizedSpec, PART, read_error};
use super::encode;
use super::index::Index;
use super::key_set::KeySet;
use super::slots::WatcherSlot;
use super::source::{LogReadError, LogReads};
use super::span::{self, SpanLimits, SpanSource};
use bytes::{Bytes, BytesMut};
use messages::read::ChunkSource;
use messages::watch::{CreateWatch, OversizedEvents};
use model::ReadError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Measures that are remembered, so that a slow client does not have its revision measured again.
const REMEMBERED: usize = 4096;

/// A watcher that waits for the length of its next batch.
#[derive(Clone, Debug)]
struct Ask {
    watcher: WatcherSlot,
    spec: OversizedSpec,
    /// The length, if it is remembered.
    known: Option<BatchSize>,
}

/// Batches that begin at one revision, to be measured for several watchers.
#[derive(Clone, Debug)]
pub struct MeasureJob {
    revision: i64,
    limits: SpanLimits,
    asks: Vec<Ask>,
}

/// Measured batches that begin at one revision.
#[derive(Debug)]
pub struct MeasuredBatches {
    revision: i64,
    result: Result<Vec<OversizedDelivery>, LogReadError>,
}

/// What a watcher is to be sent of an oversized batch, if it still waits for it with these wishes.
#[derive(Debug)]
pub(super) struct OversizedDelivery {
    pub(super) watcher: WatcherSlot,
    pub(super) spec: OversizedSpec,
    /// Nothing is to be sent when it has no bytes.
    pub(super) events: OversizedEvents,
    /// The first revision behind the batch.
    pub(super) next: i64,
}

impl MeasureJob {
    /// Measures, and gives each watcher a source of its own; blocks on the store.
    pub(super) fn run(self, source: &Arc<dyn LogReads>) -> MeasuredBatches {
        let Self { revision, limits, asks } = self;
        let result = measure_in_one_state(source.as_ref(), revision, limits, &asks).map(|(sizes, compact)| {
            let deliver = |ask: Ask| {
                let Ask { watcher, spec, known } = ask;
                let BatchSize { bytes, next } =
                    sizes.get(&spec).copied().or(known).expect("what is not known was measured");
                let keys = KeySet::of(std::iter::once(&spec.range));
                let logs = source.clone();
                let chunks: Box<dyn ChunkSource> = if next > revision + 1 {
                    Box::new(SpanSource::new(logs, revision..next, keys, spec.clone(), compact))
                } else {
                    let bare = revision == compact;
                    Box::new(OversizedSource { logs, revision, next: Some(0), keys, spec: spec.clone(), bare })
                };
                OversizedDelivery { watcher, spec, events: OversizedEvents::new(bytes, chunks), next }
            };
            asks.into_iter().map(deliver).collect()
        });
        MeasuredBatches { revision, result }
    }
}

/// Measures what is not known, in one state of the store, whose compact revision is returned as well. A compaction at a revision
/// takes its previous key-values away: all lengths are of before it, or all of after it. A remembered length may be older than
/// a compaction that the hub has not heard of, so it does not count once there was one.
fn measure_in_one_state(
    logs: &dyn LogReads,
    revision: i64,
    limits: SpanLimits,
    asks: &[Ask],
) -> Result<(HashMap<OversizedSpec, BatchSize>, i64), LogReadError> {
    loop {
        let (_, compact) = logs.position();
        if revision < compact {
            return Err(LogReadError::Compacted(compact));
        }
        let bare = revision == compact;
        let unknown = asks.iter().filter(|ask| ask.known.is_none() || (bare && ask.spec.prev_kv));
        let (spans, singles): (Vec<_>, Vec<_>) = unknown.map(|ask| &ask.spec).partition(|spec| spec.fragment);
        let mut sizes = HashMap::new();
        let mut singles: HashSet<OversizedSpec> = singles.into_iter().cloned().collect();
        for spec in spans {
            if sizes.contains_key(spec) || singles.contains(spec) {
                continue;
            }
            if let Some(size) = span::measure(logs, revision, spec, limits)? {
                sizes.insert(spec.clone(), size);
            } else {
                singles.insert(spec.clone());
            }
        }
        let lengths = measure(logs, revision, singles.into_iter(), bare)?;
        sizes.extend(lengths.into_iter().map(|(spec, bytes)| (spec, BatchSize { bytes, next: revision + 1 })));
        let now = logs.position().1;
        if now == compact || now < revision {
            return Ok((sizes, compact));
        }
    }
}

/// Bytes of the `events` fields of a revision, for each kind of wishes, in one walk; `bare`: without previous key-values.
fn measure(
    logs: &dyn LogReads,
    revision: i64,
    specs: impl Iterator<Item = OversizedSpec>,
    bare: bool,
) -> Result<HashMap<OversizedSpec, u64>, LogReadError> {
    let mut lengths: HashMap<OversizedSpec, u64> = specs.map(|spec| (spec, 0)).collect();
    if lengths.is_empty() {
        return Ok(lengths);
    }
    let list: Vec<OversizedSpec> = lengths.keys().cloned().collect();
    let mut sums = vec![0; list.len()];
    let mut index = Index::<usize>::default();
    list.iter().enumerate().for_each(|(n, spec)| index.insert(&spec.range, n));
    let keys = KeySet::of(list.iter().map(|spec| &spec.range));
    let mut next = Some(0);
    let mut found = Vec::new();
    while let Some(from) = next {
        let part = logs.part(revision, from, &keys, PART)?;
        for (_, event) in &part.events {
            found.clear();
            index.find(&event.key, &mut found);
            let mut prev = None;
            for n in found.iter().copied().filter(|n| list[*n].wants(event)) {
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
struct OversizedSource {
    logs: Arc<dyn LogReads>,
    revision: i64,
    /// Place in the revision to go on at.
    next: Option<i64>,
    keys: KeySet,
    spec: OversizedSpec,
    /// Measured without previous key-values, which a compaction had taken away.
    bare: bool,
}

impl OversizedSource {
    fn with_prev(&self) -> bool {
        self.spec.prev_kv && !self.bare
    }
}

impl ChunkSource for OversizedSource {
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

/// Measures under way and remembered.
#[derive(Debug, Default)]
pub(super) struct Measures {
    busy: bool,
    known: HashMap<(i64, OversizedSpec), BatchSize>,
    /// The compact revision they were taken at: a compaction takes previous key-values away.
    compact: i64,
}

impl Measures {
    /// Whether a job is out: batches of one revision are measured at a time.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The job that measures what begins at a revision for watchers. `compact` is the newest compact revision known.
    pub(super) fn begin<'a>(
        &mut self,
        revision: i64,
        limits: SpanLimits,
        watchers: impl Iterator<Item = (WatcherSlot, &'a CreateWatch)>,
        compact: i64,
    ) -> MeasureJob {
        if self.compact != compact {
            self.known.clear();
            self.compact = compact;
        }
        self.busy = true;
        let ask = |(watcher, create): (WatcherSlot, &CreateWatch)| {
            let spec = OversizedSpec::of(create);
            let known = self.known.get(&(revision, spec.clone())).copied();
            Ask { watcher, spec, known }
        };
        MeasureJob { revision, limits, asks: watchers.map(ask).collect() }
    }

    /// A job came back: the revision, and what is to be sent from it on.
    ///
    /// # Errors
    /// [`LogReadError`], as the job met it.
    pub(super) fn end(&mut self, measured: MeasuredBatches) -> Result<(i64, Vec<OversizedDelivery>), LogReadError> {
        self.busy = false;
        let deliveries = measured.result?;
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        for delivery in &deliveries {
            let size = BatchSize { bytes: delivery.events.bytes, next: delivery.next };
            self.known.insert((measured.revision, delivery.spec.clone()), size);
        }
        Ok((measured.revision, deliveries))
    }
}
