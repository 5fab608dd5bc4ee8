//! Signatures, of certificates by their issuers and of handshakes by the keys of certificates.
//!
//! MD5 and SHA-1 prove nothing and are never taken.

use super::certificate::{Certificate, KeyKind};
use super::refusal::Refusal;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::alg_id;
use x509_parser::oid_registry as oid;

/// RSA keys below this prove nothing.
const LEAST_RSA: usize = 1024;
/// What the library can make and check a handshake's signature with.
const HANDSHAKE_RSA: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Without a name in the registry.
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Certificate {
    /// `issuer` may sign certificates, and signed this one.
    pub(super) fn check_signed_by(&self, issuer: &Self) -> Result<(), Refusal> {
        let authority = issuer.basic.map(|basic| basic.authority);
        // certificates before version 3 cannot say that they are authorities
        if authority == Some(false) || (issuer.is_v3 && authority.is_none()) || !issuer.may_sign {
            return Err(Refusal::IssuerCannotSign);
        }
        let algorithm = self.algorithm(&issuer.key_kind)?;
        let key = UnparsedPublicKey::new(algorithm, &issuer.key);
        key.verify(&self.signed, &self.signature).map_err(|_| {
            Refusal::BadSignature(match issuer.key_kind {
                KeyKind::Rsa { .. } => "crypto/rsa: verification error",
                KeyKind::Ed25519 => "x509: Ed25519 verification failure",
                _ => "x509: ECDSA verification failure",
            })
        })
    }

    fn algorithm(&self, key: &KeyKind) -> Result<&'static dyn VerificationAlgorithm, Refusal> {
        let signed = &self.signature_oid;
        let ecdsa = [
            (oid::OID_SIG_ECDSA_WITH_SHA256, Hash::Sha256),
            (oid::OID_SIG_ECDSA_WITH_SHA384, Hash::Sha384),
            (oid::OID_SIG_ECDSA_WITH_SHA512, Hash::Sha512),
        ];
        let rsa = [
            (oid::OID_PKCS1_SHA256WITHRSA, Hash::Sha256),
            (oid::OID_PKCS1_SHA384WITHRSA, Hash::Sha384),
            (oid::OID_PKCS1_SHA512WITHRSA, Hash::Sha512),
        ];
        let found = if let Some((_, hash)) = ecdsa.iter().find(|(known, _)| known == signed) {
            by_curve(*hash, key)
        } else if let Some((_, hash)) = rsa.iter().find(|(known, _)| known == signed) {
            by_rsa(*hash, key)
        } else if *signed == oid::OID_PKCS1_RSASSAPSS {
            self.by_pss(key)
        } else if *signed == oid::OID_SIG_ED25519 {
            (*key == KeyKind::Ed25519).then_some(&signature::ED25519 as _)
        } else if *signed == oid::OID_PKCS1_SHA1WITHRSA {
            return Err(Refusal::Insecure("SHA1-RSA"));
        } else if *signed == oid::OID_PKCS1_MD5WITHRSAENC {
            return Err(Refusal::Insecure("MD5-RSA"));
        } else if signed.to_id_string() == ECDSA_WITH_SHA1 {
            return Err(Refusal::Insecure("ECDSA-SHA1"));
        } else {
            None
        };
        found.ok_or(Refusal::Unimplemented)
    }

    /// Only with a salt as long as the hash, as Go has it.
    fn by_pss(&self, key: &KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
        let KeyKind::Rsa { bits } = key else { return None };
        if !HANDSHAKE_RSA.contains(bits) {
            return None;
        }
        let whole = self.signature_algorithm.as_slice();
        let known: [(&[u8], &'static dyn VerificationAlgorithm); 3] = [
            (alg_id::RSA_PSS_SHA256.as_ref(), &signature::RSA_PSS_2048_8192_SHA256),
            (alg_id::RSA_PSS_SHA384.as_ref(), &signature::RSA_PSS_2048_8192_SHA384),
            (alg_id::RSA_PSS_SHA512.as_ref(), &signature::RSA_PSS_2048_8192_SHA512),
        ];
        known.into_iter().find(|(known, _)| *known == whole).map(|(_, algorithm)| algorithm)
    }

    /// The key of a certificate at the end of a chain can sign handshakes here.
    ///
    /// # Errors
    /// [`Refusal::Key`] with the reason.
    pub fn check_handshake_key(&self) -> Result<(), Refusal> {
        match &self.key_kind {
            KeyKind::Rsa { bits } if *bits < *HANDSHAKE_RSA.start() => Err(Refusal::Key(format!(
                "an RSA key of {bits} bits is too short to be trusted, make one of 2048 bits or more"
            ))),
            KeyKind::Rsa { bits } if *bits > *HANDSHAKE_RSA.end() => {
                Err(Refusal::Key(format!("an RSA key of {bits} bits is too long, make one of at most 8192 bits")))
            }
            KeyKind::Other(kind) => Err(Refusal::Key(format!(
                "{kind} is not supported, make an RSA, Ed25519 or ECDSA key (P-256, P-384, P-521)"
            ))),
            _ => Ok(()),
        }
    }
}

fn by_curve(hash: Hash, key: &KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (KeyKind::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyKind::P521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// Authorities may have keys of 1024 bits, as in Go.
fn by_rsa(hash: Hash, key: &KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    let KeyKind::Rsa { bits } = key else { return None };
    Some(match hash {
        Hash::Sha256 if *bits >= 2048 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 if *bits >= 2048 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 if *bits >= 2048 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Hash::Sha256 if *bits >= LEAST_RSA => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        Hash::Sha512 if *bits >= LEAST_RSA => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return None,
    })
}
