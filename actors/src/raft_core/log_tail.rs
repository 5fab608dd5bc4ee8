//! The raft core's view of the durable log: a tail of entries in memory, and the terms of everything behind it.
//!
//! Must never read a disk: what is not in memory is "temporarily unavailable", and fetched by the log reader.

use super::log_windows::LogWindows;
use super::outgoing::Outgoing;
use raft::{ConfState, Entry, HardState, Index, NodeId, Snapshot, SnapshotMeta, Storage, StorageError, Term};
use std::collections::VecDeque;
use storage::boot::LogStart;

/// Consecutive indices of one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Index,
    term: Term,
}

/// Log as the core reads it.
#[derive(Debug)]
pub struct LogTail {
    hard_state: HardState,
    conf_state: ConfState,
    /// Index before the first readable one, and its term.
    compacted: (Index, Term),
    /// Term runs from `compacted` on, ascending.
    runs: VecDeque<Run>,
    /// Entries in memory; the last one is the last of the log.
    tail: VecDeque<Entry>,
    /// Encoded bytes of `tail`.
    tail_bytes: u64,
    /// What was read back for followers that need older entries.
    windows: LogWindows,
    last: Index,
    /// Bytes by which the log has grown since the start.
    appended: u64,
    /// Snapshots for followers that the log does not reach.
    pub(super) outgoing: Outgoing,
}

impl LogTail {
    /// From what log and store said at start.
    ///
    /// # Panics
    /// When the entries end before the log does (RI-LOG-GAPLESS).
    pub fn new(start: LogStart) -> Self {
        let LogStart { hard_state, conf_state, truncated, terms, last, entries } = start;
        assert!(entries.last().is_none_or(|e| e.index == last), "RI-LOG-GAPLESS: the tail ends before the log does");
        Self {
            hard_state,
            conf_state,
            compacted: (truncated.index, truncated.term),
            runs: terms.iter().map(|id| Run { first: id.index, term: id.term }).collect(),
            tail_bytes: entries.iter().map(Entry::encoded_len).sum(),
            tail: entries.into(),
            windows: LogWindows::default(),
            last,
            appended: 0,
            outgoing: Outgoing::default(),
        }
    }

    /// Adds entries, cutting the log at the first of them.
    ///
    /// # Panics
    /// When they leave a gap behind the last entry (RI-LOG-GAPLESS).
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(
            first.index > self.compacted.0 && first.index <= self.last + 1,
            "RI-LOG-GAPLESS: append at {} behind {}..={}",
            first.index,
            self.compacted.0,
            self.last
        );
        while self.tail.back().is_some_and(|e| e.index >= first.index) {
            let cut = self.tail.pop_back().expect("just seen");
            self.tail_bytes -= cut.encoded_len();
        }
        self.windows.cut(first.index);
        while self.runs.back().is_some_and(|r| r.first >= first.index) {
            self.runs.pop_back();
        }
        for entry in entries {
            if self.runs.back().is_none_or(|r| r.term != entry.term) {
                self.runs.push_back(Run { first: entry.index, term: entry.term });
            }
            let bytes = entry.encoded_len();
            self.tail_bytes += bytes;
            self.appended += bytes;
            self.tail.push_back(entry.clone());
        }
        self.last = entries.last().expect("not empty").index;
    }

    /// Drops entries from memory while there are more than `max_bytes` of them, but none above `applied`.
    pub fn trim(&mut self, applied: Index, max_bytes: u64) {
        while self.tail_bytes > max_bytes && self.tail.front().is_some_and(|e| e.index <= applied) {
            let dropped = self.tail.pop_front().expect("just seen");
            self.tail_bytes -= dropped.encoded_len();
        }
    }

    /// Forgets everything up to `index`, which is durable in the store.
    pub fn compact(&mut self, index: Index) {
        let index = index.min(self.last);
        if index <= self.compacted.0 {
            return;
        }
        let term = self.term(index).expect("inside the log");
        self.compacted = (index, term);
        self.windows.compact(index);
        while self.tail.front().is_some_and(|e| e.index <= index) {
            let dropped = self.tail.pop_front().expect("just seen");
            self.tail_bytes -= dropped.encoded_len();
        }
        while self.runs.get(1).is_some_and(|next| next.first <= index + 1) {
            self.runs.pop_front();
        }
    }

    /// A snapshot takes the place of the whole log, which goes on behind it.
    pub fn install(&mut self, meta: &SnapshotMeta) {
        self.compacted = (meta.index, meta.term);
        self.last = meta.index;
        self.runs.clear();
        self.tail.clear();
        self.tail_bytes = 0;
        // also what was ahead of it: that part of the log is another one now
        self.windows.cut(0);
    }

    /// Bytes by which the log has grown since the start.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// First index of the newest term in the log.
    pub fn first_of_last_term(&self) -> Index {
        self.runs.back().map_or(self.compacted.0, |run| run.first)
    }

    /// Encoded bytes of the entries in memory.
    pub fn bytes(&self) -> u64 {
        self.tail_bytes + self.windows.bytes()
    }

    /// First indices of ranges that raft asked for and that are not in memory. Each is to be answered by
    /// [`Self::loaded`], or given back by [`Self::not_loaded`].
    pub fn take_wanted(&mut self) -> Vec<Index> {
        self.windows.take_wanted()
    }

    /// A range could not be asked for now.
    pub fn not_loaded(&mut self, lo: Index) {
        self.windows.retract(lo);
    }

    /// A range was read back. Entries that the log has replaced or forgotten meanwhile are left out.
    pub fn loaded(&mut self, lo: Index, mut entries: Vec<Entry>) {
        let fits = |entry: &Entry| self.term(entry.index) == Ok(entry.term);
        let stale = entries.iter().position(|entry| !fits(entry)).unwrap_or(entries.len());
        entries.truncate(stale);
        self.windows.answer(lo, entries);
    }
}

impl Storage for LogTail {
    fn initial_state(&self) -> (HardState, ConfState) {
        (self.hard_state, self.conf_state.clone())
    }

    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        if lo <= self.compacted.0 {
            return Err(StorageError::Compacted);
        }
        if hi > self.last + 1 {
            return Err(StorageError::Unavailable);
        }
        let Some(front) = self.tail.front().map(|e| e.index).filter(|front| *front <= lo) else {
            return self.windows.read(lo, hi, max_bytes).ok_or(StorageError::TemporarilyUnavailable);
        };
        let mut out = Vec::new();
        let mut bytes = 0;
        for entry in self.tail.range((lo - front) as usize..(hi - front) as usize) {
            bytes += entry.encoded_len();
            if bytes > max_bytes && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        if index == self.compacted.0 {
            return Ok(self.compacted.1);
        }
        if index < self.compacted.0 {
            return Err(StorageError::Compacted);
        }
        if index > self.last {
            return Err(StorageError::Unavailable);
        }
        let at = self.runs.partition_point(|r| r.first <= index);
        Ok(self.runs[at - 1].term)
    }

    fn first_index(&self) -> Index {
        self.compacted.0 + 1
    }

    fn last_index(&self) -> Index {
        self.last
    }

    fn snapshot(&mut self, peer: NodeId) -> Result<Snapshot, StorageError> {
        // made by the snapshotter on demand; raft asks again when it next hears from the peer
        let first = self.first_index();
        self.outgoing.snapshot(peer, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft::{EntryKind, LogId};

    fn entry(index: Index, term: Term) -> Entry {
        Entry { term, index, kind: EntryKind::Normal, data: Bytes::from_static(b"0123456789") }
    }

    fn log() -> LogTail {
        let entries = vec![entry(6, 1), entry(7, 1), entry(8, 3), entry(9, 3), entry(10, 4)];
        let id = |term, index| LogId { term, index };
        let terms = vec![id(1, 6), id(3, 8), id(4, 10)];
        LogTail::new(LogStart { truncated: id(1, 5), terms, last: 10, entries, ..LogStart::default() })
    }

    #[test]
    fn terms_are_known_for_the_whole_log_even_when_entries_are_not() {
        let mut log = log();
        log.trim(9, 0);
        assert_eq!(log.entries(7, 9, u64::MAX), Err(StorageError::TemporarilyUnavailable));
        let terms: Vec<_> = (5..=10).map(|i| log.term(i).expect("in the log")).collect();
        assert_eq!(terms, [1, 1, 1, 3, 3, 4]);
        assert_eq!(log.term(4), Err(StorageError::Compacted));
        assert_eq!(log.term(11), Err(StorageError::Unavailable));
    }

    #[test]
    fn what_was_read_back_can_be_read_as_long_as_the_log_has_it() {
        let mut log = log();
        log.trim(10, 0);
        assert_eq!(log.entries(7, 11, u64::MAX), Err(StorageError::TemporarilyUnavailable));
        assert_eq!(log.take_wanted(), [7]);
        log.loaded(7, vec![entry(7, 1), entry(8, 3), entry(9, 3)]);
        assert_eq!(log.entries(7, 11, u64::MAX).expect("loaded").len(), 3);
        log.append(&[entry(9, 5)]);
        assert_eq!(log.entries(7, 9, u64::MAX).expect("still there").len(), 2);
        log.compact(8);
        assert_eq!(log.entries(8, 9, u64::MAX), Err(StorageError::Compacted));
    }

    #[test]
    fn entries_that_were_replaced_while_they_were_read_are_left_out() {
        let mut log = log();
        log.trim(10, 0);
        assert!(log.entries(6, 11, u64::MAX).is_err());
        log.append(&[entry(8, 5)]);
        log.loaded(6, vec![entry(6, 1), entry(7, 1), entry(8, 3), entry(9, 3)]);
        assert_eq!(log.entries(6, 8, u64::MAX).expect("loaded").iter().map(|e| e.index).collect::<Vec<_>>(), [6, 7]);
    }

    #[test]
    fn nothing_above_applied_leaves_memory() {
        let mut log = log();
        log.trim(7, 0);
        assert_eq!(log.entries(8, 11, u64::MAX).expect("kept").len(), 3);
    }

    #[test]
    fn an_overlapping_append_cuts_the_suffix() {
        let mut log = log();
        log.append(&[entry(8, 5)]);
        assert_eq!((log.last_index(), log.term(8)), (8, Ok(5)));
        assert_eq!(log.entries(6, 9, u64::MAX).expect("kept").iter().map(|e| e.term).collect::<Vec<_>>(), [1, 1, 5]);
    }

    #[test]
    fn compaction_keeps_the_term_of_the_last_forgotten_index() {
        let mut log = log();
        log.compact(8);
        assert_eq!((log.first_index(), log.term(8), log.term(9)), (9, Ok(3), Ok(3)));
        assert_eq!(log.entries(8, 9, u64::MAX), Err(StorageError::Compacted));
        log.compact(10);
        assert_eq!((log.first_index(), log.last_index(), log.term(10)), (11, 10, Ok(4)));
        log.append(&[entry(11, 4), entry(12, 6)]);
        assert_eq!((log.term(11), log.term(12)), (Ok(4), Ok(6)));
    }

    #[test]
    fn an_install_leaves_the_place_of_the_snapshot_and_nothing_before_it() {
        let mut log = log();
        log.trim(10, 0);
        assert!(log.entries(6, 11, u64::MAX).is_err());
        log.install(&SnapshotMeta { index: 50, term: 7, conf_state: ConfState::default() });
        assert_eq!((log.first_index(), log.last_index(), log.term(50)), (51, 50, Ok(7)));
        assert_eq!(log.term(49), Err(StorageError::Compacted));
        assert_eq!((log.bytes(), log.first_of_last_term()), (0, 50));
        // read for a follower before
        log.loaded(6, vec![entry(6, 1), entry(7, 1)]);
        assert_eq!(log.entries(6, 8, u64::MAX), Err(StorageError::Compacted));
        log.append(&[entry(51, 7), entry(52, 8)]);
        assert_eq!((log.term(51), log.term(52)), (Ok(7), Ok(8)));
    }

    #[test]
    fn at_least_one_entry_comes_whatever_the_limit() {
        assert_eq!(log().entries(6, 11, 1).expect("in memory").len(), 1);
    }

    #[test]
    #[should_panic(expected = "RI-LOG-GAPLESS")]
    fn a_gap_is_refused() {
        log().append(&[entry(12, 4)]);
    }
}
