//! The client's side of TLS from files.
//!
//! Must not skip verification unless the user said so by name.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Where Linux systems keep the authorities they trust, by likelihood.
const SYSTEM_ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Files of TLS, as flags name them.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Authorities that may sign the server's certificate; without it the system's.
    pub cacert: Option<PathBuf>,
    /// The client's certificate.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Take any server certificate.
    pub insecure_skip_verify: bool,
}

/// TLS files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// Cannot be read, or holds nothing of the kind.
    #[error("cannot use {0}: {1}")]
    File(PathBuf, String),
    /// `--cert` without `--key`, or the reverse.
    #[error("--cert and --key belong together")]
    Half,
    /// The library refuses them.
    #[error("TLS: {0}")]
    Refused(#[from] rustls::Error),
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let bad = |why: String| BadTls::File(path.to_owned(), why);
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|why| bad(why.to_string()))?.collect();
    match all {
        Ok(all) if all.is_empty() => Err(bad("no certificate in it".into())),
        all => all.map_err(|why| bad(why.to_string())),
    }
}

fn roots(files: &TlsFiles) -> Result<RootCertStore, BadTls> {
    let mut store = RootCertStore::empty();
    let system = || SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
    if let Some(path) = files.cacert.clone().or_else(system) {
        store.add_parsable_certificates(certificates(&path)?);
    }
    Ok(store)
}

/// A connector for these files.
///
/// # Errors
/// Files that are missing, unreadable or do not fit together.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConnector, BadTls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = if files.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TakeAny(provider)))
    } else {
        builder.with_root_certificates(roots(files)?)
    };
    let mut config = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| BadTls::File(key.clone(), why.to_string()))?;
            builder.with_client_auth_cert(certificates(cert)?, secret)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(BadTls::Half),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// `--insecure-skip-tls-verify`.
#[derive(Debug)]
struct TakeAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
