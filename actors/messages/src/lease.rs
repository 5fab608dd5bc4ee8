//! Applier, client, raft core → lease manager.

use crate::reply::{SinkId, Token};

/// A replicated change of the lease table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Granted with this TTL in seconds.
    Granted {
        /// The lease.
        id: i64,
        /// Seconds.
        ttl: i64,
    },
    /// Revoked.
    Revoked {
        /// The lease.
        id: i64,
    },
    /// Remaining TTL noted; zero clears it.
    Checkpoint {
        /// The lease.
        id: i64,
        /// Seconds.
        remaining: i64,
    },
}

/// Applier → lease manager, after the view was published.
#[derive(Clone, Debug)]
pub struct LeasesAdvanced {
    /// In log order.
    pub changes: Vec<LeaseChange>,
}

/// Raft core → lease manager: this member began or stopped to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChanged {
    /// Leads, and has applied the first entry of its term.
    pub leading: bool,
    /// The term.
    pub term: u64,
}

/// What a client wants of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAsk {
    /// Keep it alive.
    Renew {
        /// The lease.
        id: i64,
    },
    /// Granted and remaining TTL.
    TimeToLive {
        /// The lease.
        id: i64,
    },
    /// All ids, ordered by expiry.
    List,
}

/// Client → lease manager: one list per connection thread and round.
#[derive(Clone, Debug)]
pub struct LeaseRequests {
    /// Where the answers go.
    pub sink: SinkId,
    /// The calls.
    pub asks: Vec<(Token, LeaseAsk)>,
}

/// Answer of the lease manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// Renewed with this TTL; zero when there is no such lease.
    Renewed {
        /// Seconds.
        ttl: i64,
    },
    /// Granted and remaining seconds; `None` when there is no such lease.
    TimeToLive(Option<(i64, i64)>),
    /// Ids by expiry.
    List(Vec<i64>),
}

impl actix::Message for LeasesAdvanced {
    type Result = ();
}

impl actix::Message for RoleChanged {
    type Result = ();
}

impl actix::Message for LeaseRequests {
    type Result = ();
}
