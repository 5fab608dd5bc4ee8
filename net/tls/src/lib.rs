//! TLS for every program: configurations from certificate files, followed as the files change.
//!
//! Listeners of clients and of peers, connections to peers and the tools all come here for what a certificate must fulfil.
//! Must never open a socket, and never fall back to plain text or to weaker checks.

mod auto;
mod config;
mod error;
mod files;
mod identity;
mod own;
mod provider;
mod settings;
mod text;
pub mod verify;

pub use config::{ServerTls, client_config, server_config};
pub use error::{Side, TlsError};
pub use identity::Identity;
pub use own::{Own, PairError};
pub use provider::provider;
pub use settings::{AutoTls, TlsSettings, TlsVersion};
pub use text::error_text;

#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod settings_tests;
