//! Sans-IO raft: messages and ticks in, a [`Ready`](types) out. No clock, no randomness, no thread, no socket.

pub mod types;

pub use types::*;
