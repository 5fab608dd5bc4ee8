//! `http` peer URLs: encrypted with a certificate made at each start, and any certificate of the other side is taken.

use super::{Trust, provider};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use std::sync::Arc;

pub(super) fn trust() -> Result<Trust, Error> {
    let made = |why: rcgen::Error| Error::General(format!("cannot make a certificate: {why}"));
    let key = KeyPair::generate().map_err(made)?;
    let certificate = CertificateParams::new(vec!["conclave-peer".to_owned()]).map_err(made)?;
    let certificate = certificate.self_signed(&key).map_err(made)?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let library = Arc::new(provider());
    let server = ServerConfig::builder_with_provider(library.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let algorithms = library.signature_verification_algorithms;
    let client = ClientConfig::builder_with_provider(library)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(algorithms)))
        .with_no_client_auth();
    Ok(Trust { client: Arc::new(client), server: Arc::new(server), authenticated: false })
}

/// Takes any certificate. Its signature must still be right, or somebody in between could have changed the handshake.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
