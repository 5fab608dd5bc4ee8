//! The one library that computes: aws-lc, because it knows P-521 and RSA keys of up to 8192 bits.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Suites, groups and keys, as rustls orders them.
pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}
