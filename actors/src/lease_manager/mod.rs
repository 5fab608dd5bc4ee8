//! The lease manager: keeps the deadlines of leases while its member leads, and proposes their revocation.
//!
//! | file | idea |
//! |---|---|
//! | `table` | the leases and their deadlines |
//! | `confirmation` | whether leadership was confirmed a moment ago |
//! | `service` | who asked, what is proposed, what waits |
//! | `actor` | the shell: mailbox, clock, timer |
//!
//! All but `actor` is pure. Must never answer a renewal that another leader might not know of.

pub mod actor;
mod confirmation;
pub mod service;
pub mod table;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod table_tests;

pub use self::actor::{LeaseManager, LeaseParts, LeaseSink, StopLeases};
pub use self::service::{LeaseService, LeaseServiceParts};
pub use self::table::{LeaseCounts, Leases, Renewal, Revoke, StoredLease};
