//! Peers → raft core (etcd's recvc).

use crate::peer::Held;

/// Messages of peers. Control (votes, heartbeats) and data (appends, snapshots) arrive on separate queues, so that a
/// heartbeat never sits behind an append. Dropped and counted when a queue is full: raft tolerates it.
#[derive(Debug)]
pub struct Receive {
    /// Checked messages, in arrival order.
    pub messages: Vec<raft::Message>,
    /// Their share of what the peer may have in flight; given back when they were handled.
    pub held: Held,
}
