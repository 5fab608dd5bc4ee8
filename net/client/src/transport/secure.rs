//! TLS of the client: certificates, what is trusted, and not looking at all when that is asked for.

use super::io_text::io_text;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use std::sync::Arc;
use tls::verify::{AnyServer, Roots, ServerVerifier};
use tls::{Own, provider};

/// Files and switches of TLS.
#[derive(Clone, Debug, Default)]
pub struct Secure {
    /// `--cert`.
    pub cert: String,
    /// `--key`.
    pub key: String,
    /// `--cacert`.
    pub cacert: String,
    /// Name that certificates must have, when it is not the endpoint's host.
    pub server_name: String,
    /// `--insecure-transport`.
    pub insecure_transport: bool,
    /// `--insecure-skip-tls-verify`.
    pub skip_verify: bool,
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// rustls' settings.
    pub config: Arc<ClientConfig>,
    /// Name that certificates must have, when it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// What the flags ask for; `None` when nothing asks for TLS.
///
/// # Errors
/// Files that are missing or no certificates.
pub fn read(secure: &Secure) -> Result<Option<Tls>, String> {
    if secure.cert.is_empty() != secure.key.is_empty() {
        let said = format!("KeyFile and CertFile must both be present[key: {}, cert: {}]", secure.key, secure.cert);
        return Err(said);
    }
    let named = [&secure.cert, &secure.cacert, &secure.server_name].iter().any(|given| !given.is_empty());
    if named || !secure.insecure_transport || secure.skip_verify {
        return build(secure).map(Some);
    }
    Ok(None)
}

/// TLS with what the system trusts: for `https://` without any flag.
///
/// # Errors
/// When there is nothing to trust.
pub fn system() -> Result<Tls, String> {
    build(&Secure::default())
}

fn build(secure: &Secure) -> Result<Tls, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .dangerous();
    let builder = if secure.skip_verify {
        builder.with_custom_certificate_verifier(Arc::new(AnyServer::new()))
    } else {
        builder.with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots(&secure.cacert)?)))
    };
    let config = if secure.cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let cert = file(&secure.cert)?;
        let own = Own::from_pem(&cert, &file(&secure.key)?).map_err(|why| why.to_string())?;
        builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified)))
    };
    let server_name = Some(secure.server_name.clone()).filter(|name| !name.is_empty());
    Ok(Tls { config: Arc::new(config), server_name })
}

fn roots(cacert: &str) -> Result<Roots, String> {
    if cacert.is_empty() {
        return Ok(Roots::system());
    }
    let mut roots = Roots::default();
    for certificate in CertificateDer::pem_slice_iter(&file(cacert)?) {
        let certificate = certificate.map_err(|why| format!("{cacert}: {why}"))?;
        roots.add(&certificate).map_err(|why| format!("{cacert}: {why}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{cacert}: tls: failed to find any PEM data in certificate input"));
    }
    Ok(roots)
}

fn file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("open {path}: {}", io_text(&why)))
}
