//! Raft core, flusher, applier → WAL writer (etcd's readyc). Completions travel with the work: what may only happen once the append
//! is durable is inside the append.

use crate::wiring::snapshots::StagedStore;
use raft::{Entry, HardState, Message};
use storage::wal::Prepared;

/// One append. Batches are written in order; several that wait together share one sync.
#[derive(Debug)]
pub struct AppendBatch {
    /// Number of the batch, ascending; acknowledged by `advance::Persisted`.
    pub sequence: u64,
    /// Entries to append (an index at or below the last one replaces the suffix).
    pub entries: Vec<Entry>,
    /// New hard state, when term or vote changed or entries come with it.
    pub hard_state: Option<HardState>,
    /// Whether anything here must be durable before `release`.
    pub must_sync: bool,
    /// Messages to peers that may only leave once this is durable.
    pub release: Vec<Message>,
    /// A snapshot that replaces log and store before the entries. Durable, for this batch and all behind it, is only what comes
    /// after the applier has swapped the store.
    pub install: Option<Box<StagedStore>>,
}

/// What the WAL writer is asked.
#[derive(Debug)]
pub enum ToWal {
    /// Append.
    Append(AppendBatch),
    /// Entries up to here are in the store for good: segments below may be recycled.
    Release {
        /// Last entry not needed any more.
        to: raft::LogId,
    },
    /// A zero-filled segment is ready, or could not be made (`None`: ask again).
    Prepared(Option<Prepared>),
    /// The applier has the store of the install that is under way.
    Installed,
    /// Write what is queued, sync, and end.
    Stop,
}
