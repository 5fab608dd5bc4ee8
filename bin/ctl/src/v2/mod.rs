//! The tool of the v2 API: `ETCDCTL_API=2 conclavectl`, with the commands, output and exit codes of etcdctl 3.3.
//!
//! | file | |
//! |---|---|
//! | [`api`] | requests over HTTP: endpoints in turn, Basic authentication, errors as the API tells them |
//! | [`answer`], [`go_json`] | answers, and how they are printed |
//! | [`keys`], [`watch`] | commands about keys |
//! | [`members`], [`health`], [`users`], [`roles`] | commands about the cluster, users and roles |
//! | [`root`] | all commands and the global flags |
//!
//! Must never fall back to the v3 API: the two know nothing of each other's keys.

mod answer;
mod api;
mod go_json;
mod health;
mod keys;
mod members;
mod roles;
pub mod root;
mod users;
mod watch;

/// Whether the environment asks for this API.
pub fn is_asked_for() -> bool {
    std::env::var_os("ETCDCTL_API").is_some_and(|version| version == "2")
}
