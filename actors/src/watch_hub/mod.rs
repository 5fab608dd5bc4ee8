//! The watch hub: turns one ordered log of events into watch streams of any number of clients.
//!
//! | file | idea |
//! |---|---|
//! | `core` | requests, positions, promises of progress |
//! | `floor` | watchers and streams, credit, frames |
//! | `catch_up` | ring, shared scans of the store, what was missed |
//! | `huge` | revisions that are too large for memory |
//! | `log` | events in memory, encoded once |
//! | `index` | who watches a key |
//! | `key_set` | which keys a scan is about |
//! | `logs` | the store as the hub reads it |
//! | `actor` | the shell |
//!
//! All but `actor` is pure. Must never block on the store or a client.

pub mod actor;
mod catch_up;
pub mod core;
mod encode;
mod floor;
mod huge;
mod index;
mod key_set;
mod log;
pub mod logs;
mod slab;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod bench_tests;
#[cfg(test)]
mod core_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod testing;

pub use self::actor::{HubParts, Restored, WatchHub};
pub use self::core::{Hub, HubConfig, HubCounts, Position};
pub use key_set::KeySet;
pub use log::{Prev, Stored, StoredRevision};
pub use logs::{Done, LogChunk, LogPart, LogReadError, LogReads, Reader, Work};
