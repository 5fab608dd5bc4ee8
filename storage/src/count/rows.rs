//! The rows of `cnt` byte for byte: blocks and groups of blocks. Those of changes are in [`changes`](super::changes).
//!
//! Must never decide where a block is cut.

use crate::engine::{EngineError, Family, Op};
use bytes::{Buf, BufMut, Bytes};

/// Keys in a block as it is cut. Small in unit tests, so that few keys make many blocks.
pub(super) const BLOCK_KEYS: u64 = if cfg!(test) { 8 } else { 256 };
/// Blocks in a group as it is cut.
pub(super) const GROUP_BLOCKS: u32 = if cfg!(test) { 4 } else { 128 };

pub(super) const GROUP: u8 = 0;
pub(super) const BLOCK: u8 = 1;
pub(super) const CHANGES: u8 = 2;

/// Deleted keys of a block with living ones at which it is looked at again.
pub(super) const DEAD_KEYS: u64 = if cfg!(test) { 6 } else { 256 };
/// Deleted keys of two neighbours without living ones up to which they are joined: a key that is made there later has so many in
/// front of it.
pub(super) const EMPTY_DEAD_KEYS: u64 = if cfg!(test) { 12 } else { 256 };

/// A block's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlockRow {
    /// Living keys.
    pub(super) keys: u64,
    /// Keys deleted since their places were last looked at: as many rows of the engine may lie in the way of a scan.
    pub(super) dead: u64,
    /// Main revision since which the block has no key; zero while it has one, and when it never had any.
    pub(super) died: i64,
}

/// A group's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) keys: u64,
    pub(super) blocks: u32,
}

/// Key of a row of either kind.
pub(super) fn row_key(kind: u8, start: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(1 + start.len());
    key.push(kind);
    key.extend_from_slice(start);
    key.into()
}

/// First row key behind all rows of a kind.
pub(super) fn behind(kind: u8) -> [u8; 1] {
    [kind + 1]
}

pub(super) fn put_block(start: &[u8], block: BlockRow) -> Op {
    let count = |keys: u64| u32::try_from(keys).expect("a block is cut long before it holds 4 billion keys");
    let mut value = Vec::with_capacity(16);
    value.put_u32(count(block.keys));
    if (block.dead, block.died) != (0, 0) {
        value.put_u32(count(block.dead));
        value.put_i64(block.died);
    }
    Op::Put { family: Family::Cnt, key: row_key(BLOCK, start), value: value.into() }
}

pub(super) fn put_group(start: &[u8], group: Group) -> Op {
    let mut value = Vec::with_capacity(12);
    value.put_u64(group.keys);
    value.put_u32(group.blocks);
    Op::Put { family: Family::Cnt, key: row_key(GROUP, start), value: value.into() }
}

pub(super) fn delete(kind: u8, start: &[u8]) -> Op {
    Op::Delete { family: Family::Cnt, key: row_key(kind, start) }
}

/// Start and contents of a block row. A short one is of a block without deleted keys.
pub(super) fn read_block<'r>(row: (&'r [u8], &[u8])) -> Result<(&'r [u8], BlockRow), EngineError> {
    let (Some((&BLOCK, start)), mut value) = (row.0.split_first(), row.1) else {
        return Err(damaged("a block row has a bad name"));
    };
    let block = match value.len() {
        4 => BlockRow { keys: u64::from(value.get_u32()), ..BlockRow::default() },
        16 => BlockRow { keys: u64::from(value.get_u32()), dead: u64::from(value.get_u32()), died: value.get_i64() },
        _ => return Err(damaged("a block row has the wrong length")),
    };
    Ok((start, block))
}

/// Start and contents of a group row.
pub(super) fn read_group<'r>(row: (&'r [u8], &[u8])) -> Result<(&'r [u8], Group), EngineError> {
    let (Some((&GROUP, start)), Some((keys, blocks))) = (row.0.split_first(), row.1.split_first_chunk::<8>()) else {
        return Err(damaged("a group row does not read back"));
    };
    let blocks = blocks.try_into().map_err(|_| damaged("a group row has the wrong length"))?;
    Ok((start, Group { keys: u64::from_be_bytes(*keys), blocks: u32::from_be_bytes(blocks) }))
}

pub(super) fn damaged(why: &str) -> EngineError {
    EngineError::Corrupt(format!("key counts (family cnt): {why}"))
}
