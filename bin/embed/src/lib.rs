//! Run a Conclave node inside a host's actix system.
//!
//! ```no_run
//! # async fn host() -> Result<(), Box<dyn std::error::Error>> {
//! let node = embed::Node::start(embed::Config::new("n1", "/var/lib/my-app/conclave")).await?;
//! let client = node.client();
//! let reason = node.stopped().await;
//! # Ok(()) }
//! ```
//!
//! The node makes its own arbiters and threads and owns them. Nothing global is installed: several nodes fit in one system.

mod alarms;
mod auto_compaction;
pub mod bootstrap;
pub mod budgets;
mod certificates;
pub mod client;
mod cluster_version;
pub mod config;
mod corruption;
mod disk_monitor;
mod founding;
pub mod listen;
pub mod node;
#[cfg(test)]
mod node_tests;
pub mod peers;
mod publish;
mod thread_guard;
pub mod tokens;
mod v2_expiry;
pub mod version;

pub use actors::death_watch::{ExitCell, NodeExit};
pub use bootstrap::holds_member;
pub use client::{Client, ClientError, Watch};
pub use config::{AutoCompaction, Config, CorruptionChecks, InitialState, LocalNetwork, PeerNetwork};
pub use messages::propose::MAX_COMMAND_BYTES;
pub use model::SnapshotFormat;
pub use net::http::process_page;
pub use node::{Node, StartError};
pub use storage::member::{InitialMember, member_id, own_member, parse_cluster};
