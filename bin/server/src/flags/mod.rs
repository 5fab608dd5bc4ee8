//! Flags, environment and configuration file, as etcd reads them. One table describes every flag.
//!
//! Must never act on a flag: what a value means is decided in `settings`.

pub mod env;
pub mod file;
pub mod gates;
pub mod given;
pub mod help;
pub mod parse;
pub mod spec;
pub mod syntax;
pub mod table;
mod table_cluster;
pub mod table_legacy;
mod table_security;
pub mod value;
mod yaml;

pub use given::Given;
pub use parse::{Command, FlagError};

#[cfg(test)]
mod doc_tests;
