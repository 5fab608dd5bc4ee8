//! TLS for every program: configurations from certificate files, followed as the files change.
//!
//! Listeners of clients and of peers, connections to peers and the tools all come here for what a certificate must fulfil.
//! Must never open a socket, and never fall back to plain text or to weaker checks.

mod auto;
mod der;
mod reload;
mod settings;

pub use settings::{AutoTls, TlsError, TlsSettings, TlsVersion, server_config};

#[cfg(test)]
mod settings_tests;
