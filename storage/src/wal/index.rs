//! Where entries lie: a sparse index of marks, published whole to readers.
//!
//! Must never grow with the number of entries: a mark stands for many batches.

use std::sync::Arc;

use arc_swap::ArcSwap;
use raft::Index;

/// From this batch on, entries with indexes from `first` up to the next mark's `first` follow in order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) first: Index,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// What a reader may rely on: all of it is durable.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) marks: Arc<Vec<Mark>>,
    /// Last durable entry; zero before the first.
    pub(super) last: Index,
    /// First index that is not truncated.
    pub(super) first: Index,
    /// Oldest segment that is not released.
    pub(super) oldest: u64,
    /// The segment that is written, and where what is durable in it ends.
    pub(super) newest: u64,
    /// See `newest`.
    pub(super) end: u64,
}

impl View {
    /// Position of the mark that covers `index`.
    pub(super) fn covering(&self, index: Index) -> Option<usize> {
        self.marks.partition_point(|m| m.first <= index).checked_sub(1)
    }
}

/// A batch that holds entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Lowest index among the batch's entries.
    pub(super) first: Index,
    /// Index of its last entry.
    pub(super) last: Index,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// The writer's side of the index.
#[derive(Debug)]
pub(super) struct LogIndex {
    view: View,
    mark_every: u64,
    published: Arc<ArcSwap<View>>,
}

impl LogIndex {
    pub(super) fn new(mark_every: u64) -> Self {
        Self { view: View::default(), mark_every, published: Arc::default() }
    }

    /// Adds a batch. A batch that overwrites entries, or begins a segment or a stretch, gets a mark of its own, so that reading
    /// forward from any mark meets no entry that was replaced later.
    pub(super) fn add(&mut self, run: Run) {
        let marks = &self.view.marks;
        let follows = run.first == self.view.last + 1
            && marks.last().is_some_and(|m| m.segment == run.segment && run.offset < m.offset + self.mark_every);
        if !follows {
            let keep = marks.partition_point(|m| m.first < run.first);
            let marks = Arc::make_mut(&mut self.view.marks);
            marks.truncate(keep);
            marks.push(Mark { first: run.first, segment: run.segment, offset: run.offset });
        }
        self.view.last = run.last;
    }

    /// Forgets segments before `oldest`, and hides entries up to `truncated`.
    pub(super) fn release(&mut self, oldest: u64, truncated: Index) {
        self.view.first = truncated + 1;
        self.view.oldest = oldest;
        if self.view.marks.first().is_some_and(|m| m.segment < oldest) {
            Arc::make_mut(&mut self.view.marks).retain(|m| m.segment >= oldest);
        }
    }

    /// The log now begins and ends at `at`.
    pub(super) fn reset(&mut self, at: Index) {
        self.view = View { marks: Arc::default(), last: at, first: at + 1, ..self.view };
    }

    /// Shows readers everything added so far, which ends at `end` of the segment `newest`: to be called once it is durable.
    pub(super) fn publish(&mut self, newest: u64, end: u64) {
        (self.view.newest, self.view.end) = (newest, end);
        self.published.store(Arc::new(self.view.clone()));
    }

    pub(super) fn readers_side(&self) -> Arc<ArcSwap<View>> {
        self.published.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: Index, last: Index, segment: u64, offset: u64) -> Run {
        Run { first, last, segment, offset }
    }

    fn firsts(index: &LogIndex) -> Vec<(Index, u64)> {
        index.view.marks.iter().map(|m| (m.first, m.offset)).collect()
    }

    #[test]
    fn marks_are_sparse_but_every_overwrite_and_segment_has_one() {
        let mut index = LogIndex::new(10_000);
        index.add(run(1, 5, 1, 4096));
        index.add(run(6, 9, 1, 8192));
        assert_eq!(firsts(&index), [(1, 4096)]);
        index.add(run(10, 12, 1, 16384));
        assert_eq!(firsts(&index), [(1, 4096), (10, 16384)]);
        index.add(run(7, 7, 1, 20480));
        assert_eq!(firsts(&index), [(1, 4096), (7, 20480)], "what was replaced is covered no more");
        index.add(run(8, 20, 2, 4096));
        assert_eq!(firsts(&index), [(1, 4096), (7, 20480), (8, 4096)]);
        assert_eq!(index.view.covering(6), Some(0));
        assert_eq!(index.view.covering(7), Some(1));
        assert_eq!(index.view.covering(0), None);
        index.release(2, 8);
        assert_eq!((firsts(&index), index.view.first), (vec![(8, 4096)], 9));
        index.reset(50);
        assert_eq!((index.view.first, index.view.last), (51, 50));
    }
}
