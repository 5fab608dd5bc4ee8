//! The lease manager: keeps the deadlines of leases while its member leads, and proposes their revocation.
//!
//! | file | idea |
//! |---|---|
//! | `core` | the table and its deadlines |
//! | `contact` | whether leadership was confirmed a moment ago |
//! | `desk` | who asked, what is proposed |
//! | `actor` | the shell |
//! | `pulse` | a timer thread |
//!
//! All but `actor` and `pulse` is pure. Must never answer a renewal that another leader might not know of.

pub mod actor;
mod contact;
pub mod core;
pub mod desk;
pub mod pulse;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod core_tests;
#[cfg(test)]
mod model_tests;

pub use self::actor::{LeaseManager, LeaseParts, LeaseSink, StopLeases};
pub use self::core::{LeaseCounts, Leases, Renewal, Revoke, StoredLease};
pub use self::desk::{Desk, DeskParts};
