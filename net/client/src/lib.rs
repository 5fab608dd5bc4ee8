//! A client of etcd's API, for Conclave and etcd alike.
//!
//! ```
//! # harness::examples::on_member(async |endpoint| {
//! use conclave_client::Client;
//!
//! let client = Client::connect([endpoint]).await?;
//! client.put("greeting", "hello").await?;
//! let found = client.get("greeting").await?;
//! assert_eq!(found.value(), Some(&b"hello"[..]));
//! # Ok(())
//! # });
//! ```
//!
//! | you want | look at |
//! |---|---|
//! | several endpoints, TLS, users, timeouts | [`Client::builder`] |
//! | keys | [`Client::get`], [`put`](Client::put), [`delete`](Client::delete), [`txn`](Client::txn) |
//! | every change, without gap or repetition | [`Client::watch`] |
//! | keys that go when a process dies | [`Client::grant`], [`Lease::keep_alive`] |
//! | one process at a time, or a few | [`Session`] with [`Mutex`], [`Semaphore`] |
//! | a leader | [`Election`] |
//! | to begin or end together | [`Barrier`], [`DoubleBarrier`] |
//! | work handed out once | [`Queue`], [`PriorityQueue`] |
//! | code that reads and writes as if it were alone | [`Client::transaction`] |
//! | reads that cost nothing | [`LeasingCache`] |
//! | keys below a prefix | [`Client::namespace`] |
//! | a copy of the store in a file | [`Client::save_snapshot`] |
//! | members, their state and health, users and roles | [`Client::members`], [`Client::status`], [`Client::health`], [`Client::auth`] |
//!
//! What happens when servers die: a read is sent again, to the next member. A write is sent again only when it certainly has not
//! arrived; any other failure is told, and [`Error::is_uncertain`] says whether it may have been carried out. A watch goes on
//! at the next member behind the last revision it has handed out. A lease is renewed until the time that the last renewal gave
//! is over. Keys of locks, elections, barriers and queues are those of etcd's clients: both kinds wait for each other.
//!
//! Must never decide for the caller that an uncertain write was, or was not, carried out.

mod auth;
mod barrier;
mod blob;
mod client;
mod cluster;
mod double_barrier;
mod election;
mod error;
mod keep_alive;
mod kv;
mod lease;
mod leasing;
mod line;
mod maintenance;
mod mutex;
mod namespace;
mod priority_queue;
mod queue;
pub mod range;
mod recipe_error;
mod semaphore;
mod session;
mod snapshot;
mod snapshot_sum;
mod stm;
pub mod transport;
mod watch;

pub use api::mvccpb::KeyValue;
pub use auth::{Access, Auth};
pub use barrier::Barrier;
pub use blob::IntoBytes;
pub use client::{Builder, Client};
pub use cluster::Member;
pub use double_barrier::DoubleBarrier;
pub use election::{Election, Leadership, Observer};
pub use error::{Code, Error, Reason, Refusal};
pub use keep_alive::KeepAlive;
pub use kv::{
    Compare, Compared, Delete, Deleted, Get, Op, OpDone, Order, Pending, Put, PutDone, SortBy, Txn, TxnDone, Values,
};
pub use lease::{Lease, LeaseState};
pub use leasing::LeasingCache;
pub use maintenance::{AlarmMember, Hash, Status};
pub use mutex::{Guard, Mutex};
pub use priority_queue::PriorityQueue;
pub use queue::Queue;
pub use recipe_error::RecipeError;
pub use semaphore::{Permit, Semaphore};
pub use session::Session;
pub use snapshot::{Saved, SnapshotError};
pub use snapshot_sum::{SnapshotSum, SnapshotSumError};
pub use stm::{Committed, Isolation, StmError, Transaction};
pub use watch::{Changes, Event, EventKind, Watch, WatchError, Watcher};
