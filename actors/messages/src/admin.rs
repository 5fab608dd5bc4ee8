//! Admin → owner: jobs that run one at a time, and the orders that stop a node.

use crate::reply::{SinkId, Token};

/// A job of a client that may take minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Open a stream of the whole store for a client.
    OpenSnapshot,
    /// Give back the space of garbage.
    Defragment,
}

/// Client → admin jobs. One job at a time; others wait, and are answered `Busy` when too many do.
#[derive(Clone, Copy, Debug)]
pub struct RunJob {
    /// Where the answer goes.
    pub sink: SinkId,
    /// The call.
    pub token: Token,
    /// What to do.
    pub job: Job,
}

/// What the snapshotter is asked.
#[derive(Debug)]
pub enum ToSnapshotter {
    /// So many entries were applied since the last flush: make the store durable and tell the core how far.
    Flush,
    /// Zero-fill a segment for the WAL writer.
    Prepare(Box<dyn std::any::Any + Send>),
    /// End.
    Stop,
}

/// Admin → raft core.
#[derive(Clone, Copy, Debug)]
pub enum Control {
    /// Hand leadership to another voter.
    MoveLeader {
        /// Where the answer goes.
        sink: SinkId,
        /// The call.
        token: Token,
        /// The voter.
        target: u64,
    },
    /// Take no more proposals; answer what waits; end.
    Stop,
}
