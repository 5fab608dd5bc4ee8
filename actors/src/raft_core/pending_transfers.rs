//! Who waits for another leader. Values only.

use crossbeam_channel::Sender;
use messages::{SinkId, Token};
use raft::NodeId;

/// A client waits for a new leader.
#[derive(Debug)]
pub(super) struct PendingTransfer {
    pub(super) sink: SinkId,
    pub(super) token: Token,
    pub(super) target: NodeId,
    /// Tick at which it is given up.
    pub(super) deadline: u64,
}

/// Who waits for a new leader.
#[derive(Debug, Default)]
pub(super) struct PendingTransfers {
    pub(super) moving: Vec<PendingTransfer>,
    /// This member is about to stop: it must not lead any more.
    pub(super) leaving: bool,
    /// Told who leads instead.
    pub(super) left: Option<Sender<NodeId>>,
}
