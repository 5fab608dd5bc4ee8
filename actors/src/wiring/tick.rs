//! Ticker → raft core (etcd's tickc).

/// Time passed. Coalesced: `count` ticks at once after a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// How many heartbeat intervals passed since the last one.
    pub count: u32,
}
