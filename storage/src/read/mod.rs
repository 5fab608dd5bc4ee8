//! Reads of the store: ranges in the present and the past, counts, log reads, compaction planning, hashes, leases.
//!
//! Every function takes one view (or a snapshot and the revisions that belong to it) and is a pure function of it. Nothing
//! here writes, keeps state between calls that the caller does not own, or waits. Key-values stay in their stored bytes.
//!
//! | file | question |
//! |---|---|
//! | [`range`](mod@range) | one Range request, whole |
//! | [`cursor`] | one Range request, chunk by chunk, over views that move on |
//! | [`mod@count`] | how many keys |
//! | [`overlay`] | the same inside a transaction, over heads that are not yet written |
//! | [`txn`] | a transaction that only reads |
//! | [`events`], [`key_events`] | what happened, for watchers |
//! | [`compaction_plan`] | which rows can go |
//! | [`hash`] | HashKV and the diagnostic hash |
//! | [`meta`] | leases, members |
//! | [`memory_budget`] | memory for answers that are collected first |

mod at;
pub mod compaction_plan;
pub mod count;
pub mod cursor;
pub mod events;
pub mod hash;
pub mod key_events;
mod kv_bytes;
pub mod memory_budget;
pub mod meta;
pub mod overlay;
mod plan;
mod point;
mod range;
mod sorted;
mod source;
pub mod txn;
mod values;
mod walk;

#[cfg(test)]
mod tests;

pub use at::At;
pub use compaction_plan::{Compaction, CompactionStep};
pub use count::{CountMemo, count};
pub(crate) use cursor::measure_in_txn;
pub use cursor::{Chunk, Measured, RangeCursor, measure};
pub(crate) use kv_bytes::{field_len, key_of};
pub use overlay::{NoOverlay, Overlay, Pending, Touched, walk_heads};
pub(crate) use point::projected_len;
pub use point::{get_at, project};
pub use range::{check_txn_revision, range, range_in_txn, range_paged, single};
pub use source::Budget;

use crate::auth::rows::ReadRowsError;
use crate::engine::EngineError;
use crate::schema::Damaged;
use model::ReadError;

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

impl From<ReadRowsError> for ReadError {
    fn from(error: ReadRowsError) -> Self {
        Self::Store(error.to_string())
    }
}
