//! Live migration: copies a running cluster into another one, follows it, and says when writers may be switched.
//!
//! Everything goes through the public API of both sides. Where it has come to is written into the destination, in the same
//! transactions as the data (docs/adr/0078-live-migration.md), so any party may be killed at any time. Must never write over what
//! somebody else has written to the destination, unless it was told to.

mod batch;
mod cluster;
mod compare;
mod copy;
mod destination;
mod error;
mod finish;
mod follow;
mod job;
mod leases;
mod options;
mod pages;
mod passwords;
mod repair;
mod report;
mod run;
mod state;
mod users;

pub use cluster::Cluster;
pub use options::Options;
pub use passwords::Passwords;
pub use run::run;
