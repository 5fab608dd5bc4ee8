//! The watch hub: turns one ordered log of events into watch streams of any number of clients.
//!
//! Each file uses only files below it in this table.
//!
//! | file | idea |
//! |---|---|
//! | `actor` | the shell: an actor, its reader threads, its timer |
//! | `hub` | requests, positions, and what follows from what was read; the only file that sees all parts |
//! | `catch_up` | shared scans of the store for watchers that are behind |
//! | `head` | how far the hub has got, and the newest events in memory |
//! | `delivery` | events are offered, gathered and sent as frames |
//! | `progress` | who is to be told of progress |
//! | `registry` | watchers and streams, and the state of each watcher |
//! | `pending` | new events that wait until the hub has read up to them |
//! | `flow_control` | credit of streams, and the budget that they share |
//! | `jobs` | what reader threads do for the hub |
//! | `oversized` | batches that are too large for memory: measured, then pulled |
//! | `span` | batches of several revisions, for clients that take fragments |
//! | `batch` | what is in such a batch |
//! | `event_log` | events in memory, encoded once |
//! | `source` | the store as the hub reads it |
//! | `encode` | bytes of an event in a response |
//! | `index` | who watches a key |
//! | `key_set` | which keys a scan is about |
//! | `slots` | numbers of watchers and streams |
//! | `config` | sizes, times, positions, counts |
//!
//! All but `actor` is pure. Must never block on the store or a client.

pub mod actor;
mod batch;
mod catch_up;
mod config;
mod delivery;
mod encode;
mod event_log;
mod flow_control;
mod head;
pub mod hub;
mod index;
mod jobs;
mod key_set;
mod oversized;
mod pending;
mod progress;
mod registry;
mod slots;
mod source;
mod span;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod bench_tests;
#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod testing;

pub use self::actor::{HubParts, WatchHub};
pub use self::config::{HubConfig, HubCounts, Position};
pub use self::hub::Hub;
pub use event_log::{PrevKv, PrevKvAsk, PrevKvFound, StoredEvent, StoredRevision};
pub use jobs::{LogJob, LogRead, PrevKvsRead, ReadDone, ReadJob, Reader};
pub use key_set::KeySet;
pub use oversized::{MeasureJob, MeasuredBatches};
pub use source::{LogChunk, LogPart, LogReadError, LogReads};
