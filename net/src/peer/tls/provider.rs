//! The one library that computes for peer connections. QUIC's keys in [`super::keys`] are of the same one.

pub use tls::provider;
