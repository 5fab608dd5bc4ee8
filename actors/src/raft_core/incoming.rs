//! The snapshot that is about to replace this member's store, as far as it has come. Must hold no more than one.

use crate::wiring::snapshots::StagedStore;
use raft::Index;

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// Raft was told of it, and has not asked for it to be installed yet.
    pub(super) staged: Option<StagedStore>,
    /// The append that installs one, and where it leads.
    pub(super) installing: Option<(u64, Index)>,
}
