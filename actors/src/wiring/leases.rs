//! Applier, raft core → lease manager.

use storage::apply::{LeaseChange, LeaseRow};

/// Applier → lease manager, after the view was published.
#[derive(Clone, Debug)]
pub struct LeasesAdvanced {
    /// In log order.
    pub changes: Vec<LeaseChange>,
}

/// Applier → lease manager, after a snapshot replaced the store: all leases there are now.
#[derive(Clone, Debug)]
pub struct LeasesRestored {
    /// Id and row of each.
    pub leases: Vec<(i64, LeaseRow)>,
}

/// Raft core → lease manager: this member began or stopped to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChanged {
    /// Leads, and has applied the first entry of its term.
    pub leading: bool,
    /// The term.
    pub term: u64,
}

impl actix::Message for LeasesAdvanced {
    type Result = ();
}

impl actix::Message for LeasesRestored {
    type Result = ();
}

impl actix::Message for RoleChanged {
    type Result = ();
}
