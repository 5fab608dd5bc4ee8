//! Peers and ticker → raft core (etcd's recvc and tickc).

use crate::peer::HeldBytes;

/// Messages of peers. Control (votes, heartbeats) and data (appends, snapshots) arrive on separate queues, so that a
/// heartbeat never sits behind an append. Dropped and counted when a queue is full: raft tolerates it.
#[derive(Debug)]
pub struct Receive {
    /// Checked messages, in arrival order.
    pub messages: Vec<raft::Message>,
    /// Their bytes in the budget of the peer that sent them; given back when they were handled.
    pub held: Option<HeldBytes>,
}

/// Time passed. Coalesced: `count` ticks at once after a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// How many heartbeat intervals passed since the last one.
    pub count: u32,
}
