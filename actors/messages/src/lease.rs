//! Client ↔ lease manager.

use crate::ids::{SinkId, Token};

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

impl actix::Message for LeaseRequests {
    type Result = ();
}
