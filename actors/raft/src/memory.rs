//! A log in memory: for tests, simulators and as a model for real storages.
//!
//! Durable the moment it is written; must never lose or reorder anything by itself.

use crate::storage::{Storage, StorageError};
use crate::types::{ConfState, Entry, HardState, Index, LogId, NodeId, Snapshot, Term, fitting};

/// Entries after `before_first`, the hard state and the latest snapshot.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    hard_state: HardState,
    snapshot: Snapshot,
    before_first: LogId,
    entries: Vec<Entry>,
}

impl MemoryStorage {
    /// An empty log; its first entry will have index 1.
    pub fn new() -> Self {
        MemoryStorage::default()
    }

    /// An empty log of a group with the given voters, with nothing applied.
    pub fn with_voters(voters: &[NodeId]) -> Self {
        let mut storage = MemoryStorage::default();
        storage.snapshot.meta.conf_state.voters = voters.to_vec();
        storage
    }

    /// The hard state last written.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Writes the hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Replaces everything by a snapshot; false if it is not newer than the present one.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) -> bool {
        let (old, new) = (self.snapshot.meta.index, snapshot.meta.index);
        if old != 0 && old >= new {
            return false;
        }
        self.before_first = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        self.snapshot = snapshot;
        self.entries.clear();
        true
    }

    /// Sets the snapshot that is handed out, without touching the log.
    pub fn set_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
    }

    /// Drops entries up to `index`; false if they are gone already or not there yet.
    pub fn compact(&mut self, index: Index) -> bool {
        if index <= self.before_first.index || index > self.last_index() {
            return false;
        }
        let at = (index - self.before_first.index) as usize;
        self.before_first = LogId { term: self.entries[at - 1].term, index };
        self.entries.drain(..at);
        true
    }

    /// Writes entries, cutting the log at the first of them.
    pub fn append(&mut self, entries: &[Entry]) {
        let first = self.first_index();
        let skip = entries.iter().take_while(|e| e.index < first).count();
        let entries = &entries[skip..];
        let Some(start) = entries.first() else {
            return;
        };
        assert!(start.index <= self.last_index() + 1, "RI-3 the log has no gaps");
        self.entries.truncate((start.index - first) as usize);
        self.entries.extend_from_slice(entries);
    }

    /// All entries there are.
    pub fn all_entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Storage for MemoryStorage {
    fn initial_state(&self) -> (HardState, ConfState) {
        (self.hard_state, self.snapshot.meta.conf_state.clone())
    }

    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        let first = self.first_index();
        if lo < first {
            return Err(StorageError::Compacted);
        }
        if hi > self.last_index() + 1 {
            return Err(StorageError::Unavailable);
        }
        let range = &self.entries[(lo - first) as usize..(hi - first) as usize];
        Ok(range[..fitting(range, max_bytes)].to_vec())
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        match index.checked_sub(self.before_first.index) {
            None => Err(StorageError::Compacted),
            Some(0) => Ok(self.before_first.term),
            Some(at) => self.entries.get(at as usize - 1).map(|e| e.term).ok_or(StorageError::Unavailable),
        }
    }

    fn first_index(&self) -> Index {
        self.before_first.index + 1
    }

    fn last_index(&self) -> Index {
        self.before_first.index + self.entries.len() as u64
    }

    fn snapshot(&mut self, _: NodeId) -> Result<Snapshot, StorageError> {
        Ok(self.snapshot.clone())
    }
}
