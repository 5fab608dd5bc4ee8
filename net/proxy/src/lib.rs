//! The two proxies that stand before a cluster, and the connections to its members that they use.
//!
//! * [`gateway`] passes TCP connections on to members that live.
//! * [`server`] answers gRPC calls: watchers of one range share a watch at the cluster, renewals of one lease share a call, serializable
//!   reads are kept until a write passes through. Everything else goes on as it came.
//! * [`upstream`] is the connections alone, for whoever asks a cluster something.
//!
//! Must never read flags or the environment, and never exit the process: that is the daemon's.

mod calls;
mod cluster;
pub mod config;
pub mod gateway;
mod kv;
mod leader;
mod lease;
mod namespace;
mod pages;
pub mod server;
pub mod upstream;
mod watch;
