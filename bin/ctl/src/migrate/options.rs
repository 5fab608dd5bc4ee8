//! How a cluster is migrated, as the command line says it. Must never read a flag.

use super::passwords::Passwords;
use crate::client::Config;
use std::time::Duration;

/// See the file header.
pub struct Options {
    /// First revision whose changes are copied one by one; 0 for the oldest that the source has, none for no history at all.
    pub history: Option<i64>,
    /// Operations of one transaction, the one for the state included.
    pub max_ops: usize,
    /// Bytes of one transaction.
    pub max_bytes: usize,
    /// Whether each revision of the source becomes one of the destination.
    pub exact: bool,
    /// Whether what the destination holds may be overwritten.
    pub overwrite: bool,
    /// Ends when everything is there and equal, instead of following for ever.
    pub finish: bool,
    /// How long the source must not change before that.
    pub quiet: Duration,
    /// Pause between two lines about how far it is.
    pub report_every: Duration,
    /// Passwords of users.
    pub passwords: Passwords,
    /// Whether somebody logged in at the source.
    pub logged_in: bool,
    /// How the destination is connected to.
    pub destination: Config,
}
