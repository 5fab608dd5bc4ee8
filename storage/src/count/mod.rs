//! Key counts: how many keys live in a range, without scanning them.
//!
//! The key space is cut into blocks of 256 to 512 living keys, the blocks into groups of 128 to 256: half of what was first
//! planned, because the cost of a count is that of the two blocks at its edges, walked key by key. Both are rows of the
//! family `cnt`, written in the same batch as `cur`, so that a snapshot always counts what it holds. Where the cuts lie is a
//! member's own affair: `cnt` is not replicated, not hashed and not part of a snapshot stream. Must never decide anything
//! but a count, and where a scan need not look.
//!
//! | row | key | value |
//! |---|---|---|
//! | group | `00`, start | keys (8), blocks (4) |
//! | block | `01`, start | keys (4); then, unless both are zero: dead keys (4), main revision since which it has none (8) |
//! | changes | `02`, version | what [`changes`] says |
//!
//! A block owns the keys from its start to the next block's start; the first starts at the empty key and is never dropped. A
//! group holds the blocks whose *starts* lie between its own start and the next group's, so that dropping a block never touches
//! another group.
//!
//! Blocks also say where nothing lives, so that scans need not pass over what the engine still keeps of deleted rows
//! ([`sparse`], [`around`]). A block that has lost its last key is dropped, its range falling to the one before, as long as the
//! two have few dead keys; otherwise it stays as a block without keys until the engine has forgotten them.

mod around;
mod changes;
mod inspect;
mod memo;
mod read;
mod rebuild;
mod rows;
mod runs;
mod sparse;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub(crate) use around::{AroundScan, KeyBounds, lived_below, lived_from};
pub(crate) use changes::{Change, ChangesRow, behind_changes, change, changes_key, read_changes, successor};
pub use changes::{Changes, forget_changes};
pub use inspect::{CountRow, read_row};
pub use read::count_present;
pub use rebuild::Rebuild;
pub use verify::verify;
pub use writer::{Counts, KeyChanges};
