//! The tail of the log that is not known to be durable, and a snapshot on its way in.
//!
//! What was handed out for writing stays readable here until it is durable. Must never drop an entry that an append
//! still in flight could overwrite on disk. Invariant RI-3: `offset <= offset_in_progress <= end`.

use std::collections::VecDeque;

use crate::types::{Entry, Index, LogId, Snapshot, Term};

/// Entry `i` of `entries` has index `offset + i`; `offset` may lie before the end of the durable log, which the next
/// append then cuts.
#[derive(Debug)]
pub(crate) struct Unstable {
    snapshot: Option<Snapshot>,
    snapshot_in_progress: bool,
    entries: VecDeque<Entry>,
    offset: Index,
    /// Entries before this index have been handed out.
    offset_in_progress: Index,
}

/// What appending did to entries that were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncation {
    /// Nothing.
    None,
    /// All of them, and durable ones from this index on, are replaced.
    Replaced(Index),
    /// Those from this index on are replaced.
    Truncated(Index),
}

/// What became of a report that entries are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StableOutcome {
    /// They were released.
    Released,
    /// They are not here any more.
    Missing,
    /// The index is where the snapshot ends.
    IsSnapshot,
    /// An entry of another term is here now.
    Mismatch(Term),
}

impl Unstable {
    pub(crate) fn new(offset: Index) -> Self {
        Unstable {
            snapshot: None,
            snapshot_in_progress: false,
            entries: VecDeque::new(),
            offset,
            offset_in_progress: offset,
        }
    }

    pub(crate) fn offset(&self) -> Index {
        self.offset
    }

    pub(crate) fn offset_in_progress(&self) -> Index {
        self.offset_in_progress
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Index of a snapshot that is not handed out yet.
    pub(crate) fn snapshot_to_hand_out(&self) -> Option<Index> {
        self.snapshot.as_ref().filter(|_| !self.snapshot_in_progress).map(|snapshot| snapshot.meta.index)
    }

    pub(crate) fn end(&self) -> Index {
        self.offset + self.entries.len() as u64
    }

    pub(crate) fn last_index(&self) -> Option<Index> {
        match (&self.snapshot, self.entries.is_empty()) {
            (_, false) => Some(self.end() - 1),
            (Some(snapshot), true) => Some(snapshot.meta.index),
            (None, true) => None,
        }
    }

    pub(crate) fn term(&self, index: Index) -> Option<Term> {
        if index < self.offset {
            return self.snapshot.as_ref().filter(|s| s.meta.index == index).map(|s| s.meta.term);
        }
        self.entries.get((index - self.offset) as usize).map(|entry| entry.term)
    }

    pub(crate) fn has_next(&self) -> bool {
        self.offset_in_progress < self.end() || (self.snapshot.is_some() && !self.snapshot_in_progress)
    }

    /// Hands out what was not yet.
    pub(crate) fn take_next(&mut self) -> (Vec<Entry>, Option<Snapshot>) {
        let entries = self.slice(self.offset_in_progress, self.end());
        self.offset_in_progress = self.end();
        let snapshot = if self.snapshot_in_progress { None } else { self.snapshot.clone() };
        self.snapshot_in_progress = self.snapshot.is_some();
        (entries, snapshot)
    }

    /// Releases entries up to `id`. Only to be called when no append in flight can overwrite them any more.
    pub(crate) fn stable_to(&mut self, id: LogId) -> StableOutcome {
        let Some(term) = self.term(id.index) else {
            return StableOutcome::Missing;
        };
        if id.index < self.offset {
            return StableOutcome::IsSnapshot;
        }
        if term != id.term {
            return StableOutcome::Mismatch(term);
        }
        self.entries.drain(..(id.index + 1 - self.offset) as usize);
        self.offset = id.index + 1;
        self.offset_in_progress = self.offset_in_progress.max(self.offset);
        StableOutcome::Released
    }

    pub(crate) fn stable_snapshot_to(&mut self, index: Index) {
        if self.snapshot.as_ref().is_some_and(|s| s.meta.index == index) {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        *self = Unstable::new(snapshot.meta.index + 1);
        self.snapshot = Some(snapshot);
    }

    /// Appends entries, cutting what is there from their first index on.
    pub(crate) fn append(&mut self, entries: impl IntoIterator<Item = Entry>, first: Index) -> Truncation {
        let truncation = if first == self.end() {
            Truncation::None
        } else if first <= self.offset {
            self.entries.clear();
            self.offset = first;
            self.offset_in_progress = first;
            Truncation::Replaced(first)
        } else {
            assert!(first < self.end(), "RI-3 the log has no gaps");
            self.entries.truncate((first - self.offset) as usize);
            self.offset_in_progress = self.offset_in_progress.min(first);
            Truncation::Truncated(first)
        };
        self.entries.extend(entries);
        truncation
    }

    /// Entries `lo..hi`, all of which must be here.
    pub(crate) fn slice(&self, lo: Index, hi: Index) -> Vec<Entry> {
        self.slice_within(lo, hi, u64::MAX)
    }

    /// As [`slice`](Self::slice), but only what fits into `max` encoded bytes; at least one.
    pub(crate) fn slice_within(&self, lo: Index, hi: Index, max: u64) -> Vec<Entry> {
        assert!(self.offset <= lo && lo <= hi && hi <= self.end(), "RI-3 a slice lies within the unstable log");
        let range = (lo - self.offset) as usize..(hi - self.offset) as usize;
        if max == u64::MAX {
            return self.entries.range(range).cloned().collect();
        }
        let mut size = 0u64;
        let mut slice = Vec::new();
        for entry in self.entries.range(range) {
            size = size.saturating_add(entry.encoded_len());
            if size > max && !slice.is_empty() {
                break;
            }
            slice.push(entry.clone());
        }
        slice
    }
}
