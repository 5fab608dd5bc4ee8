//! The transport over real loopback sockets, several members in one process.
//!
//! Times are patience, not promises: a test waits for what must come, and fails when it does not.

mod both_ways;
mod bulk;
mod calls;
mod harness;
mod hostile;
mod lanes;
mod local;
mod membership;
mod paths;
mod restarts;
mod trust;
