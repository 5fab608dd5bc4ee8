//! The commands, one file per group, and the tree they hang in.

pub mod alarm;
pub mod auth;
pub mod check;
pub mod compaction;
pub mod completion;
pub mod defrag;
pub mod del;
pub mod downgrade;
pub mod elect;
pub mod endpoint;
pub mod get;
pub mod global;
pub mod lease;
pub mod lock;
pub mod make_mirror;
pub mod member;
pub mod migrate;
pub mod move_leader;
pub mod options;
pub mod put;
pub mod rebuild;
pub mod role;
pub mod root;
pub mod session;
pub mod snapshot;
pub mod txn;
pub mod txn_line;
pub mod user;
pub mod version;
pub mod watch;
pub mod watch_line;

/// Turns an async function into what a [`crate::cli::spec::Command`] runs.
#[macro_export]
macro_rules! run {
    ($function:path) => {
        Some(|input| Box::pin($function(input)))
    };
}
