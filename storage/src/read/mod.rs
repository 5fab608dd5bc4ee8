//! Reads of the store: ranges in the present and the past, counts, log reads, compaction planning, hashes, leases.
//!
//! Every function takes one view (or a snapshot and the revisions that belong to it) and is a pure function of it. Nothing
//! here writes, keeps state between calls that the caller does not own, or waits. Key-values stay in their stored bytes.
//!
//! | file | question |
//! |---|---|
//! | [`range`](mod@self) | one Range request, whole |
//! | [`cursor`] | one Range request, chunk by chunk, over views that move on |
//! | [`count`] | how many keys |
//! | [`overlay`] | the same inside a transaction, over heads that are not yet written |
//! | [`txn`] | a transaction that only reads |
//! | [`events`], [`key_events`] | what happened, for watchers |
//! | [`compaction`] | which rows can go |
//! | [`hash`] | HashKV and the diagnostic hash |
//! | [`meta`] | leases, members |
//! | [`room`] | memory for answers that are collected first |

pub mod compaction;
pub mod count;
pub mod cursor;
pub mod events;
pub mod hash;
pub mod key_events;
mod kv_bytes;
pub mod meta;
pub mod overlay;
mod plan;
mod point;
pub mod room;
mod sorted;
pub mod txn;
mod values;
mod walk;

#[cfg(test)]
mod tests;

pub use compaction::{Compaction, CompactionStep};
pub use count::{CountMemo, count};
pub(crate) use cursor::measure_in_txn;
pub use cursor::{Budget, Chunk, Measured, RangeCursor, measure};
pub(crate) use kv_bytes::{field_len, key_of};
pub use overlay::{NoOverlay, Overlay, Pending, Touched, check_txn_revision, range_in_txn, walk_heads};
pub(crate) use point::projected_len;
pub use point::{get_at, project};

use crate::engine::{EngineError, Snapshot};
use crate::schema::Damaged;
use crate::view::View;
use model::request::RangeRequest;
use model::{RangeOutcome, ReadError};

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<Damaged> for ReadError {
    fn from(error: Damaged) -> Self {
        Self::Store(error.to_string())
    }
}

/// The revisions that belong to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Newest revision a read may ask for.
    pub revision: i64,
    /// Revision up to which history is forgotten; -1 before any compaction.
    pub compact_revision: i64,
}

impl At {
    /// Those of a view.
    pub fn of<S>(view: &View<S>) -> Self {
        Self { revision: view.revision, compact_revision: view.compact_revision }
    }

    /// The revision a read is about: the newest one when `requested` is zero or negative.
    ///
    /// # Errors
    /// [`ReadError::FutureRevision`], [`ReadError::Compacted`]; the compacted revision itself is readable.
    pub fn resolve(self, requested: i64) -> Result<i64, ReadError> {
        if requested > self.revision {
            return Err(ReadError::FutureRevision);
        }
        let revision = if requested <= 0 { self.revision } else { requested };
        if revision < self.compact_revision {
            return Err(ReadError::Compacted);
        }
        Ok(revision)
    }
}

/// Answers one Range request whole. A large answer is a large allocation: use [`RangeCursor`] where that may be.
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
