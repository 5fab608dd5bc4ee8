//! Who may do what: users, roles, permissions, and the rules of etcd for them. Plain functions of replicated state.
//!
//! | file | |
//! |---|---|
//! | [`intervals`] | a set of keys as a union of intervals |
//! | [`state`] | users and roles, and what a caller may do |
//! | [`txn`] | what a transaction needs |
//! | [`commands`] | what commands do to users and roles |
//! | [`rows`] | the rows that keep all of it |
//!
//! Must never see a password or a signed token, know what time it is, or decide by anything but the entry and this state.

pub mod commands;
pub mod intervals;
pub mod rows;
pub mod state;
pub mod txn;

#[cfg(test)]
mod commands_tests;
#[cfg(test)]
mod state_tests;

pub use commands::{AuthChange, TokenChange};
pub use state::{Access, AuthState};
