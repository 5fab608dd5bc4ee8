//! `make chaos`: real processes under random faults, with a history that is judged.
//!
//! | file | idea |
//! |---|---|
//! | [`plan`] | which fault comes when: it follows from the seed |
//! | [`network`], [`cluster`], [`faults`] | the members, and what is done to them |
//! | [`client`] | a client that goes to another member, or stays |
//! | [`load`], [`leases`], [`users`], [`watching`] | who works with the cluster meanwhile |
//! | [`linear`] | the judge of histories |
//! | [`run`] | the rounds, what must hold after each, and the table |
//!
//! Must never call something right that was not looked at: what could not be judged is counted and printed.

pub mod client;
pub mod cluster;
pub mod faults;
pub mod leases;
pub mod linear;
#[cfg(test)]
mod linear_tests;
pub mod load;
pub mod network;
pub mod plan;
pub mod run;
pub mod users;
pub mod watching;
