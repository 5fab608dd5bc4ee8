//! Signatures of handshakes: that the other side has the key of its certificate.
//!
//! As rustls checks them, but for certificates that webpki cannot read.

use super::certificate::{Certificate, KeyKind};
use super::refusal::Refusal;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, SubjectPublicKeyInfoDer, alg_id};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};

/// Of TLS 1.2.
pub(super) fn check_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = Certificate::parse(certificate)?;
    let key = key_id(&certificate.key_kind).ok_or(Refusal::Unimplemented)?;
    let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let (_, candidates) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let fitting = candidates.iter().find(|algorithm| algorithm.public_key_alg_id() == key);
    let algorithm = fitting.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let checked = algorithm.verify_signature(&certificate.key, message, signed.signature());
    checked.map(|()| HandshakeSignatureValid::assertion()).map_err(|_| CertificateError::BadSignature.into())
}

/// Of TLS 1.3.
pub(super) fn check_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let certificate = Certificate::parse(certificate)?;
    let key = SubjectPublicKeyInfoDer::from(certificate.spki.as_slice());
    verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}

fn key_id(kind: &KeyKind) -> Option<AlgorithmIdentifier> {
    Some(match kind {
        KeyKind::Rsa { .. } => alg_id::RSA_ENCRYPTION,
        KeyKind::P256 => alg_id::ECDSA_P256,
        KeyKind::P384 => alg_id::ECDSA_P384,
        KeyKind::P521 => alg_id::ECDSA_P521,
        KeyKind::Ed25519 => alg_id::ED25519,
        KeyKind::Other(_) => return None,
    })
}
