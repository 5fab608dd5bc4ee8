//! Rows of `cnt` for a store that has none: after a restore, keys come in order.
//!
//! Must only be used on a store without rows in `cnt`, for all of its keys.

use super::rows::{BLOCK_KEYS, BlockRow, GROUP_BLOCKS, Group, put_block, put_group};
use crate::engine::Op;
use bytes::Bytes;

/// Builds the rows while all living keys pass by in ascending order.
#[derive(Debug, Default)]
pub struct Rebuild {
    group_start: Bytes,
    group: Group,
    block_start: Bytes,
    keys: u64,
}

impl Rebuild {
    /// For an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next living key; rows that are complete go to `ops`.
    pub fn key(&mut self, key: &[u8], ops: &mut Vec<Op>) {
        if self.keys == BLOCK_KEYS {
            self.close_block(ops);
            self.block_start = Bytes::copy_from_slice(key);
            if self.group.blocks == GROUP_BLOCKS {
                self.close_group(ops);
                self.group_start = self.block_start.clone();
            }
        }
        self.keys += 1;
    }

    /// The rows of the last block and group.
    pub fn finish(mut self, ops: &mut Vec<Op>) {
        self.close_block(ops);
        self.close_group(ops);
    }

    fn close_block(&mut self, ops: &mut Vec<Op>) {
        ops.push(put_block(&self.block_start, BlockRow { keys: self.keys, ..BlockRow::default() }));
        self.group.keys += self.keys;
        self.group.blocks += 1;
        self.keys = 0;
    }

    fn close_group(&mut self, ops: &mut Vec<Op>) {
        ops.push(put_group(&self.group_start, self.group));
        self.group = Group::default();
    }
}
