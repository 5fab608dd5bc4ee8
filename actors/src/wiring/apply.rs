//! Raft core, WAL writer → applier (etcd's applyc).

use crate::wiring::snapshots::StagedStore;
use messages::{SinkId, Token};
use raft::Entry;

/// A committed entry on its way into the store.
#[derive(Clone, Debug)]
pub struct CommittedEntry {
    /// The entry.
    pub entry: Entry,
    /// Who waits for it, when it was proposed by this run of this member. Nobody for a conf change: the core answers it.
    pub waiter: Option<(SinkId, Token)>,
}

/// Committed entries, ascending without gaps.
#[derive(Clone, Debug)]
pub struct ApplyBatch {
    /// Number of the batch, ascending; acknowledged by `advance::AppliedUpTo`.
    pub sequence: u64,
    /// The entries.
    pub entries: Vec<CommittedEntry>,
}

/// What the applier is asked.
#[derive(Debug)]
pub enum ToApplier {
    /// Apply.
    Apply(ApplyBatch),
    /// The log has recorded that this store replaces the present one: swap. Nothing is under way to be applied then.
    Install(StagedStore),
    /// The store is about to be rebuilt: keep what is to be applied until then.
    Hold,
    /// The store that was sent to rebuild this one: swap, then apply what is kept.
    Rebuild(StagedStore),
    /// It is not rebuilt after all: apply what is kept.
    Resume,
    /// Apply what is queued, answer who waits, and end. The store is flushed when it is closed.
    Stop,
}
