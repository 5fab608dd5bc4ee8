//! Keys that sign tokens, and keys that verify them, from the files that etcd takes.
//!
//! Must never hand out a private key.

use super::method::{Digest, SignMethod};
use super::pem::first_block;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use tls::verify::Certificate;

/// Why there is no key. Texts are etcd's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither file was given, or for HMAC the private one is missing or empty.
    #[error("auth: missing key data")]
    Missing,
    /// They do not belong together.
    #[error("auth: public and private keys don't match")]
    Mismatch,
    /// The private key cannot be used with the method.
    #[error("auth: the file of --auth-token's priv-key holds no private key that fits its sign-method")]
    Private,
    /// The public key cannot be used with the method.
    #[error("auth: the file of --auth-token's pub-key holds no public key that fits its sign-method")]
    Public,
}

/// A key pair, or the public half of one.
pub(super) enum Key {
    /// RSA; the digest and whether it is PSS follow from the method.
    Rsa(RsaKeyPair, Vec<u8>),
    /// ECDSA.
    Ecdsa(EcdsaKeyPair, Vec<u8>),
    /// Ed25519.
    Ed25519(Ed25519KeyPair, Vec<u8>),
    /// HMAC.
    Hmac(Box<hmac::Key>),
    /// A public key: tokens are verified, and none can be signed.
    Public(Vec<u8>),
}

impl Key {
    /// From the contents of the two files.
    pub(super) fn new(method: SignMethod, public: Option<&[u8]>, private: Option<&[u8]>) -> Result<Self, KeyError> {
        if let SignMethod::Hmac(digest) = method {
            let secret = private.filter(|secret| !secret.is_empty()).ok_or(KeyError::Missing)?;
            return Ok(Self::Hmac(Box::new(hmac::Key::new(digest.hmac(), secret))));
        }
        let public = public.filter(|file| !file.is_empty()).map(public_key).transpose()?;
        let private = private.filter(|file| !file.is_empty());
        let pair = private.map(|file| key_pair(method, file).ok_or(KeyError::Private)).transpose()?;
        match (pair, public) {
            (None, None) => Err(KeyError::Missing),
            (None, Some(public)) => {
                let fits =
                    method.verification().is_some_and(|how| UnparsedPublicKey::new(how, &public).parse().is_ok());
                if fits { Ok(Self::Public(public)) } else { Err(KeyError::Public) }
            }
            (Some(pair), None) => Ok(pair),
            (Some(pair), Some(public)) => {
                const PROBE: &[u8] = b"do these keys belong together?";
                let signature = pair.sign(method, PROBE).ok_or(KeyError::Private)?;
                let belongs = Self::Public(public).verify(method, PROBE, &signature);
                if belongs { Ok(pair) } else { Err(KeyError::Mismatch) }
            }
        }
    }

    /// A signature; `None` when this key signs nothing.
    pub(super) fn sign(&self, method: SignMethod, message: &[u8]) -> Option<Vec<u8>> {
        let rng = SystemRandom::new();
        match (self, method) {
            (Self::Rsa(pair, _), SignMethod::Rsa(digest)) => sign_rsa(pair, digest.rsa(), &rng, message),
            (Self::Rsa(pair, _), SignMethod::RsaPss(digest)) => sign_rsa(pair, digest.rsa_pss(), &rng, message),
            (Self::Ecdsa(pair, _), _) => Some(pair.sign(&rng, message).ok()?.as_ref().to_vec()),
            (Self::Ed25519(pair, _), _) => Some(pair.sign(message).as_ref().to_vec()),
            (Self::Hmac(key), _) => Some(hmac::sign(key, message).as_ref().to_vec()),
            _ => None,
        }
    }

    /// Whether a signature is right.
    pub(super) fn verify(&self, method: SignMethod, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Rsa(_, public) | Self::Ecdsa(_, public) | Self::Ed25519(_, public) | Self::Public(public) => method
                .verification()
                .is_some_and(|how| UnparsedPublicKey::new(how, public).verify(message, signature).is_ok()),
        }
    }
}

fn sign_rsa(
    pair: &RsaKeyPair,
    how: &'static dyn aws_lc_rs::signature::RsaEncoding,
    rng: &SystemRandom,
    message: &[u8],
) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(how, rng, message, &mut signature).ok()?;
    Some(signature)
}

fn key_pair(method: SignMethod, file: &[u8]) -> Option<Key> {
    let (_, der) = first_block(file)?;
    match method {
        SignMethod::Rsa(_) | SignMethod::RsaPss(_) => {
            let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok()?;
            let public = pair.public_key().as_ref().to_vec();
            Some(Key::Rsa(pair, public))
        }
        SignMethod::Ecdsa(digest) => ecdsa(digest, &der),
        SignMethod::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
            let public = pair.public_key().as_ref().to_vec();
            Some(Key::Ed25519(pair, public))
        }
        SignMethod::Hmac(_) => None,
    }
}

fn ecdsa(digest: Digest, der: &[u8]) -> Option<Key> {
    let how = digest.ecdsa();
    let pair = EcdsaKeyPair::from_pkcs8(how, der).or_else(|_| EcdsaKeyPair::from_private_key_der(how, der)).ok()?;
    let public = pair.public_key().as_ref().to_vec();
    Some(Key::Ecdsa(pair, public))
}

/// What an Ed25519 key is wrapped in.
const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public key of a file: as such, or that of a certificate.
fn public_key(file: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (label, der) = first_block(file).ok_or(KeyError::Public)?;
    let der = match label.as_str() {
        "CERTIFICATE" => {
            let certificate = Certificate::parse(&CertificateDer::from(der)).map_err(|_| KeyError::Public)?;
            certificate.public_key_info().to_vec()
        }
        _ => der,
    };
    Ok(der.strip_prefix(ED25519_HEAD).map(<[u8]>::to_vec).unwrap_or(der))
}
