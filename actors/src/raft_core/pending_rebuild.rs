//! A rebuild of the store between its order and its end, and members that want this one's store. Plain data.
//!
//! Must hold no more than one store.

use crate::wiring::snapshots::StagedStore;
use messages::{SinkId, Token};
use raft::{Index, NodeId};
use std::collections::BTreeMap;

/// What a rebuild has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The applier holds; the leader is asked. When that began, and when it was asked last.
    Fetching { since: u64, asked: Option<u64> },
    /// The applier was given the store.
    Swapping,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    pub(super) phase: Option<Phase>,
    pub(super) waiting: Vec<(SinkId, Token)>,
    /// The member must not go on without it.
    pub(super) is_required: bool,
    /// The store that has come, and the append behind which everything that it holds is in the log for good.
    pub(super) staged: Option<(StagedStore, Option<u64>)>,
    /// As a leader: members that want the store, behind which entry, and since when.
    pub(super) wanted: BTreeMap<NodeId, (Index, u64)>,
}
