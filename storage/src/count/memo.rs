//! The blocks a writer saw lately: their bounds and counts, so that most changes need no seek.
//!
//! Bounded in bytes, whatever the number of keys. Must always equal the rows as of the last batch: only the one writer of
//! `cnt` may keep such a memo.

use super::rows::BlockRow;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// A block as the writer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Start of the next block; `None` for the last.
    pub(super) end: Option<Bytes>,
    /// What it holds.
    pub(super) now: BlockRow,
    /// What its row says, `None` when it has none yet.
    pub(super) row: Option<BlockRow>,
    /// Touched by the batch in progress.
    pub(super) touched: bool,
}

type Blocks = BTreeMap<Bytes, Block>;

/// Two generations: what is used moves to the young one, and when that is full the old one is forgotten.
#[derive(Debug)]
pub(super) struct Memo {
    young: Blocks,
    old: Blocks,
    young_bytes: usize,
    budget: usize,
}

impl Memo {
    /// Of at most about `budget` bytes.
    pub(super) fn new(budget: usize) -> Self {
        Self { young: Blocks::new(), old: Blocks::new(), young_bytes: 0, budget }
    }

    /// Hands the block that owns `key` and its start to `change`; `None` when it is not known.
    pub(super) fn with_owner<T>(&mut self, key: &[u8], change: impl FnOnce(&Bytes, &mut Block) -> T) -> Option<T> {
        if let Some((start, block)) = owner(&mut self.young, key) {
            return Some(change(start, block));
        }
        let start = owner(&mut self.old, key)?.0.clone();
        let (start, mut block) = self.old.remove_entry(&start)?;
        let out = change(&start, &mut block);
        self.put(start, block);
        Some(out)
    }

    /// Adds a block that is not known.
    pub(super) fn put(&mut self, start: Bytes, block: Block) {
        self.young_bytes += cost(&start, &block);
        self.young.insert(start, block);
    }

    /// Removes a block that the batch in progress has touched.
    pub(super) fn remove(&mut self, start: &Bytes) -> Block {
        let (start, block) = self.young.remove_entry(start).expect("what is touched is young");
        self.young_bytes -= cost(&start, &block);
        block
    }

    /// Changes the end of a block, and so what it costs.
    pub(super) fn set_end(&mut self, start: &Bytes, end: Option<Bytes>) {
        let block = self.young.get_mut(start).expect("what is touched is young");
        self.young_bytes -= cost(start, block);
        block.end = end;
        self.young_bytes += cost(start, block);
    }

    /// Start of the block that ends where `start` begins, if it is known. It is young afterwards.
    pub(super) fn before(&mut self, start: &Bytes) -> Option<Bytes> {
        let is_before = |block: &Block| block.end.as_ref() == Some(start);
        if let Some((before, _)) = below(&mut self.young, start).filter(|(_, block)| is_before(block)) {
            return Some(before.clone());
        }
        let (before, _) = below(&mut self.old, start).filter(|(_, block)| is_before(block))?;
        let before = before.clone();
        let (before, block) = self.old.remove_entry(&before)?;
        self.put(before.clone(), block);
        Some(before)
    }

    /// To be called between batches: forgets the old generation when the young one is full.
    pub(super) fn turn(&mut self) {
        if self.young_bytes > self.budget / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    /// Bytes in both generations, roughly.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.young.iter().chain(&self.old).map(|(start, block)| cost(start, block)).sum()
    }
}

/// The block of `blocks` that owns `key`.
fn owner<'b>(blocks: &'b mut Blocks, key: &[u8]) -> Option<(&'b Bytes, &'b mut Block)> {
    let floor = blocks.range_mut::<[u8], _>((Unbounded, Included(key))).next_back();
    floor.filter(|(_, block)| block.end.as_ref().is_none_or(|end| key < &end[..]))
}

/// The last of `blocks` that starts before `key`.
fn below<'b>(blocks: &'b mut Blocks, key: &[u8]) -> Option<(&'b Bytes, &'b mut Block)> {
    blocks.range_mut::<[u8], _>((Unbounded, Excluded(key))).next_back()
}

fn cost(start: &Bytes, block: &Block) -> usize {
    200 + start.len() + block.end.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let name = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
        let one = BlockRow { keys: 1, ..BlockRow::default() };
        let block = |n: u32| Block { end: Some(name(n + 1)), now: one, row: Some(one), touched: false };
        let mut memo = Memo::new(10_000);
        for n in 0..10_000 {
            memo.put(name(n), block(n));
            memo.turn();
            assert!(memo.bytes() <= 10_000 + 2 * cost(&name(n), &block(n)));
            assert_eq!(memo.with_owner(&name(0), |start, _| start.clone()), Some(name(0)), "used all the time");
        }
        assert!(memo.with_owner(&name(5), |_, _| ()).is_none());
        for n in (1..10_000).rev() {
            if let Some(before) = memo.before(&name(n)) {
                memo.set_end(&before, None);
            }
        }
        assert_eq!(memo.young_bytes, memo.young.iter().map(|(start, block)| cost(start, block)).sum::<usize>());
    }
}
