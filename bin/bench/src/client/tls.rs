//! The client's side of TLS from files.
//!
//! Must not skip verification unless the user said so by name.

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tls::verify::{AnyServer, Roots, ServerVerifier};
use tls::{Own, provider};
use tokio_rustls::TlsConnector;

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

fn roots(files: &TlsFiles) -> Result<Roots, BadTls> {
    let Some(path) = &files.cacert else { return Ok(Roots::system()) };
    let bad = |why: String| BadTls::File(path.clone(), why);
    let mut roots = Roots::default();
    for certificate in CertificateDer::pem_slice_iter(&file(path)?) {
        roots.add(&certificate.map_err(|why| bad(why.to_string()))?).map_err(|why| bad(why.to_string()))?;
    }
    if roots.is_empty() { Err(bad("no certificate in it".into())) } else { Ok(roots) }
}

fn file(path: &Path) -> Result<Vec<u8>, BadTls> {
    std::fs::read(path).map_err(|why| BadTls::File(path.to_owned(), why.to_string()))
}

/// A connector for these files.
///
/// # Errors
/// Files that are missing, unreadable or do not fit together.
pub(super) fn connector(files: &TlsFiles) -> Result<TlsConnector, BadTls> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?.dangerous();
    let builder = if files.insecure_skip_verify {
        builder.with_custom_certificate_verifier(Arc::new(AnyServer::new()))
    } else {
        builder.with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots(files)?)))
    };
    let mut config = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let own = Own::from_pem(&file(cert)?, &file(key)?);
            let own = own.map_err(|why| BadTls::File(cert.clone(), why.to_string()))?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified)))
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(BadTls::Half),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A handshake that failed, in one sentence.
pub(super) fn explain(why: io::Error) -> io::Error {
    match why.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(of_tls) => io::Error::new(why.kind(), tls::error_text(of_tls)),
        None => why,
    }
}
