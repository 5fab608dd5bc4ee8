//! The specification beside a server: a random stream of requests goes to both, and every answer is compared.
//!
//! Requests come in epochs, each with a keyspace of its own. KV requests run together in groups, which is both faster and a
//! harder question; the revision in each answer's header says where in the order it belongs, and there the specification is
//! asked. Everything else runs alone. Must never compare loosely without a name for it in [`rules`].

mod begin;
pub mod chance;
mod client;
mod epoch;
mod generate;
mod generate_txn;
mod group;
mod judge;
mod keys;
pub mod place;
mod plan;
mod requests;
pub mod rules;
mod run;
mod shrink;
pub mod step;
pub mod target;

pub use plan::Plan;
pub use run::{Outcome, run};
