//! The blocks a writer saw lately: their bounds and counts, so that most changes need no seek.
//!
//! Bounded in bytes, whatever the number of keys. Must always equal the rows as of the last batch: only the one writer of
//! `cnt` may keep such a memo.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// A block as the writer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Start of the next block; `None` for the last.
    pub(super) end: Option<Bytes>,
    /// Living keys.
    pub(super) keys: u64,
    /// What its row says, `None` when it has none yet.
    pub(super) row: Option<u64>,
}

impl Block {
    /// True when `key`, which is at or behind its start, belongs to it.
    pub(super) fn reaches(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|end| key < &end[..])
    }
}

/// Blocks by start.
pub(super) type Blocks = BTreeMap<Bytes, Block>;

/// The block of `blocks` that owns `key`.
pub(super) fn owner<'b>(blocks: &'b Blocks, key: &[u8]) -> Option<(&'b Bytes, &'b Block)> {
    let floor = blocks.range::<[u8], _>((Unbounded, Included(key))).next_back();
    floor.filter(|(_, block)| block.reaches(key))
}

/// Moves the end of the block before `dropped`, when it is among `blocks`.
pub(super) fn extend(blocks: &mut Blocks, dropped: &Bytes, end: &Option<Bytes>) -> bool {
    let before = blocks.range_mut::<[u8], _>((Unbounded, Excluded(&dropped[..]))).next_back();
    let Some((_, block)) = before.filter(|(_, block)| block.end.as_ref() == Some(dropped)) else { return false };
    block.end.clone_from(end);
    true
}

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

    /// Takes out the block that owns `key`.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<(Bytes, Block)> {
        if let Some((start, block)) = owner(&self.young, key) {
            self.young_bytes -= cost(start, block);
            let start = start.clone();
            return self.young.remove_entry(&start);
        }
        let start = owner(&self.old, key)?.0.clone();
        self.old.remove_entry(&start)
    }

    /// Puts a block (back) in; its start is not in the memo.
    pub(super) fn put(&mut self, start: Bytes, block: Block) {
        self.young_bytes += cost(&start, &block);
        self.young.insert(start, block);
        if self.young_bytes > self.budget / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    /// Tells the block before a dropped one that it now reaches further.
    pub(super) fn extend(&mut self, dropped: &Bytes, end: &Option<Bytes>) {
        let len = |end: &Option<Bytes>| end.as_ref().map_or(0, Bytes::len);
        if extend(&mut self.young, dropped, end) {
            self.young_bytes = self.young_bytes + len(end) - dropped.len();
        }
        extend(&mut self.old, dropped, end);
    }

    /// Bytes in both generations, roughly.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.young.iter().chain(&self.old).map(|(start, block)| cost(start, block)).sum()
    }
}

fn cost(start: &Bytes, block: &Block) -> usize {
    160 + start.len() + block.end.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let name = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
        let block = |n: u32| Block { end: Some(name(n + 1)), keys: 1, row: Some(1) };
        let mut memo = Memo::new(10_000);
        for n in 0..10_000 {
            memo.put(name(n), block(n));
            assert!(memo.bytes() <= 10_000 + 2 * cost(&name(n), &block(n)));
            let (start, used) = memo.take(&name(0)).expect("used all the time");
            memo.put(start, used);
        }
        assert!(memo.take(&name(5)).is_none());
    }
}
