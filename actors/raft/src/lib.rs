//! Sans-IO raft: messages, ticks and completions in, work out. No clock, no randomness, no thread, no socket.
//!
//! - Inputs are calls on [`Node`]. Each runs to completion; afterwards [`Node::has_ready`] says whether there is work.
//! - Work comes in four parts that are taken separately, so that none waits for another: messages to send now, granted
//!   reads, an [`Append`] for the log, an [`Apply`] for the state machine. ([`Ready`] is all four at once.) Append and
//!   apply carry a token that comes back when they are done, and an append carries the messages that may only
//!   go out once it is durable.
//! - Appends are written, and their tokens given back, in order; so are applies. Between the two there is no order: only
//!   durable entries are handed out for applying.
//! - Invariants have names, see [`invariant`]; a broken one panics.
//!
//! Feature `serde` derives its traits for [`Message`], [`Snapshot`] and everything in them. How to build a replicated
//! program on this crate is told in `docs/raft.md`, with `bin/raftexample` as the program.

/// The crate's page, whose example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadMe;

pub mod changer;
pub mod confchange;
pub mod confchange_codec;
pub mod config;
pub mod error;
pub mod inflights;
pub mod invariant;
pub mod memory;
pub mod message;
pub mod node;
pub mod progress;
pub mod quorum;
pub mod ready;
pub mod restore;
pub mod status;
pub mod storage;
pub mod trace;
pub mod tracker;
pub mod types;

mod candidate;
mod follower;
mod leader;
mod log;
mod membership;
mod propose;
mod read_index;
mod read_index_queue;
mod replicate;
mod role;
#[cfg(feature = "serde")]
mod serde_bytes;
mod step;
mod take_ready;
mod transfer;
mod unstable;

pub use confchange::{AnyConfChange, ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, Transition};
pub use config::{Config, ConfigError, NO_LIMIT, ReadOnly};
pub use error::{ProposalDropped, StepError};
pub use memory::MemoryStorage;
pub use message::{Body, Message, MessageKind, Proposal, VoteRequest};
pub use node::{Node, Proposed};
pub use progress::{Progress, ProgressMap, ProgressState};
pub use ready::{Append, AppliedToken, Apply, PersistedToken, Ready};
pub use restore::next_membership;
pub use status::{BasicStatus, Status};
pub use storage::{Storage, StorageError};
pub use trace::{NoTrace, Trace, TraceEvent};
pub use types::*;
