//! Certificates that servers show to the tools and to members that connect to another.

use super::certificate::Certificate;
use super::chain::{Purpose, Roots};
use super::handshake;
use super::names::AllowedNames;
use super::policy::Policy;
use crate::files::Followed;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Checks certificates of servers against what is trusted.
#[derive(Debug)]
pub struct ServerVerifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// Trusts `roots`, whatever becomes of the files they are from.
    pub fn new(roots: Roots) -> Self {
        let authorities = Followed::fixed(roots);
        let policy = Policy { authorities, revoked: None, allowed: AllowedNames::default() };
        Self::following(policy, crate::provider().signature_verification_algorithms)
    }

    pub(crate) fn following(policy: Policy, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { policy, algorithms }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let host = server_name.to_str();
        self.policy.check(end_entity, intermediates, Purpose::Server, Some(&host), now)?;
        Ok(ServerCertVerified::assertion())
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

/// Takes any server's certificate, because the user asked for it by name; signatures of the handshake are still checked.
#[derive(Debug)]
pub struct AnyServer(WebPkiSupportedAlgorithms);

impl AnyServer {
    /// For `--insecure-skip-tls-verify`, and for self-made certificates of peers.
    pub fn new() -> Self {
        Self(crate::provider().signature_verification_algorithms)
    }
}

impl Default for AnyServer {
    fn default() -> Self {
        Self::new()
    }
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Certificate::parse(end_entity)?.check_handshake_key()?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check_tls12(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check_tls13(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
