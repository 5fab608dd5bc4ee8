//! The lease manager: keeps the deadlines of leases while its member leads, and proposes their revocation.
//!
//! | file | idea |
//! |---|---|
//! | `table` | the leases and their deadlines |
//! | `checkpoints`, `checkpoint_plan` | how much time of long leases is noted in the log: what is known, when it is due |
//! | `confirmation` | whether leadership was confirmed a moment ago |
//! | `waiting` | a question that cannot be answered yet |
//! | `forwarding` | what a member that does not lead passes on to the leader |
//! | `service` | who asked, what is proposed, what waits |
//! | `peer_asks` | what other members ask of the leader |
//! | `actor` | the shell: mailbox, clock, timer |
//!
//! All but `actor` is pure. Must never answer a renewal that another leader might not know of.

pub mod actor;
mod checkpoint_plan;
mod checkpoints;
mod confirmation;
pub mod forwarding;
mod peer_asks;
pub mod service;
pub mod table;
mod waiting;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod forwarding_tests;
#[cfg(test)]
mod handover_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod table_tests;

pub use self::actor::{LeaseManager, LeaseParts, LeaseSink, StopLeases};
pub use self::forwarding::{LeaderAnswer, LeaderAnswered, LeaderCall, LeaderCalls, LeaderQuestion, NoLeaderCalls};
pub use self::service::{LeaseService, LeaseServiceParts};
pub use self::table::{LeaseCounts, Leases, Renewal, Revoke};
pub use crate::wiring::leases::StoredLease;
