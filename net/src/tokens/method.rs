//! How tokens may be signed: the methods of etcd's flag.

use aws_lc_rs::{hmac, signature};

/// A method, by the name that tokens carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignMethod {
    /// RSA with PKCS #1 v1.5.
    Rsa(Digest),
    /// RSA with PSS.
    RsaPss(Digest),
    /// ECDSA; the digest decides the curve.
    Ecdsa(Digest),
    /// Ed25519.
    Ed25519,
    /// HMAC: who can verify can also sign.
    Hmac(Digest),
}

/// SHA-2, by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

use Digest::{Sha256, Sha384, Sha512};

/// All methods.
const METHODS: [(&str, SignMethod); 13] = [
    ("RS256", SignMethod::Rsa(Sha256)),
    ("RS384", SignMethod::Rsa(Sha384)),
    ("RS512", SignMethod::Rsa(Sha512)),
    ("PS256", SignMethod::RsaPss(Sha256)),
    ("PS384", SignMethod::RsaPss(Sha384)),
    ("PS512", SignMethod::RsaPss(Sha512)),
    ("ES256", SignMethod::Ecdsa(Sha256)),
    ("ES384", SignMethod::Ecdsa(Sha384)),
    ("ES512", SignMethod::Ecdsa(Sha512)),
    ("HS256", SignMethod::Hmac(Sha256)),
    ("HS384", SignMethod::Hmac(Sha384)),
    ("HS512", SignMethod::Hmac(Sha512)),
    ("EdDSA", SignMethod::Ed25519),
];

impl SignMethod {
    /// By its name, `None` when there is no such method.
    pub fn by_name(name: &str) -> Option<Self> {
        METHODS.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// How signatures with a key pair are verified; `None` for HMAC, which has none.
    pub(super) fn verification(self) -> Option<&'static dyn signature::VerificationAlgorithm> {
        use signature as s;
        Some(match self {
            Self::Rsa(Sha256) => &s::RSA_PKCS1_2048_8192_SHA256,
            Self::Rsa(Sha384) => &s::RSA_PKCS1_2048_8192_SHA384,
            Self::Rsa(Sha512) => &s::RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPss(Sha256) => &s::RSA_PSS_2048_8192_SHA256,
            Self::RsaPss(Sha384) => &s::RSA_PSS_2048_8192_SHA384,
            Self::RsaPss(Sha512) => &s::RSA_PSS_2048_8192_SHA512,
            Self::Ecdsa(Sha256) => &s::ECDSA_P256_SHA256_FIXED,
            Self::Ecdsa(Sha384) => &s::ECDSA_P384_SHA384_FIXED,
            Self::Ecdsa(Sha512) => &s::ECDSA_P521_SHA512_FIXED,
            Self::Ed25519 => &s::ED25519,
            Self::Hmac(_) => return None,
        })
    }
}

impl Digest {
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Sha256 => hmac::HMAC_SHA256,
            Sha384 => hmac::HMAC_SHA384,
            Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub(super) fn rsa(self) -> &'static dyn signature::RsaEncoding {
        match self {
            Sha256 => &signature::RSA_PKCS1_SHA256,
            Sha384 => &signature::RSA_PKCS1_SHA384,
            Sha512 => &signature::RSA_PKCS1_SHA512,
        }
    }

    pub(super) fn rsa_pss(self) -> &'static dyn signature::RsaEncoding {
        match self {
            Sha256 => &signature::RSA_PSS_SHA256,
            Sha384 => &signature::RSA_PSS_SHA384,
            Sha512 => &signature::RSA_PSS_SHA512,
        }
    }

    pub(super) fn ecdsa(self) -> &'static signature::EcdsaSigningAlgorithm {
        match self {
            Sha256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Sha384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Sha512 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}
