//! An own certificate with its key: what a listener or a client shows.
//!
//! The other side judges it; here it must only be readable, and belong to its key. As in Go, unknown critical extensions,
//! purposes and flags of an own certificate are nobody's business.

use crate::provider::provider;
use crate::verify::Certificate;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Why a pair of files is not an own certificate, in the words of Go where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The certificate's file is at fault.
    #[error("{0}")]
    Certificate(String),
    /// The key's file is at fault.
    #[error("{0}")]
    Key(String),
    /// Both are good, and have nothing to do with each other.
    #[error("tls: private key does not match public key")]
    Mismatch,
}

/// A certificate, its chain and its key.
#[derive(Debug)]
pub struct Own {
    /// For rustls.
    pub certified: Arc<CertifiedKey>,
    /// When the first of the chain's certificates ends, seconds since 1970.
    pub not_after: i64,
    /// Made by `--auto-tls`, here or by etcd.
    pub(crate) is_self_made: bool,
}

impl Own {
    /// Of two PEM texts.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn from_pem(cert: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = chain(cert)?;
        let unusable = |why: &dyn std::fmt::Display| PairError::Certificate(why.to_string());
        let read: Result<Vec<_>, _> = chain.iter().map(Certificate::parse).collect();
        let read = read.map_err(|why| unusable(&why))?;
        let leaf = read.first().ok_or_else(|| unusable(&"there is no certificate"))?;
        let private = private_key(key)?;
        let loaded =
            provider().key_provider.load_private_key(private).map_err(|_| match leaf.check_handshake_key() {
                Err(why) => unusable(&why),
                Ok(()) => PairError::Key(format!("tls: failed to parse private key; {SUPPORTED}")),
            })?;
        leaf.check_handshake_key().map_err(|why| unusable(&why))?;
        if loaded.public_key().is_some_and(|public| public.as_ref() != leaf.public_key()) {
            return Err(PairError::Mismatch);
        }
        let not_after = read.iter().map(Certificate::not_after).min().unwrap_or_default();
        let is_self_made = leaf.is_self_made();
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain, loaded)), not_after, is_self_made })
    }
}

const SUPPORTED: &str =
    "keys are RSA of 2048 to 8192 bits, Ed25519 or ECDSA (P-256, P-384, P-521), in PKCS#8, PKCS#1 or SEC1";

fn sections(pem: &[u8]) -> Vec<(SectionKind, Vec<u8>)> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let found = sections(pem);
    let is_key = |(kind, der): &(SectionKind, Vec<u8>)| PrivateKeyDer::from_pem(*kind, der.clone()).is_some();
    let has_key = found.iter().any(is_key);
    let chain: Vec<CertificateDer<'static>> =
        found.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate).map(|(_, der)| der.into()).collect();
    match (chain.is_empty(), has_key) {
        (false, _) => Ok(chain),
        (true, true) => Err(PairError::Certificate(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; \
             PEM inputs may have been switched"
                .into(),
        )),
        (true, false) => Err(PairError::Certificate("tls: failed to find any PEM data in certificate input".into())),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PairError> {
    let found = sections(pem);
    let has_certificate = found.iter().any(|(kind, _)| *kind == SectionKind::Certificate);
    let key = found.into_iter().find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    let holds = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    if holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED") {
        return Err(PairError::Key(
            "tls: the private key is encrypted; write it without a password, \
             for example with `openssl pkey -in KEY -out NEWKEY`"
                .into(),
        ));
    }
    key.ok_or_else(|| {
        PairError::Key(
            if has_certificate {
                "tls: found a certificate rather than a key in the PEM for the private key"
            } else {
                "tls: failed to find any PEM data in key input"
            }
            .into(),
        )
    })
}
