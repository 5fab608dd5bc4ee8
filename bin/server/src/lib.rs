//! What of the daemon can be called as a function: the reading of flags, variables and the configuration file, the rule that turns
//! them into a memory budget, and the rules of the registry of a new cluster.
//!
//! For the daemon itself, and for tests that feed it anything. Must never hold state or touch what is global.

pub mod flags;
pub mod memory;
pub mod registry;
