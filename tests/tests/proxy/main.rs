//! The proxies and discovery as processes, before daemons of one and of three members.
//!
//! Must never depend on another test: each has its own cluster and its own proxies.

mod discovery;
mod faults;
mod keys;
mod leasing;
mod program;
mod registry;
mod sharing;
