//! The raft core's shell: owns the consensus state and who waits for it; its own thread.
//!
//! `inbox` orders what comes in, `core` turns each message into a call, `turn` hands out what raft wants done, `pending`
//! and `log_tail` are its memory. Must never wait for the disk, the store or a socket.

pub mod core;
pub mod inbox;
pub mod log_tail;
pub mod pending;
pub mod recover;
mod turn;

pub use core::{CoreConfig, CoreParts, RaftCore};
