//! The log of a member: what is durable, as its storage shows it, and the unstable tail.
//!
//! Knows positions and terms, nothing of roles or peers. Invariant RI-1: `applied <= applying <= committed <= last`.

use crate::storage::{Storage, StorageError};
use crate::trace::LogScene;
use crate::types::{Entry, EntryKind, Index, LogId, NodeId, Snapshot, Term, encoded_len};
use crate::unstable::{StableOutcome, Truncation, Unstable};

/// See the file header.
pub(crate) struct RaftLog<S> {
    storage: S,
    unstable: Unstable,
    /// Highest index known to be durable on a quorum.
    committed: Index,
    /// Highest index handed out for applying.
    applying: Index,
    /// Highest index reported applied.
    applied: Index,
    /// Limit on encoded bytes handed out and not reported applied.
    max_applying_size: u64,
    applying_size: u64,
    /// The limit is reached, or would be by the next entry.
    applying_paused: bool,
    /// The next entries to apply are being fetched.
    applying_waits: bool,
}

/// Result of appending what a leader sent.
pub(crate) enum Appended {
    /// The entry before the first is not here.
    Mismatch,
    /// The log now equals the leader's up to `last`.
    Matched {
        last: Index,
        /// First own entry that differed, and its term (zero if there was none), and the leader's term.
        conflict: Option<(Index, Term, Term)>,
        truncation: Truncation,
    },
}

impl<S: Storage> RaftLog<S> {
    pub(crate) fn new(storage: S, max_applying_size: u64) -> Self {
        let before_first = storage.first_index() - 1;
        let end = storage.last_index() + 1;
        RaftLog {
            storage,
            unstable: Unstable::new(end),
            committed: before_first,
            applying: before_first,
            applied: before_first,
            max_applying_size,
            applying_size: 0,
            applying_paused: false,
            applying_waits: false,
        }
    }

    pub(crate) fn storage(&self) -> &S {
        &self.storage
    }

    pub(crate) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    pub(crate) fn unstable(&self) -> &Unstable {
        &self.unstable
    }

    pub(crate) fn committed(&self) -> Index {
        self.committed
    }

    pub(crate) fn applying(&self) -> Index {
        self.applying
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    pub(crate) fn first_index(&self) -> Index {
        self.unstable.snapshot().map_or_else(|| self.storage.first_index(), |s| s.meta.index + 1)
    }

    pub(crate) fn last_index(&self) -> Index {
        self.unstable.last_index().unwrap_or_else(|| self.storage.last_index())
    }

    pub(crate) fn last_id(&self) -> LogId {
        let index = self.last_index();
        let term = self.term(index);
        LogId { term: term.expect("RI-3 the term of the last entry is known"), index }
    }

    /// Term of entry `index`; known for `first_index - 1 ..= last_index`.
    pub(crate) fn term(&self, index: Index) -> Result<Term, StorageError> {
        if let Some(term) = self.unstable.term(index) {
            return Ok(term);
        }
        if index > self.last_index() {
            return Err(StorageError::Unavailable);
        }
        if index + 1 < self.first_index() {
            return Err(StorageError::Compacted);
        }
        self.storage.term(index)
    }

    pub(crate) fn matches(&self, id: LogId) -> bool {
        self.term(id.index) == Ok(id.term)
    }

    /// Whether a log that ends in `other` has at least what this one has.
    pub(crate) fn is_up_to_date(&self, other: LogId) -> bool {
        let own = self.last_id();
        (other.term, other.index) >= (own.term, own.index)
    }

    pub(crate) fn scene(&self) -> LogScene {
        LogScene {
            committed: self.committed,
            applied: self.applied,
            applying: self.applying,
            offset: self.unstable.offset(),
            offset_in_progress: self.unstable.offset_in_progress(),
            unstable: self.unstable.len(),
        }
    }

    // ---- growing ----------------------------------------------------------------------------------------------------

    /// Appends entries of the own term, whose indexes follow the last.
    pub(crate) fn append_own(&mut self, entries: impl IntoIterator<Item = Entry>) -> Index {
        let first = self.last_index() + 1;
        let truncation = self.unstable.append(entries, first);
        assert!(truncation == Truncation::None, "RI-13 a leader never overwrites its own log");
        self.last_index()
    }

    /// Appends what a leader sent after `prev`, and commits up to `commit` or the end of it.
    pub(crate) fn append_from_leader(&mut self, prev: LogId, mut entries: Vec<Entry>, commit: Index) -> Appended {
        if !self.matches(prev) {
            return Appended::Mismatch;
        }
        let last = prev.index + entries.len() as u64;
        let mut conflict = None;
        let mut truncation = Truncation::None;
        let differs = entries.iter().position(|e| !self.matches(LogId { term: e.term, index: e.index }));
        if let Some(at) = differs {
            let (index, term) = (entries[at].index, entries[at].term);
            assert!(index == prev.index + 1 + at as u64, "RI-3 entries of a message are consecutive");
            assert!(index > self.committed, "RI-2 a committed entry is never overwritten");
            if index <= self.last_index() {
                conflict = Some((index, self.term(index).unwrap_or(0), term));
            }
            truncation = self.unstable.append(entries.drain(at..), index);
        }
        self.commit_to(commit.min(last));
        Appended::Matched { last, conflict, truncation }
    }

    /// Highest (index, term) at or before `index` whose term is at most `term`; term zero if it is not known. A log
    /// cannot meet another at an index where its own term is higher than that of the other.
    pub(crate) fn find_conflict_by_term(&self, index: Index, term: Term) -> (Index, Term) {
        for at in (1..=index).rev() {
            match self.term(at) {
                Ok(own) if own > term => {}
                own => return (at, own.unwrap_or(0)),
            }
        }
        (0, 0)
    }

    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        assert!(snapshot.meta.index > self.committed, "RI-2 a snapshot never takes back what is committed");
        self.committed = snapshot.meta.index;
        self.unstable.restore(snapshot);
    }

    // ---- committing -------------------------------------------------------------------------------------------------

    pub(crate) fn commit_to(&mut self, index: Index) {
        if index > self.committed {
            assert!(index <= self.last_index(), "RI-1 committed <= last: was the log corrupted, truncated, or lost?");
            self.committed = index;
        }
    }

    // ---- becoming durable -------------------------------------------------------------------------------------------

    pub(crate) fn has_next_unstable(&self) -> bool {
        self.unstable.has_next()
    }

    pub(crate) fn has_unstable_entries(&self) -> bool {
        self.unstable.len() > 0
    }

    pub(crate) fn take_unstable(&mut self) -> (Vec<Entry>, Option<Snapshot>) {
        self.unstable.take_next()
    }

    pub(crate) fn stable_to(&mut self, id: LogId) -> StableOutcome {
        self.unstable.stable_to(id)
    }

    pub(crate) fn stable_snapshot_to(&mut self, index: Index) {
        self.unstable.stable_snapshot_to(index);
    }

    // ---- applying ---------------------------------------------------------------------------------------------------

    fn max_appliable(&self, allow_unstable: bool) -> Index {
        if allow_unstable { self.committed } else { self.committed.min(self.unstable.offset() - 1) }
    }

    pub(crate) fn has_next_committed(&self, allow_unstable: bool) -> bool {
        !self.applying_paused
            && !self.applying_waits
            && self.unstable.snapshot().is_none()
            && self.applying < self.max_appliable(allow_unstable)
    }

    /// Next entries to apply, within the size limit.
    pub(crate) fn next_committed(&mut self, allow_unstable: bool) -> Vec<Entry> {
        if !self.has_next_committed(allow_unstable) {
            return Vec::new();
        }
        let (lo, hi) = (self.applying + 1, self.max_appliable(allow_unstable) + 1);
        match self.slice(lo, hi, self.max_applying_size - self.applying_size) {
            Ok(entries) => entries,
            Err(StorageError::TemporarilyUnavailable) => {
                self.applying_waits = true;
                Vec::new()
            }
            Err(why) => {
                panic!("RI-2 entries {lo}..{hi} are committed and not applied, so they must be readable: {why}")
            }
        }
    }

    pub(crate) fn resume_apply(&mut self) {
        self.applying_waits = false;
    }

    pub(crate) fn accept_applying(&mut self, index: Index, size: u64, allow_unstable: bool) {
        assert!(self.applying < index && index <= self.committed, "RI-1 applying <= committed");
        self.applying = index;
        self.applying_size += size;
        // Entries that were held back are held back because of the limit.
        self.applying_paused =
            self.applying_size >= self.max_applying_size || index < self.max_appliable(allow_unstable);
    }

    pub(crate) fn applied_to(&mut self, index: Index, size: u64) {
        assert!(self.applied <= index && index <= self.committed, "RI-1 applied <= committed, and never moves back");
        self.applied = index;
        self.applying = self.applying.max(index);
        self.applying_size = self.applying_size.saturating_sub(size);
        self.applying_paused = self.applying_size >= self.max_applying_size;
    }

    /// Whether a membership change is committed and not applied; also true if that cannot be told now.
    pub(crate) fn has_unapplied_conf_change(&mut self) -> bool {
        let mut lo = self.applied + 1;
        while lo <= self.committed {
            let Ok(entries) = self.slice(lo, self.committed + 1, self.max_applying_size) else {
                return true;
            };
            if entries.iter().any(|e| e.kind != EntryKind::Normal) {
                return true;
            }
            lo += entries.len() as u64;
        }
        false
    }

    // ---- reading ----------------------------------------------------------------------------------------------------

    /// Entries from `lo` on, at most `max` encoded bytes, at least one if there is any.
    pub(crate) fn entries(&mut self, lo: Index, max: u64) -> Result<Vec<Entry>, StorageError> {
        let last = self.last_index();
        if lo > last { Ok(Vec::new()) } else { self.slice(lo, last + 1, max) }
    }

    /// A snapshot to send to `peer`.
    pub(crate) fn snapshot_for(&mut self, peer: NodeId) -> Result<Snapshot, StorageError> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.storage.snapshot(peer),
        }
    }

    fn slice(&mut self, lo: Index, hi: Index, max: u64) -> Result<Vec<Entry>, StorageError> {
        assert!(lo <= hi && hi <= self.last_index() + 1, "RI-3 a slice lies within the log");
        if lo < self.first_index() {
            return Err(StorageError::Compacted);
        }
        let offset = self.unstable.offset();
        if lo >= offset {
            return Ok(self.unstable.slice_within(lo, hi, max));
        }
        let cut = hi.min(offset);
        let mut entries = match self.storage.entries(lo, cut, max) {
            Err(StorageError::Unavailable) => panic!("RI-3 entries {lo}..{cut} are durable, so storage has them"),
            other => other?,
        };
        assert!(entries.first().is_some_and(|e| e.index == lo), "RI-3 storage returns the entries that were asked for");
        // Shorter than asked for means that the next entry would pass the limit.
        if hi <= offset || (entries.len() as u64) < cut - lo {
            return Ok(entries);
        }
        let size = if max == u64::MAX { 0 } else { encoded_len(&entries) };
        if size < max {
            let rest = self.unstable.slice_within(offset, hi, max - size);
            let only_over_limit = rest.len() == 1 && max != u64::MAX && size + rest[0].encoded_len() > max;
            if !only_over_limit {
                entries.extend(rest);
            }
        }
        Ok(entries)
    }
}
