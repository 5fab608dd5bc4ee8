//! Applier, raft core, other members → lease manager.

use crate::calls::Asked;
use crate::calls::kinds::{LeaseTimes, RenewLeases};
use raft::NodeId;
use storage::apply::LeaseChange;

/// Applier → lease manager, after the view was published.
#[derive(Clone, Debug)]
pub struct LeasesAdvanced {
    /// In log order.
    pub changes: Vec<LeaseChange>,
}

/// Raft core → lease manager: this member began or stopped to lead, or another one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChanged {
    /// Leads, and has applied the first entry of its term.
    pub leading: bool,
    /// The term.
    pub term: u64,
    /// Who leads, zero for nobody.
    pub leader: NodeId,
}

/// A lease as the store holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLease {
    /// Id.
    pub id: i64,
    /// Granted TTL in seconds.
    pub ttl: i64,
    /// Remaining seconds at the last checkpoint, zero for none.
    pub remaining: i64,
}

/// Whoever has put another store in place of the old one → lease manager: these are all leases there are now.
#[derive(Clone, Debug)]
pub struct RebuildLeases {
    /// All leases of the new store. Later changes come as [`LeasesAdvanced`].
    pub stored: Vec<StoredLease>,
}

/// Another member → lease manager: what its clients want of leases.
#[derive(Debug)]
pub enum LeaseCall {
    /// Keep leases alive.
    Renew(Asked<RenewLeases>),
    /// How long they have left.
    Times(Asked<LeaseTimes>),
}

impl actix::Message for LeasesAdvanced {
    type Result = ();
}

impl actix::Message for RoleChanged {
    type Result = ();
}

impl actix::Message for RebuildLeases {
    type Result = ();
}

impl actix::Message for LeaseCall {
    type Result = ();
}
