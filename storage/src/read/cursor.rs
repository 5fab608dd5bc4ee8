//! A Range request answered chunk by chunk, pinned at one revision while the store moves on.
//!
//! Each chunk takes the newest view: no snapshot is held between chunks, and a compaction that overtakes the revision ends
//! the answer. Must never build more than the budget at once, except that a chunk holds at least one key-value, and that an
//! answer sorted by something other than the key first collects what it sorts by.

use super::at::At;
use super::count::{CountMemo, count_in};
use super::kv_bytes::field_len;
use super::memory_budget::{MemoryBudget, Reservation};
use super::overlay::{NoOverlay, Overlay};
use super::plan::{Order, Plan};
use super::sorted::{Sorted, collect};
use super::source::{Budget, Source};
use super::values::{Pieces, UNKNOWN, fields_len, len_of};
use super::walk::Bounds;
use crate::engine::{Direction, Snapshot};
use crate::view::View;
use bytes::Bytes;
use model::request::RangeRequest;
use model::{KeyRange, RangeOutcome, ReadError};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Encoded key-values, in answer order.
    pub kvs: Vec<Bytes>,
    /// Nothing follows.
    pub done: bool,
}

/// What an answer will be, without its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Number of key-values.
    pub kvs: usize,
    /// Length of all `kvs` fields as they stand in a RangeResponse, tags and lengths included.
    pub encoded_bytes: u64,
    /// Keys in the range, limit and filters ignored.
    pub count: i64,
    /// More keys than the limit allowed.
    pub more: bool,
}

#[derive(Debug)]
enum State {
    /// Keys from `lower` on and below `upper` are still to be walked.
    Walk {
        lower: Bytes,
        upper: Option<Bytes>,
    },
    /// Everything is still to be collected.
    Uncollected,
    /// The answer's order is settled.
    Sorted(Sorted),
    Done,
}

/// One Range request, being answered.
#[derive(Debug)]
pub struct RangeCursor {
    plan: Plan,
    revision: i64,
    state: State,
    returned: usize,
    more: bool,
    /// Keys in the range, once every one of them has been walked over.
    counted: Option<i64>,
    walked: i64,
    /// What an answer that is collected may hold.
    memory: Option<Arc<MemoryBudget>>,
}

/// What ended a pass.
enum End {
    /// The range.
    Range,
    /// The request's limit: one more key passes.
    Limit,
    /// The budget: to be continued at this key.
    Budget(Bytes),
}

impl RangeCursor {
    /// Pins the request to a revision of the view. Copies the request's keys by reference.
    ///
    /// # Errors
    /// [`ReadError::Compacted`], [`ReadError::FutureRevision`].
    pub fn new<S>(view: &View<S>, request: &RangeRequest) -> Result<Self, ReadError> {
        Self::at(At::of(view), request)
    }

    /// The same, and what has to be collected before it can be sent takes its memory from this budget.
    #[must_use]
    pub fn within(self, memory: Arc<MemoryBudget>) -> Self {
        Self { memory: Some(memory), ..self }
    }

    fn at(at: At, request: &RangeRequest) -> Result<Self, ReadError> {
        let plan = Plan::of(request);
        let state = match plan.order {
            _ if plan.count_only => State::Done,
            Order::Key(_) => State::Walk { lower: plan.range.key.clone(), upper: plan.range.upper() },
            Order::By { .. } => State::Uncollected,
        };
        let revision = at.resolve(request.revision)?;
        Ok(Self { plan, revision, state, returned: 0, more: false, counted: None, walked: 0, memory: None })
    }

    /// The revision the answer is about.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// More keys than the limit allowed; known when the last chunk is done.
    pub fn more(&self) -> bool {
        self.more
    }

    /// Key-values handed out so far.
    pub fn returned(&self) -> usize {
        self.returned
    }

    /// The next part. `view` may be newer than the one before it.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] when compaction has overtaken the revision, [`ReadError::FutureRevision`] when the view is
    /// older than it, [`ReadError::Store`].
    pub fn next_chunk<S: Snapshot>(&mut self, view: &View<S>, budget: Budget) -> Result<Chunk, ReadError> {
        self.chunk(&self.source(view)?, budget)
    }

    /// Length and number of the whole answer, whatever has been handed out already.
    ///
    /// # Errors
    /// As [`Self::next_chunk`].
    pub fn measure<S: Snapshot>(&mut self, view: &View<S>) -> Result<Measured, ReadError> {
        let source = self.source(view)?;
        let measured = self.measure_source(&source)?;
        Ok(Measured { count: self.count_source(&source, None)?, ..measured })
    }

    /// All but the count.
    fn measure_source<S: Snapshot, O: Overlay>(&mut self, source: &Source<'_, S, O>) -> Result<Measured, ReadError> {
        match self.state {
            _ if self.plan.count_only => Ok(Measured::default()),
            State::Walk { .. } | State::Done => self.measure_walk(source),
            State::Uncollected | State::Sorted(_) => {
                let sorted = self.sorted(source)?;
                let (kvs, encoded_bytes) = sorted.measure(source.snapshot)?;
                Ok(Measured { kvs, encoded_bytes, count: 0, more: sorted.more })
            }
        }
    }

    /// Keys in the range at the answer's revision, limit and filters ignored.
    ///
    /// # Errors
    /// As [`Self::next_chunk`].
    pub fn count<S: Snapshot>(&self, view: &View<S>, memo: Option<&mut CountMemo>) -> Result<i64, ReadError> {
        self.count_source(&self.source(view)?, memo)
    }

    fn source<'s, S: Snapshot>(&self, view: &'s View<S>) -> Result<Source<'s, S, NoOverlay>, ReadError> {
        let at = At::of(view);
        let revision = at.resolve(self.revision)?;
        Ok(Source { snapshot: &view.snapshot, overlay: &NoOverlay, at, revision })
    }

    fn count_source<S: Snapshot, O: Overlay>(
        &self,
        source: &Source<'_, S, O>,
        memo: Option<&mut CountMemo>,
    ) -> Result<i64, ReadError> {
        let known = self.counted.or_else(|| memo.as_ref().and_then(|m| m.get(&self.plan.range, self.revision)));
        let count = known.map_or_else(|| count_in(source, &self.plan.range), Ok)?;
        if let Some(memo) = memo {
            memo.put(self.plan.range.clone(), self.revision, count);
        }
        Ok(count)
    }

    fn chunk<S: Snapshot, O: Overlay>(
        &mut self,
        source: &Source<'_, S, O>,
        budget: Budget,
    ) -> Result<Chunk, ReadError> {
        if matches!(self.state, State::Uncollected | State::Sorted(_)) {
            let sorted = self.sorted(source)?;
            let kvs = sorted.next(source.snapshot, budget)?;
            let done = sorted.is_done();
            self.returned += kvs.len();
            return Ok(Chunk { kvs, done });
        }
        let kvs = self.pass(source, Budget { keys: budget.keys.max(1), ..budget })?;
        Ok(Chunk { kvs, done: matches!(self.state, State::Done) })
    }

    /// Walks on until range, limit or budget end, and fetches what was found.
    fn pass<S: Snapshot, O: Overlay>(
        &mut self,
        source: &Source<'_, S, O>,
        budget: Budget,
    ) -> Result<Vec<Bytes>, ReadError> {
        let State::Walk { lower, upper } = &self.state else { return Ok(Vec::new()) };
        let (plan, returned) = (&self.plan, self.returned);
        let (mut pieces, mut bytes, mut unknown, mut end) = (Pieces::default(), 0, 0, End::Range);
        let mut walked = 0;
        let bounds = Bounds { lower, upper: upper.as_deref(), direction: plan.direction() };
        source.walk(bounds, |found| {
            if plan.passes(&found) {
                if returned + pieces.len() == plan.limit {
                    end = End::Limit;
                    return Ok(ControlFlow::Break(()));
                }
                if unknown == UNKNOWN && budget.bytes < usize::MAX {
                    bytes += pieces.settle(source.snapshot)?;
                    unknown = 0;
                }
                if pieces.len() > 0 && (pieces.len() >= budget.keys || bytes >= budget.bytes) {
                    end = End::Budget(Bytes::copy_from_slice(found.key));
                    return Ok(ControlFlow::Break(()));
                }
                let len = pieces.push(&found, plan.shape);
                bytes += len;
                unknown += usize::from(len == 0);
            }
            walked += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        self.walked += walked;
        self.returned += pieces.len();
        self.end(end);
        pieces.fetch(source.snapshot)
    }

    fn end(&mut self, end: End) {
        match (end, &mut self.state) {
            (End::Range, state) => {
                self.counted = Some(self.walked);
                *state = State::Done;
            }
            (End::Limit, state) => {
                self.more = true;
                *state = State::Done;
            }
            (End::Budget(key), State::Walk { lower, upper }) => match self.plan.direction() {
                Direction::Forward => *lower = key,
                Direction::Backward => *upper = KeyRange::new(key, Bytes::new()).upper(),
            },
            (End::Budget(_), _) => {}
        }
    }

    /// The settled order, collected on first use.
    fn sorted<S: Snapshot, O: Overlay>(&mut self, source: &Source<'_, S, O>) -> Result<&mut Sorted, ReadError> {
        if let State::Uncollected = self.state {
            let (sorted, counted) =
                collect(source, &self.plan, self.memory.clone().map_or_else(Reservation::default, Reservation::of))?;
            (self.more, self.counted) = (sorted.more, counted);
            self.state = State::Sorted(sorted);
        }
        match &mut self.state {
            State::Sorted(sorted) => Ok(sorted),
            _ => Err(ReadError::Store("a sorted answer was asked of an unsorted request".into())),
        }
    }

    fn measure_walk<S: Snapshot, O: Overlay>(&mut self, source: &Source<'_, S, O>) -> Result<Measured, ReadError> {
        let plan = &self.plan;
        let mut measured = Measured::default();
        let mut unknown = Vec::new();
        let mut walked = 0;
        let upper = plan.range.upper();
        let bounds = Bounds { lower: plan.range.lower(), upper: upper.as_deref(), direction: plan.direction() };
        source.walk(bounds, |found| {
            if plan.passes(&found) {
                if measured.kvs == plan.limit {
                    measured.more = true;
                    return Ok(ControlFlow::Break(()));
                }
                measured.kvs += 1;
                match len_of(&found, plan.shape) {
                    0 => unknown.push(found.head.modified),
                    len => measured.encoded_bytes += field_len(len),
                }
                if unknown.len() >= UNKNOWN {
                    measured.encoded_bytes += fields_len(source.snapshot, &mut unknown)?;
                }
            }
            walked += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        measured.encoded_bytes += fields_len(source.snapshot, &mut unknown)?;
        if !measured.more {
            self.counted = Some(walked);
        }
        Ok(measured)
    }
}

/// Length and number of an answer, without reading values of the present.
///
/// # Errors
/// [`ReadError`].
pub fn measure<S: Snapshot>(view: &View<S>, request: &RangeRequest) -> Result<Measured, ReadError> {
    RangeCursor::new(view, request)?.measure(view)
}

/// Length and number of what [`range_in_txn`](super::range_in_txn) would answer to a range of more than one key. Keys are not
/// counted; what must be collected to know the rest comes out of this budget.
///
/// # Errors
/// [`ReadError`].
pub(crate) fn measure_in_txn<S: Snapshot, O: Overlay>(
    snapshot: &S,
    at: At,
    overlay: &O,
    request: &RangeRequest,
    memory: Arc<MemoryBudget>,
) -> Result<Measured, ReadError> {
    let mut cursor = RangeCursor::at(at, request)?.within(memory);
    let source = Source { snapshot, overlay, at, revision: cursor.revision };
    cursor.measure_source(&source)
}

/// Answers a request whole.
pub(super) fn evaluate<S: Snapshot, O: Overlay>(
    snapshot: &S,
    at: At,
    overlay: &O,
    request: &RangeRequest,
    mut memo: Option<&mut CountMemo>,
) -> Result<RangeOutcome, ReadError> {
    let mut cursor = RangeCursor::at(at, request)?;
    let source = Source { snapshot, overlay, at, revision: cursor.revision };
    let kvs = cursor.chunk(&source, Budget::bytes(usize::MAX))?.kvs;
    let count = cursor.count_source(&source, memo.as_deref_mut())?;
    if let Some(memo) = memo {
        cursor.note_page(memo, &kvs, count);
    }
    Ok(RangeOutcome { kvs, more: cursor.more, count })
}

impl RangeCursor {
    /// Notes how many keys the next page of a paginated list has, which starts behind the last key of this one.
    fn note_page(&self, memo: &mut CountMemo, kvs: &[Bytes], count: i64) {
        let plain = self.plan.order == Order::Key(Direction::Forward) && self.plan.read_at_most.is_some();
        let Some(last) = kvs.last().filter(|_| plain && self.more) else { return };
        let Some(next) = super::kv_bytes::key_of(last)
            .ok()
            .and_then(|key| KeyRange::new(Bytes::copy_from_slice(key), Bytes::new()).upper())
        else {
            return;
        };
        memo.put(KeyRange::new(next, self.plan.range.end.clone()), self.revision, count - kvs.len() as i64);
    }
}
