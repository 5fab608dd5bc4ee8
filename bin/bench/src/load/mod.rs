//! Applying load: who sends when, which keys, and what is done with each outcome.
//!
//! Must not know what a request means.

mod drive;
pub mod keys;
mod pacer;
pub mod rng;

pub use drive::{Plan, Tickets, drive};
pub use pacer::Pacer;
