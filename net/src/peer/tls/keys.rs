//! Keys that a member keeps over restarts, all from the one secret in its data folder.
//!
//! With them a restarted member recognises packets of connections that its last run had, and can say that these are gone. That is only
//! a hint which makes the other side redial at once; what decides is the boot epoch in the hello.

use aws_lc_rs::{hkdf, hmac};
use quinn::crypto::{HandshakeTokenKey, HmacKey};
use std::sync::Arc;

/// Makes keys from a secret.
#[derive(Clone, Copy)]
pub struct SecretKeys([u8; 32]);

impl SecretKeys {
    /// From the secret of a data folder.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, purpose);
        let mut out = [0; 32];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Signs stateless resets.
    pub fn reset(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.derive(b"conclave peer reset")))
    }

    /// Marks connection ids as this member's own.
    pub fn connection_ids(&self) -> u64 {
        let derived = self.derive(b"conclave peer connection id");
        u64::from_le_bytes(*derived.first_chunk().expect("32 bytes have 8"))
    }

    /// Seals tokens of address validation.
    pub fn tokens(&self) -> Arc<dyn HandshakeTokenKey> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"conclave peer token");
        Arc::new(salt.extract(&self.derive(b"conclave peer token")))
    }
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKeys")
    }
}
