//! The snapshot that is about to replace this member's store, as far as it has come. Must hold no more than one.

use crate::wiring::snapshots::StagedStore;
use raft::Index;
use std::sync::Arc;
use storage::apply::Membership;

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Raft was told of it, and has not asked for it to be installed yet.
    pub(super) staged: Option<StagedStore>,
    /// The one that is being installed.
    pub(super) installing: Option<Installing>,
}

/// An install that is under way.
#[derive(Debug)]
pub(super) struct Installing {
    /// Number of the append that carries it.
    pub(super) sequence: u64,
    /// Where it leads.
    pub(super) index: Index,
    /// Who the members are there.
    pub(super) membership: Arc<Membership>,
    /// Its running hash.
    pub(super) hash: Option<u64>,
}
