//! Key counts: how many keys live in a range, without scanning them.
//!
//! The key space is cut into blocks of 256 to 512 living keys, the blocks into groups of 128 to 256: half of what was first
//! planned, because the cost of a count is that of the two blocks at its edges, walked key by key. Both are rows of the
//! family `cnt`, written in the same batch as `cur`, so that a snapshot always counts what it holds. Where the cuts lie is a
//! member's own affair: `cnt` is not replicated, not hashed and not part of a snapshot stream. Must never decide anything
//! but a count.
//!
//! | row | key | value |
//! |---|---|---|
//! | group | `00`, start | keys (8), blocks (4) |
//! | block | `01`, start | keys (4) |
//! | changes | `02`, version | what [`changes`] says |
//!
//! A block owns the keys from its start to the next block's start; the first starts at the empty key and is never dropped,
//! any other is dropped when it is empty, its range falling to the one before. A group holds the blocks whose *starts* lie
//! between its own start and the next group's, so that dropping a block never touches another group.

mod changes;
mod memo;
mod read;
mod rebuild;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub(crate) use changes::{Change, ChangesRow, behind_changes, change, changes_key, read_changes, successor};
pub use changes::{Changes, forget_changes};
pub use read::count_present;
pub use rebuild::Rebuild;
pub use verify::verify;
pub use writer::Counts;

use crate::engine::{EngineError, Family, Op};
use bytes::{BufMut, Bytes};
use model::Revision;

/// Keys in a block as it is cut. Small in unit tests, so that few keys make many blocks.
const BLOCK_KEYS: u64 = if cfg!(test) { 8 } else { 256 };
/// Blocks in a group as it is cut.
const GROUP_BLOCKS: u32 = if cfg!(test) { 4 } else { 128 };

const GROUP: u8 = 0;
const BLOCK: u8 = 1;

/// A group's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    keys: u64,
    blocks: u32,
}

/// Key of a row of either kind.
fn row_key(kind: u8, start: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(1 + start.len());
    key.push(kind);
    key.extend_from_slice(start);
    key.into()
}

/// First row key behind all rows of a kind.
fn behind(kind: u8) -> [u8; 1] {
    [kind + 1]
}

fn put_block(start: &[u8], keys: u64) -> Op {
    let keys = u32::try_from(keys).expect("a block is cut long before it holds 4 billion keys");
    let value = Bytes::copy_from_slice(&keys.to_be_bytes());
    Op::Put { family: Family::Cnt, key: row_key(BLOCK, start), value }
}

fn put_group(start: &[u8], group: Group) -> Op {
    let mut value = Vec::with_capacity(12);
    value.put_u64(group.keys);
    value.put_u32(group.blocks);
    Op::Put { family: Family::Cnt, key: row_key(GROUP, start), value: value.into() }
}

fn delete(kind: u8, start: &[u8]) -> Op {
    Op::Delete { family: Family::Cnt, key: row_key(kind, start) }
}

/// Start and keys of a block row.
fn read_block<'r>(row: (&'r [u8], &[u8])) -> Result<(&'r [u8], u64), EngineError> {
    match (row.0.split_first(), row.1.try_into()) {
        (Some((&BLOCK, start)), Ok(keys)) => Ok((start, u64::from(u32::from_be_bytes(keys)))),
        _ => Err(damaged("a block row does not read back")),
    }
}

/// Start and contents of a group row.
fn read_group<'r>(row: (&'r [u8], &[u8])) -> Result<(&'r [u8], Group), EngineError> {
    let (Some((&GROUP, start)), Some((keys, blocks))) = (row.0.split_first(), row.1.split_first_chunk::<8>()) else {
        return Err(damaged("a group row does not read back"));
    };
    let blocks = blocks.try_into().map_err(|_| damaged("a group row has the wrong length"))?;
    Ok((start, Group { keys: u64::from_be_bytes(*keys), blocks: u32::from_be_bytes(blocks) }))
}

/// A row of `cnt`, for those who only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountRow {
    /// Keys from `start` to the next block's start.
    Block {
        /// First key.
        start: Bytes,
        /// How many.
        keys: u64,
    },
    /// Keys created and deleted between two versions.
    Changes {
        /// Last version before.
        from: Revision,
        /// Last version.
        upto: Revision,
        /// Keys created, each as often as it was.
        created: u64,
        /// Keys deleted, each as often as it was.
        deleted: u64,
    },
    /// Blocks that start between `start` and the next group's start.
    Group {
        /// First start.
        start: Bytes,
        /// Keys in all of them.
        keys: u64,
        /// How many blocks.
        blocks: u32,
    },
}

/// Reads a row of any kind.
///
/// # Errors
/// [`EngineError::Corrupt`].
pub fn read_row(key: &[u8], value: &[u8]) -> Result<CountRow, EngineError> {
    if key.first() == Some(&GROUP) {
        let (start, Group { keys, blocks }) = read_group((key, value))?;
        return Ok(CountRow::Group { start: Bytes::copy_from_slice(start), keys, blocks });
    }
    if key.first() == Some(&changes::CHANGES) {
        let mut row = read_changes(key, value)?;
        let (mut created, mut deleted) = (0, 0);
        while let Some(change) = row.next()? {
            *(if change.deleted { &mut deleted } else { &mut created }) += 1;
        }
        return Ok(CountRow::Changes { from: row.from, upto: row.upto, created, deleted });
    }
    let (start, keys) = read_block((key, value))?;
    Ok(CountRow::Block { start: Bytes::copy_from_slice(start), keys })
}

fn damaged(why: &str) -> EngineError {
    EngineError::Corrupt(format!("key counts (family cnt): {why}"))
}
