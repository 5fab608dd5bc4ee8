//! Ranges of the log that were read back from the disk for followers that lag, and those that raft asked for meanwhile.
//!
//! A window is what one follower needs next, so there is one for each of several; the one used least lately makes room. Must
//! never keep an entry that the log has replaced.

use raft::{Entry, Index};
use std::collections::VecDeque;

/// Windows kept. More members than this may lag and still all get on: a window that comes is used up at once.
const WINDOWS: usize = 8;

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct LogWindows {
    /// Consecutive entries each, none empty; the one used last at the end.
    windows: VecDeque<Vec<Entry>>,
    /// First indices that raft asked for and nobody was asked for yet.
    wanted: Vec<Index>,
    /// First indices that are being read.
    reading: Vec<Index>,
}

impl LogWindows {
    /// Entries `lo..hi` as far as a window has them: at least one, and no more than fit into `max_bytes` behind the first. When
    /// no window has `lo`, it is noted as wanted.
    pub(super) fn read(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Option<Vec<Entry>> {
        let Some(at) = self.windows.iter().position(|window| offset(window, lo).is_some()) else {
            if !self.wanted.contains(&lo) && !self.reading.contains(&lo) {
                self.wanted.push(lo);
            }
            return None;
        };
        let window = self.windows.remove(at).expect("just found");
        let from = offset(&window, lo).expect("just found");
        let most = ((hi - lo) as usize).min(window.len() - from);
        let fitting = raft::fitting(&window[from..from + most], max_bytes);
        let out = window[from..from + fitting].to_vec();
        self.windows.push_back(window);
        Some(out)
    }

    /// First indices to be read now. They count as asked until [`Self::answer`] comes for each, or [`Self::retract`].
    pub(super) fn take_wanted(&mut self) -> Vec<Index> {
        let wanted = std::mem::take(&mut self.wanted);
        self.reading.extend(&wanted);
        wanted
    }

    /// One of those could not be asked for: raft will want it again.
    pub(super) fn retract(&mut self, lo: Index) {
        self.reading.retain(|reading| *reading != lo);
    }

    /// What was read from `lo` on; nothing when it could not be read any more.
    pub(super) fn answer(&mut self, lo: Index, entries: Vec<Entry>) {
        self.retract(lo);
        if entries.is_empty() {
            return;
        }
        while self.windows.len() >= WINDOWS {
            self.windows.pop_front();
        }
        self.windows.push_back(entries);
    }

    /// The log was cut at `first`: what stood there is no longer in it.
    pub(super) fn cut(&mut self, first: Index) {
        for window in &mut self.windows {
            window.truncate(window.partition_point(|entry| entry.index < first));
        }
        self.windows.retain(|window| !window.is_empty());
    }

    /// Entries up to `index` were forgotten.
    pub(super) fn compact(&mut self, index: Index) {
        self.windows.retain(|window| window.last().is_some_and(|last| last.index > index));
    }

    /// Encoded bytes of all windows.
    pub(super) fn bytes(&self) -> u64 {
        self.windows.iter().flatten().map(Entry::encoded_len).sum()
    }
}

/// Where a window has entry `index`.
fn offset(window: &[Entry], index: Index) -> Option<usize> {
    let first = window.first()?.index;
    let at = index.checked_sub(first)? as usize;
    (at < window.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::EntryKind;

    fn entries(from: Index, to: Index) -> Vec<Entry> {
        (from..=to).map(|index| Entry { term: 1, index, kind: EntryKind::Normal, data: Default::default() }).collect()
    }

    fn indices(read: Option<Vec<Entry>>) -> Vec<Index> {
        read.unwrap_or_default().iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn what_is_not_there_is_wanted_once_until_it_comes() {
        let mut windows = LogWindows::default();
        assert!(windows.read(5, 9, u64::MAX).is_none());
        assert!(windows.read(5, 9, u64::MAX).is_none());
        assert_eq!(windows.take_wanted(), [5]);
        assert!(windows.read(5, 9, u64::MAX).is_none());
        assert!(windows.take_wanted().is_empty(), "it is being read");
        windows.answer(5, entries(5, 7));
        assert_eq!(indices(windows.read(5, 9, u64::MAX)), [5, 6, 7]);
        assert_eq!(indices(windows.read(6, 7, u64::MAX)), [6]);
        assert_eq!(indices(windows.read(6, 9, 1)), [6], "one at least, whatever the limit");
        assert!(windows.read(8, 9, u64::MAX).is_none());
        assert_eq!(windows.take_wanted(), [8]);
        windows.retract(8);
        assert!(windows.read(8, 9, u64::MAX).is_none());
        assert_eq!(windows.take_wanted(), [8]);
    }

    #[test]
    fn followers_at_different_places_do_not_push_each_other_out() {
        let mut windows = LogWindows::default();
        for from in [100, 200, 300, 400] {
            windows.answer(from, entries(from, from + 9));
        }
        for from in [100, 200, 300, 400] {
            assert_eq!(indices(windows.read(from, from + 2, u64::MAX)), [from, from + 1]);
        }
    }

    #[test]
    fn the_window_used_least_lately_makes_room() {
        let mut windows = LogWindows::default();
        for n in 1..=WINDOWS as u64 {
            windows.answer(n * 100, entries(n * 100, n * 100));
        }
        windows.read(100, 101, u64::MAX);
        windows.answer(1, entries(1, 1));
        assert!(windows.read(100, 101, u64::MAX).is_some());
        assert!(windows.read(200, 201, u64::MAX).is_none());
    }

    #[test]
    fn replaced_and_forgotten_entries_are_dropped() {
        let mut windows = LogWindows::default();
        windows.answer(5, entries(5, 9));
        windows.cut(8);
        assert_eq!(indices(windows.read(5, 20, u64::MAX)), [5, 6, 7]);
        windows.compact(7);
        assert_eq!(windows.bytes(), 0);
        windows.answer(20, entries(20, 22));
        windows.cut(20);
        assert_eq!(windows.bytes(), 0);
    }
}
