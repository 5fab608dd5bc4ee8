//! The actors: shells that own state and threads, around the pure cores of `raft` and `storage`.
//!
//! | owner | file | runs on | owns |
//! |---|---|---|---|
//! | raft core | [`raft_core`] | own thread | consensus state, who waits for what |
//! | log reader | [`log_reader`] | own thread, blocking | a reader of the log |
//! | WAL writer | [`wal_writer`] | own thread, blocking | log segments |
//! | applier | [`applier`] | own thread, blocking | the write side of the store |
//! | password pool | [`password_pool`] | two threads | nothing |
//! | reader pool | [`reader_pool`] | two threads | nothing |
//! | hasher | [`hasher`] | own thread | hashes of the newest compactions |
//! | flusher | [`flusher`] | own thread | flushes, the log's next segment |
//! | snapshotter | [`snapshotter`] | own thread | checkpoints for followers, stores that are received or replaced |
//! | maintenance jobs | [`maintenance_jobs`] | own thread | checkpoints, defragmentation |
//! | lease manager | [`lease_manager`] | own arbiter | expiry wheel |
//! | watch hub | [`watch_hub`] | own arbiter | watchers, cursors, event ring |
//! | ticker | [`ticker`] | own thread | nothing |
//! | kernel | [`kernel`] | caller | wiring, start and stop order, death watch |
//!
//! Messages between them are in [`wiring`]. Three things alone are shared: views published whole, counters, and the cell in
//! which the current store's engine is found. Must never know a socket or a flag.

pub mod applier;
pub mod applier_install;
mod applier_rebuild;
#[cfg(test)]
mod applier_tests;
mod apply_meter;
mod auth_reads;
pub mod calls;
pub mod cancellable;
pub mod clock;
pub mod closable_reads;
pub mod death_watch;
pub mod flusher;
pub mod hasher;
#[cfg(test)]
mod hasher_tests;
mod held_batches;
pub mod kernel;
pub mod lease_manager;
pub mod limits;
pub mod log_reader;
pub mod log_reads;
pub mod log_scrubber;
pub mod mailbox;
pub mod maintenance_jobs;
#[cfg(test)]
mod maintenance_jobs_tests;
#[cfg(test)]
mod memory_stores;
mod pace;
pub mod password_pool;
pub mod peer_inbox;
pub mod peers;
pub mod promotions;
pub mod raft_core;
pub mod reader_pool;
pub mod scrubber;
pub mod simple_tokens;
mod snapshot_streams;
pub mod snapshotter;
pub mod store_cell;
pub mod store_reads;
#[cfg(test)]
mod test_client;
pub mod ticker;
pub mod timer;
mod v2_reads;
#[cfg(test)]
mod wal_install_tests;
pub mod wal_writer;
pub mod watch_hub;
pub mod wiring;
