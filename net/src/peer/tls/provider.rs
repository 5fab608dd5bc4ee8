//! The one library that computes for peer connections. QUIC's keys in [`super::keys`] must be of the same one.

use rustls::crypto::{CryptoProvider, ring};

/// Suites, groups and keys, as rustls orders them.
pub fn provider() -> CryptoProvider {
    ring::default_provider()
}
