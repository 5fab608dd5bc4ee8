//! The write side: which rows of `cnt` a batch changes.
//!
//! Must never scan more than a bounded piece per batch: what has grown too large is cut in the batches that follow. How dead keys
//! are set apart is in [`sparse`](super::sparse).

use super::memo::{Block, Memo};
use super::rows::{
    BLOCK, BLOCK_KEYS, BlockRow, DEAD_KEYS, EMPTY_DEAD_KEYS, GROUP, GROUP_BLOCKS, Group, behind, damaged, delete,
    put_block, put_group, read_block, read_group, row_key,
};
use super::runs::Runs;
use super::sparse::{Tidy, pieces};
use crate::engine::{Direction, EmptyStretches, EngineError, Family, Op, Scan, Snapshot};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

/// Bytes of the block memo: the bounds of about 7,000 blocks, 3 million keys.
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
    /// Blocks with living keys and too many dead ones.
    sparse_blocks: BTreeSet<Bytes>,
    tidy: Tidy,
    /// Where blocks without keys follow each other.
    runs: Runs,
}

/// Starts of what one batch has touched so far.
#[derive(Default)]
struct TouchedStarts {
    blocks: BTreeSet<Bytes>,
    groups: BTreeSet<Bytes>,
}

/// A batch, as far as keys come to life or go.
#[derive(Clone, Copy, Debug)]
pub struct KeyChanges<'b> {
    /// Newest main revision that the batch writes.
    pub revision: i64,
    /// Keys that it brings to life.
    pub created: &'b [Bytes],
    /// Keys that it removes.
    pub deleted: &'b [Bytes],
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
        Ok(Self {
            groups,
            memo: Memo::new(bytes),
            large_blocks: BTreeSet::new(),
            large_groups,
            sparse_blocks: BTreeSet::new(),
            tidy: Tidy::default(),
            runs: Runs::of(snapshot)?,
        })
    }

    /// Stretches without living keys, for the snapshot that the last batch has led to.
    pub fn empty_stretches(&mut self) -> Arc<EmptyStretches> {
        self.runs.publish()
    }

    /// Living keys in all.
    pub fn total(&self) -> i64 {
        self.groups.values().map(|group| group.keys as i64).sum()
    }

    /// Appends to `ops` the rows that change because of a batch.
    ///
    /// To be called exactly once for each engine batch, whose ops must be written as they come back; `before` is the state
    /// that batch is applied to. A key may stand in both lists, and several times, as long as the sum is right.
    ///
    /// # Errors
    /// [`EngineError`]; afterwards this value must not be used again.
    pub fn note<S: Snapshot>(
        &mut self,
        before: &S,
        changes: KeyChanges<'_>,
        ops: &mut Vec<Op>,
    ) -> Result<(), EngineError> {
        let KeyChanges { revision, created, deleted } = changes;
        if created.is_empty() && deleted.is_empty() {
            return Ok(());
        }
        let mut touched = TouchedStarts::default();
        self.cut_group(before, &mut touched)?;
        self.cut_blocks(before, &mut touched, CUTS.max(created.len() / (BLOCK_KEYS as usize / 2)))?;
        self.part_dead_keys(before, &mut touched, revision)?;
        self.drop_clean(before, &mut touched)?;
        for key in created {
            self.with_block(before, &mut touched, key, |block| {
                block.now.keys += 1;
                block.now.died = 0;
            })?;
        }
        for key in deleted {
            let counted = self.with_block(before, &mut touched, key, |block| {
                block.now.keys = block.now.keys.checked_sub(1)?;
                block.now.dead += 1;
                if block.now.keys == 0 {
                    block.now.died = revision;
                }
                Some(())
            })?;
            counted.ok_or_else(|| damaged("more keys deleted than counted"))?;
        }
        self.finish(before, touched, ops)?;
        self.memo.turn();
        Ok(())
    }

    /// Changes the block that owns `key`.
    fn with_block<S: Snapshot, T>(
        &mut self,
        before: &S,
        touched: &mut TouchedStarts,
        key: &[u8],
        change: impl Fn(&mut Block) -> T,
    ) -> Result<T, EngineError> {
        let mut change = |start: &Bytes, block: &mut Block| {
            if !block.touched {
                block.touched = true;
                touched.blocks.insert(start.clone());
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
    fn cut_group<S: Snapshot>(&mut self, before: &S, touched: &mut TouchedStarts) -> Result<(), EngineError> {
        let Some(start) = self.large_groups.pop_first() else { return Ok(()) };
        let group = self.groups.get(&start).copied().unwrap_or_default();
        if group.blocks <= 2 * GROUP_BLOCKS {
            return Ok(()); // shrunk meanwhile
        }
        let mut left = Group::default();
        let mut rows = before.scan(Family::Cnt, &row_key(BLOCK, &start), Some(&behind(BLOCK)), Direction::Forward);
        while let Some(row) = rows.next()? {
            let (block, BlockRow { keys, .. }) = read_block(row)?;
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
                touched.groups.insert(start.clone());
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
        touched: &mut TouchedStarts,
        mut budget: usize,
    ) -> Result<(), EngineError> {
        while budget > 0 {
            let Some(start) = self.large_blocks.pop_first() else { return Ok(()) };
            let (whole, end) = self.with_block(before, touched, &start, |block| (block.now, block.end.clone()))?;
            let mut parts: Vec<(Bytes, BlockRow)> = vec![];
            let mut keys = before.scan(Family::Cur, &start, end.as_deref(), Direction::Forward);
            let mut at = start;
            let mut left = whole.keys;
            let mut seen = 0;
            while left > BLOCK_KEYS && parts.len() < budget {
                let (key, _) = keys.next()?.ok_or_else(|| damaged("a block counts more keys than there are"))?;
                if seen == BLOCK_KEYS {
                    // Where the dead ones lie is not known: each part may hold them all.
                    parts.push((
                        std::mem::replace(&mut at, Bytes::copy_from_slice(key)),
                        BlockRow { keys: seen, ..whole },
                    ));
                    left -= BLOCK_KEYS;
                    seen = 0;
                }
                seen += 1;
            }
            budget -= parts.len().clamp(1, budget);
            parts.push((at, BlockRow { keys: left, ..whole }));
            self.replace(touched, parts, &end);
        }
        Ok(())
    }

    /// Sets dead keys apart in a few of the blocks that have too many of them.
    fn part_dead_keys<S: Snapshot>(
        &mut self,
        before: &S,
        touched: &mut TouchedStarts,
        revision: i64,
    ) -> Result<(), EngineError> {
        for _ in 0..CUTS {
            let Some(start) = self.sparse_blocks.pop_first() else { return Ok(()) };
            let (whole, end) = self.with_block(before, touched, &start, |block| (block.now, block.end.clone()))?;
            if whole.keys > 0 && whole.dead > DEAD_KEYS {
                let parts = pieces(before, (&start, end.as_deref()), whole, revision)?;
                self.replace(touched, parts, &end);
            }
        }
        Ok(())
    }

    /// Finds out now and then whether a block without keys is still needed.
    fn drop_clean<S: Snapshot>(&mut self, before: &S, touched: &mut TouchedStarts) -> Result<(), EngineError> {
        let Some(start) = self.tidy.clean_block(before)? else { return Ok(()) };
        self.with_block(before, touched, &start, |block| {
            // It may have been cut since the row was written, but never joined to another: it is as clean as that was.
            if block.now.keys == 0 {
                block.now.dead = 0;
            }
        })
    }

    /// Replaces a block by its parts, the first of which starts where it did, the last of which ends at `end`.
    fn replace(&mut self, touched: &mut TouchedStarts, parts: Vec<(Bytes, BlockRow)>, end: &Option<Bytes>) {
        let mut ends: Vec<_> = parts.iter().skip(1).map(|(start, _)| Some(start.clone())).collect();
        ends.push(end.clone());
        for (n, ((start, now), end)) in parts.into_iter().zip(ends).enumerate() {
            touched.blocks.insert(start.clone());
            if n == 0 {
                self.memo.set_end(&start, end);
                self.memo.with_owner(&start, |_, block| block.now = now);
            } else {
                self.memo.put(start, Block { end, now, row: None, touched: true });
            }
        }
    }

    /// Turns what was touched into ops.
    fn finish<S: Snapshot>(
        &mut self,
        before: &S,
        touched: TouchedStarts,
        ops: &mut Vec<Op>,
    ) -> Result<(), EngineError> {
        let TouchedStarts { mut blocks, mut groups } = touched;
        // From the last to the first: what falls to the block before changes that one as well.
        while let Some(start) = blocks.pop_last() {
            let seen = self.memo.with_owner(&start, |_, block| (block.row, block.now));
            let (row, now) = seen.expect("the memo forgets nothing during a batch");
            if now.keys == 0
                && !start.is_empty()
                && let Some(left) = self.fall(before, &start, now)?
            {
                blocks.insert(left);
                if row.is_some() {
                    ops.push(delete(BLOCK, &start));
                    groups.insert(self.shift(&start, row, None)?);
                }
                continue;
            }
            let end = self.memo.with_owner(&start, |_, block| {
                block.touched = false;
                block.row = Some(now);
                block.end.clone()
            });
            self.runs.note(&start, end.flatten().as_ref(), now);
            if row != Some(now) {
                ops.push(put_block(&start, now));
                groups.insert(self.shift(&start, row, Some(now))?);
            }
            // Keys that come back where many were deleted are no reason to look: that would make a block of each of them.
            let more = row.is_none_or(|row| row.dead < now.dead);
            if now.keys > 0 && now.dead > DEAD_KEYS && more {
                self.sparse_blocks.insert(start.clone());
            }
            if now.keys > 2 * BLOCK_KEYS {
                self.large_blocks.insert(start);
            }
        }
        self.finish_groups(groups, ops);
        Ok(())
    }

    /// Gives the range of a block without keys to the block before, whose start it returns; `None` when it must stay, because
    /// the two together have too many dead keys.
    fn fall<S: Snapshot>(&mut self, before: &S, start: &Bytes, now: BlockRow) -> Result<Option<Bytes>, EngineError> {
        let left = match self.memo.before(start) {
            Some(left) => left,
            None => {
                let (left, row) = block_before(before, start)?;
                let block = Block { end: Some(start.clone()), now: row.unwrap_or_default(), row, touched: false };
                self.memo.put(left.clone(), block);
                left
            }
        };
        let fits = self.memo.with_owner(&left, |_, block| {
            let dead = block.now.dead + now.dead;
            let most = if block.now.keys == 0 { EMPTY_DEAD_KEYS } else { DEAD_KEYS };
            let fits = now.dead == 0 || dead <= most;
            if fits {
                block.touched = true;
                block.now.dead = dead;
                if block.now.keys == 0 {
                    block.now.died = block.now.died.max(now.died);
                }
            }
            fits
        });
        if fits != Some(true) {
            return Ok(None);
        }
        let block = self.memo.remove(start);
        self.memo.set_end(&left, block.end);
        self.large_blocks.remove(start);
        self.sparse_blocks.remove(start);
        Ok(Some(left))
    }

    fn finish_groups(&mut self, groups: BTreeSet<Bytes>, ops: &mut Vec<Op>) {
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
    }

    /// Books the change of a block's row in its group, whose start it returns.
    fn shift(&mut self, block: &[u8], from: Option<BlockRow>, to: Option<BlockRow>) -> Result<Bytes, EngineError> {
        let (start, group) = self
            .groups
            .range_mut::<[u8], _>((Unbounded, Included(block)))
            .next_back()
            .expect("the first group starts at the empty key and is never dropped");
        let less =
            |count: u64, by: u64| count.checked_sub(by).ok_or_else(|| damaged("a group counts less than its blocks"));
        let keys = |row: Option<BlockRow>| row.map_or(0, |row| row.keys);
        group.keys = less(group.keys + keys(to), keys(from))?;
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
        Some(row) => read_block(row).map(|(start, row)| (Bytes::copy_from_slice(start), Some(row)))?,
        None => (Bytes::new(), None),
    };
    let mut after = at.to_vec();
    after.push(0);
    let mut next = before.scan(Family::Cnt, &after, Some(&behind(BLOCK)), Direction::Forward);
    let end = next.next()?.map(read_block).transpose()?.map(|(end, _)| Bytes::copy_from_slice(end));
    Ok((start, Block { end, now: row.unwrap_or_default(), row, touched: false }))
}

/// The last block that starts before `start`; the very first may not have a row yet.
fn block_before<S: Snapshot>(before: &S, start: &[u8]) -> Result<(Bytes, Option<BlockRow>), EngineError> {
    let mut back = before.scan(Family::Cnt, &[BLOCK], Some(&row_key(BLOCK, start)), Direction::Backward);
    match back.next()? {
        Some(row) => read_block(row).map(|(start, row)| (Bytes::copy_from_slice(start), Some(row))),
        None => Ok((Bytes::new(), None)),
    }
}
