//! What survives a crash of a simulated member: its log, and how far its state machine is.
//!
//! Shared with the core by a handle, because the core owns its storage and is thrown away by a crash.

use std::cell::RefCell;
use std::rc::Rc;

use raft::{
    Append, ConfState, Entry, HardState, Index, LogId, MemoryStorage, NodeId, Snapshot, SnapshotMeta, Storage,
    StorageError, Term,
};

/// Durable state.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) log: MemoryStorage,
    /// Last entry of the state machine, and the membership there.
    pub(crate) applied: LogId,
    pub(crate) membership: ConfState,
    /// Reads that are answered "not now" before one succeeds.
    pub(crate) slow_reads: u32,
    pub(crate) missed_reads: bool,
}

/// See the file header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(pub(crate) Rc<RefCell<Durable>>);

impl Disk {
    /// The disk of a founding member. The first membership is a snapshot: whoever joins later must not get the log
    /// without it.
    pub(crate) fn with_voters(voters: &[NodeId]) -> Self {
        let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
        let start = LogId { term: 1, index: 1 };
        let meta = SnapshotMeta { conf_state: conf_state.clone(), index: start.index, term: start.term };
        let mut log = MemoryStorage::new();
        log.apply_snapshot(Snapshot { meta, ..Snapshot::default() });
        log.set_hard_state(HardState { term: 1, vote: 0, commit: 1 });
        Disk(Rc::new(RefCell::new(Durable { log, applied: start, membership: conf_state, ..Durable::default() })))
    }

    /// Makes an append durable.
    pub(crate) fn write(&self, append: &Append) {
        let mut durable = self.0.borrow_mut();
        if let Some(snapshot) = &append.snapshot {
            durable.log.apply_snapshot(snapshot.clone());
            durable.applied = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
            durable.membership = snapshot.meta.conf_state.clone();
        }
        durable.log.append(&append.entries);
        if let Some(hard_state) = append.hard_state {
            assert!(hard_state.term >= durable.log.hard_state().term, "a durable term never moves back");
            durable.log.set_hard_state(hard_state);
        }
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> (HardState, ConfState) {
        let durable = self.0.borrow();
        (durable.log.hard_state(), durable.membership.clone())
    }

    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        let mut durable = self.0.borrow_mut();
        if durable.slow_reads > 0 {
            durable.slow_reads -= 1;
            durable.missed_reads = true;
            return Err(StorageError::TemporarilyUnavailable);
        }
        durable.log.entries(lo, hi, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.0.borrow().log.term(index)
    }

    fn first_index(&self) -> Index {
        self.0.borrow().log.first_index()
    }

    fn last_index(&self) -> Index {
        self.0.borrow().log.last_index()
    }

    fn snapshot(&mut self, _: NodeId) -> Result<Snapshot, StorageError> {
        let mut durable = self.0.borrow_mut();
        if durable.slow_reads > 0 {
            durable.slow_reads -= 1;
            return Err(StorageError::TemporarilyUnavailable);
        }
        let LogId { term, index } = durable.applied;
        let meta = SnapshotMeta { conf_state: durable.membership.clone(), index, term };
        Ok(Snapshot { meta, ..Snapshot::default() })
    }
}
