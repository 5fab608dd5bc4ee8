//! Certificates that clients show to a listener: authority, revocation, names.

use super::certificate::Certificate;
use super::chain::{Purpose, Roots, verify};
use super::handshake;
use super::names::AllowedNames;
use super::revocation::RevocationList;
use crate::files::Followed;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Checks certificates of clients against files that may change.
#[derive(Debug)]
pub struct ClientVerifier {
    authorities: Followed<Roots>,
    revoked: Option<RevocationList>,
    allowed: AllowedNames,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    pub(crate) fn new(
        authorities: Followed<Roots>,
        revoked: Option<RevocationList>,
        allowed: AllowedNames,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { authorities, revoked, allowed, algorithms }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // no hints: authorities may change while the listener stays
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf = Certificate::parse(end_entity)?;
        let others = Certificate::parse_all(intermediates)?;
        verify(&leaf, &others, &self.authorities.current(), Purpose::Client, None, now.as_secs())?;
        leaf.check_handshake_key()?;
        if let Some(revoked) = &self.revoked {
            revoked.check(&leaf, &others)?;
        }
        self.allowed.check(&leaf)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
