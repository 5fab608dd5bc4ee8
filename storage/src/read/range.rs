//! One Range request answered whole: outside of a transaction and inside of one.
//!
//! Must never be used where an answer may be large: that is what [`RangeCursor`](super::RangeCursor) is for.

use super::at::At;
use super::count::CountMemo;
use super::overlay::{NoOverlay, Overlay, Pending};
use super::{cursor, point};
use crate::engine::Snapshot;
use crate::view::View;
use model::request::RangeRequest;
use model::{RangeOutcome, ReadError};

/// Answers one Range request whole. A large answer is a large allocation: use [`RangeCursor`](super::RangeCursor) where that may be.
///
/// # Errors
/// [`ReadError`].
pub fn range<S: Snapshot>(view: &View<S>, request: &RangeRequest) -> Result<RangeOutcome, ReadError> {
    range_in_txn(&view.snapshot, At::of(view), &NoOverlay, request)
}

/// Answers a request for a single key; `None` when its key-value has more than `most` bytes.
///
/// # Errors
/// [`ReadError`].
pub fn single<S: Snapshot>(
    view: &View<S>,
    request: &RangeRequest,
    most: usize,
) -> Result<Option<RangeOutcome>, ReadError> {
    let at = At::of(view);
    let revision = at.resolve(request.revision)?;
    if revision == at.revision {
        return point::present(&view.snapshot, request, most);
    }
    point::past(&view.snapshot, request, revision).map(Some)
}

/// As [`range`], remembering counts between the pages of a paginated list.
///
/// # Errors
/// [`ReadError`].
pub fn range_paged<S: Snapshot>(
    view: &View<S>,
    request: &RangeRequest,
    memo: &mut CountMemo,
) -> Result<RangeOutcome, ReadError> {
    cursor::evaluate(&view.snapshot, At::of(view), &NoOverlay, request, Some(memo))
}

/// Checks the revision of a range inside a transaction before anything is done, as etcd does: zero is the present, and
/// unlike outside of one, a negative revision can be compacted.
///
/// # Errors
/// [`ReadError::FutureRevision`], [`ReadError::Compacted`].
pub fn check_txn_revision(requested: i64, at: At) -> Result<(), ReadError> {
    match requested {
        0 => Ok(()),
        r if r > at.revision => Err(ReadError::FutureRevision),
        r if r < at.compact_revision => Err(ReadError::Compacted),
        _ => Ok(()),
    }
}

/// Answers a range inside a transaction. `at.revision` is what the transaction sees: its begin, or one more once it has
/// changed something; reads at that revision see the overlay, reads before it the snapshot alone.
///
/// # Errors
/// [`ReadError`].
pub fn range_in_txn<S: Snapshot, O: Overlay>(
    snapshot: &S,
    at: At,
    overlay: &O,
    request: &RangeRequest,
) -> Result<RangeOutcome, ReadError> {
    if request.range_end.is_empty() {
        let revision = at.resolve(request.revision)?;
        return match overlay.get(&request.key) {
            Some(pending) if revision == at.revision => pending_single(pending, request),
            _ => point::single(snapshot, at, request, revision),
        };
    }
    cursor::evaluate(snapshot, at, overlay, request, None)
}

fn pending_single(pending: Pending<'_>, request: &RangeRequest) -> Result<RangeOutcome, ReadError> {
    let Some(head) = pending.head else { return Ok(RangeOutcome::default()) };
    let kv = if request.count_only { None } else { point::project(pending.kv, &head, request)? };
    Ok(RangeOutcome { kvs: kv.into_iter().collect(), more: false, count: 1 })
}
