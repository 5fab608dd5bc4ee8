//! The write side of the store: a pure state machine that turns committed entries into engine batches.
//!
//! What an entry does depends on the entry and on replicated state alone: there is no clock, no flag and no file size in here.
//! All effects of an entry, whatever its kind, and the applied index, term, conf state, revisions and sizes stand in one batch
//! (AI-ONE-COMMIT-POINT), so that replay after a crash is exactly-once: entries at or below the applied index are skipped.
//! Outcomes and rows do not depend on how entries are grouped into calls.
//!
//! An entry with effects beyond [`CHUNK_BYTES`] is written in several batches under a cursor row; the applied index moves with
//! the last one, no view is published before it, and [`StateMachine::open`] finishes what a crash left half done.
//!
//! **Sizes.** Logical bytes = `log` (16 bytes of key + value, for every row not yet deleted by a compaction) + `cur` (key +
//! value of every row). Live bytes = the part that a compaction at the current revision would leave: `cur`, and the `log` rows
//! of the newest versions of living keys. `hist`, `cnt` and `meta` are not counted. An empty store has zero of both.
//!
//! Must never write after a failed write, and never answer anything itself: the actor around it publishes and replies.

mod ahead;
mod alarm;
mod answer;
mod auth;
mod batch;
mod chunk;
mod command;
mod compact;
pub(crate) mod compare;
mod decoded;
mod entry_cursor;
mod failure;
mod heads;
mod judge;
mod lease;
mod machine;
mod member_context;
mod members;
pub mod meta_rows;
mod open;
mod overlay;
mod prefetch;
mod present;
mod rehome;
mod report;
mod rows;
mod running;
mod slot;
mod txn;
mod v2;

#[cfg(test)]
pub(crate) mod tests;

pub use judge::Membership;
pub use machine::{CHUNK_BYTES, StateMachine};
pub use member_context::MemberContext;
pub use members::verdict;
pub use meta_rows::{FORMAT_VERSION, HistoryRows, LeaseRow, MemberIds, MemberRow, State};
pub use open::{Bootstrap, bootstrap};
pub(crate) use open::{check_format, unfinished_entry};
pub use rehome::{become_sole_member, rehome};
pub use report::{
    ApplyFatal, Committed, CompactionProgress, ConfVerdict, LeaseChange, OpenError, Report, ScheduledCompaction,
    StoreEvent, V2Applied,
};
pub use running::RunningHash;
