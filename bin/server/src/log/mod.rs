//! Logs as etcd writes them: one JSON object per line with `level`, `ts`, `caller`, `msg`, then fields.
//!
//! Must never colour a line, never write a line that is no JSON object (in JSON format), never fail the caller, and never let it
//! wait for an output.

pub mod format;
pub mod layer;
pub mod logger;
pub mod panic;
mod queue;
pub mod rotate;
pub mod sink;

pub use format::{Format, Level};
pub use logger::Logger;
