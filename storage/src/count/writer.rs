//! The write side: which rows of `cnt` a batch changes.
//!
//! Must never scan more than a bounded piece per batch: what has grown too large is cut in the batches that follow.

use super::memo::{Block, Memo};
use super::{BLOCK, BLOCK_KEYS, GROUP, GROUP_BLOCKS, Group, behind, damaged, delete, put_block, put_group};
use super::{read_block, read_group, row_key};
use crate::engine::{Direction, EngineError, Family, Op, Scan, Snapshot};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};

/// Bytes of the block memo: the bounds of about 8,000 blocks, 3 million keys.
const MEMO_BYTES: usize = 2 << 20;
/// Blocks cut per batch, unless the batch itself creates more.
const CUTS: usize = 4;

/// The one writer of `cnt`. Knows all groups (one per 50,000 keys) and the blocks it touched lately.
#[derive(Debug)]
pub struct Counts {
    groups: BTreeMap<Bytes, Group>,
    memo: Memo,
    large_blocks: BTreeSet<Bytes>,
    large_groups: BTreeSet<Bytes>,
}

/// Starts of what one batch has touched so far: of blocks, each once; of groups.
#[derive(Default)]
struct Touched {
    blocks: Vec<Bytes>,
    groups: Vec<Bytes>,
}

impl Counts {
    /// Of the store that `snapshot` shows in its newest state.
    ///
    /// # Errors
    /// [`EngineError`] when the rows cannot be read.
    pub fn new<S: Snapshot>(snapshot: &S) -> Result<Self, EngineError> {
        Self::with_memo(snapshot, MEMO_BYTES)
    }

    pub(super) fn with_memo<S: Snapshot>(snapshot: &S, bytes: usize) -> Result<Self, EngineError> {
        let mut groups = BTreeMap::new();
        let mut rows = snapshot.scan(Family::Cnt, &[GROUP], Some(&behind(GROUP)), Direction::Forward);
        while let Some(row) = rows.next()? {
            let (start, group) = read_group(row)?;
            groups.insert(Bytes::copy_from_slice(start), group);
        }
        let large_groups = groups.iter().filter(|(_, g)| g.blocks > 2 * GROUP_BLOCKS).map(|(start, _)| start.clone());
        let large_groups = large_groups.collect();
        groups.entry(Bytes::new()).or_default();
        Ok(Self { groups, memo: Memo::new(bytes), large_blocks: BTreeSet::new(), large_groups })
    }

    /// Living keys in all.
    pub fn total(&self) -> i64 {
        self.groups.values().map(|group| group.keys as i64).sum()
    }

    /// Appends to `ops` the rows that change because a batch brings `created` to life and removes `deleted`.
    ///
    /// To be called exactly once for each engine batch, whose ops must be written as they come back; `before` is the state
    /// that batch is applied to. A key may stand in both lists, and several times, as long as the sum is right.
    ///
    /// # Errors
    /// [`EngineError`]; afterwards this value must not be used again.
    pub fn note<S: Snapshot>(
        &mut self,
        before: &S,
        created: &[Bytes],
        deleted: &[Bytes],
        ops: &mut Vec<Op>,
    ) -> Result<(), EngineError> {
        if created.is_empty() && deleted.is_empty() {
            return Ok(());
        }
        let mut touched = Touched::default();
        self.cut_group(before, &mut touched)?;
        self.cut_blocks(before, &mut touched, CUTS.max(created.len() / (BLOCK_KEYS as usize / 2)))?;
        for key in created {
            self.with_block(before, &mut touched, key, |block| block.keys += 1)?;
        }
        for key in deleted {
            let less = |block: &mut Block| block.keys.checked_sub(1).map(|keys| block.keys = keys);
            let counted = self.with_block(before, &mut touched, key, less)?;
            counted.ok_or_else(|| damaged("more keys deleted than counted"))?;
        }
        self.finish(touched, ops)?;
        self.memo.turn();
        Ok(())
    }

    /// Changes the block that owns `key`.
    fn with_block<S: Snapshot, T>(
        &mut self,
        before: &S,
        touched: &mut Touched,
        key: &[u8],
        change: impl Fn(&mut Block) -> T,
    ) -> Result<T, EngineError> {
        let mut change = |start: &Bytes, block: &mut Block| {
            if !block.touched {
                block.touched = true;
                touched.blocks.push(start.clone());
            }
            change(block)
        };
        if let Some(out) = self.memo.with_owner(key, &mut change) {
            return Ok(out);
        }
        // The memo forgets nothing during a batch, so that the rows before it hold for every block that is not in there.
        let (start, mut block) = find(before, key)?;
        let out = change(&start, &mut block);
        self.memo.put(start, block);
        Ok(out)
    }

    /// Cuts one group that has grown too large. Nothing else is touched yet: the rows of `before` are exact.
    fn cut_group<S: Snapshot>(&mut self, before: &S, touched: &mut Touched) -> Result<(), EngineError> {
        let Some(start) = self.large_groups.pop_first() else { return Ok(()) };
        let group = self.groups.get(&start).copied().unwrap_or_default();
        if group.blocks <= 2 * GROUP_BLOCKS {
            return Ok(()); // shrunk meanwhile
        }
        let mut left = Group::default();
        let mut rows = before.scan(Family::Cnt, &row_key(BLOCK, &start), Some(&behind(BLOCK)), Direction::Forward);
        while let Some(row) = rows.next()? {
            let (block, keys) = read_block(row)?;
            if left.blocks < GROUP_BLOCKS {
                left = Group { keys: left.keys + keys, blocks: left.blocks + 1 };
                continue;
            }
            let block = Bytes::copy_from_slice(block);
            let keys =
                group.keys.checked_sub(left.keys).ok_or_else(|| damaged("a group counts less than its blocks"))?;
            let right = Group { keys, blocks: group.blocks - left.blocks };
            for (start, group) in [(start, left), (block, right)] {
                if group.blocks > 2 * GROUP_BLOCKS {
                    self.large_groups.insert(start.clone());
                }
                touched.groups.push(start.clone());
                self.groups.insert(start, group);
            }
            return Ok(());
        }
        Err(damaged("a group has fewer blocks than it counts"))
    }

    /// Cuts up to `budget` blocks off those that have grown too large.
    fn cut_blocks<S: Snapshot>(
        &mut self,
        before: &S,
        touched: &mut Touched,
        mut budget: usize,
    ) -> Result<(), EngineError> {
        while budget > 0 {
            let Some(start) = self.large_blocks.pop_first() else { return Ok(()) };
            let (mut left, end) = self.with_block(before, touched, &start, |block| (block.keys, block.end.clone()))?;
            let mut cuts = vec![];
            let mut keys = before.scan(Family::Cur, &start, end.as_deref(), Direction::Forward);
            let mut seen = 0;
            while left > BLOCK_KEYS && cuts.len() < budget {
                let (key, _) = keys.next()?.ok_or_else(|| damaged("a block counts more keys than there are"))?;
                if seen == BLOCK_KEYS {
                    cuts.push(Bytes::copy_from_slice(key));
                    (seen, left) = (0, left - BLOCK_KEYS);
                }
                seen += 1;
            }
            budget -= cuts.len().max(1);
            self.insert_cuts(touched, start, (cuts, end), left);
        }
        Ok(())
    }

    /// Replaces the block from `at` to `end` by itself and its cuts, each of `BLOCK_KEYS` keys but the last, which has `left`.
    fn insert_cuts(
        &mut self,
        touched: &mut Touched,
        mut at: Bytes,
        (cuts, end): (Vec<Bytes>, Option<Bytes>),
        left: u64,
    ) {
        for cut in cuts {
            self.memo.set_end(&at, Some(cut.clone()));
            self.memo.with_owner(&at, |_, block| block.keys = BLOCK_KEYS);
            self.memo.put(cut.clone(), Block { end: end.clone(), keys: left, row: None, touched: true });
            touched.blocks.push(cut.clone());
            at = cut;
        }
    }

    /// Turns what was touched into ops.
    fn finish(&mut self, touched: Touched, ops: &mut Vec<Op>) -> Result<(), EngineError> {
        let Touched { mut blocks, mut groups } = touched;
        // From the last to the first, so that the end found by a block reaches over all dropped ones behind it.
        blocks.sort_unstable_by(|a, b| b.cmp(a));
        for start in blocks {
            let seen = self.memo.with_owner(&start, |_, block| {
                let (row, keys) = (block.row, block.keys);
                (block.touched, block.row) = (false, Some(keys));
                (row, keys)
            });
            let (row, keys) = seen.expect("the memo forgets nothing during a batch");
            if keys == 0 && !start.is_empty() {
                let block = self.memo.remove(&start);
                self.memo.extend(&start, block.end);
                self.large_blocks.remove(&start);
                if row.is_some() {
                    ops.push(delete(BLOCK, &start));
                    groups.push(self.shift(&start, row, None)?);
                }
                continue;
            }
            if row != Some(keys) {
                ops.push(put_block(&start, keys));
                groups.push(self.shift(&start, row, Some(keys))?);
            }
            if keys > 2 * BLOCK_KEYS {
                self.large_blocks.insert(start);
            }
        }
        groups.sort_unstable();
        groups.dedup();
        for start in groups {
            let Some(&group) = self.groups.get(&start) else { continue };
            if group.blocks == 0 && !start.is_empty() {
                self.groups.remove(&start);
                self.large_groups.remove(&start);
                ops.push(delete(GROUP, &start));
                continue;
            }
            if group.blocks > 2 * GROUP_BLOCKS {
                self.large_groups.insert(start.clone());
            }
            ops.push(put_group(&start, group));
        }
        Ok(())
    }

    /// Books the change of a block's row in its group, whose start it returns.
    fn shift(&mut self, block: &[u8], from: Option<u64>, to: Option<u64>) -> Result<Bytes, EngineError> {
        let (start, group) = self
            .groups
            .range_mut::<[u8], _>((Unbounded, Included(block)))
            .next_back()
            .expect("the first group starts at the empty key and is never dropped");
        let less =
            |count: u64, by: u64| count.checked_sub(by).ok_or_else(|| damaged("a group counts less than its blocks"));
        group.keys = less(group.keys + to.unwrap_or(0), from.unwrap_or(0))?;
        group.blocks = less(u64::from(group.blocks) + u64::from(to.is_some()), u64::from(from.is_some()))? as u32;
        Ok(start.clone())
    }
}

/// Reads the block that owns `key`; the very first may not have a row yet.
fn find<S: Snapshot>(before: &S, key: &[u8]) -> Result<(Bytes, Block), EngineError> {
    let at = row_key(BLOCK, key);
    let mut back = before.scan(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Backward);
    back.seek(&at);
    let (start, row) = match back.next()? {
        Some(row) => read_block(row).map(|(start, keys)| (Bytes::copy_from_slice(start), Some(keys)))?,
        None => (Bytes::new(), None),
    };
    let mut after = at.to_vec();
    after.push(0);
    let mut next = before.scan(Family::Cnt, &after, Some(&behind(BLOCK)), Direction::Forward);
    let end = next.next()?.map(read_block).transpose()?.map(|(end, _)| Bytes::copy_from_slice(end));
    Ok((start, Block { end, keys: row.unwrap_or(0), row, touched: false }))
}
