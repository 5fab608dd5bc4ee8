//! TLS of connections to members.
//!
//! The own certificate follows its files; what is trusted is read once. Must never skip a check that was not asked to be skipped.

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tls::verify::{AnyServer, Certificate, Roots, ServerVerifier};
use tls::{Identity, provider};

/// Files and switches of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate that is shown.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Authorities of members' certificates; none for the system's.
    pub cacert: Option<PathBuf>,
    /// Take any certificate.
    pub skip_verify: bool,
    /// Name that certificates must have, when it is not the endpoint's host.
    pub server_name: Option<String>,
    /// The own certificate must have no common name: members would take it for the user behind every call.
    pub without_common_name: bool,
}

/// TLS as it is spoken.
#[derive(Clone, Debug)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: Option<String>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Files that are missing or no certificates, and a common name where there must be none.
    pub fn read(files: &TlsFiles) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?
            .dangerous();
        let builder = if files.skip_verify {
            builder.with_custom_certificate_verifier(Arc::new(AnyServer::new()))
        } else {
            builder.with_custom_certificate_verifier(Arc::new(ServerVerifier::new(roots(files.cacert.as_deref())?)))
        };
        let config = match (&files.cert, &files.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                if files.without_common_name {
                    refuse_common_name(cert)?;
                }
                let own = Identity::new(cert.clone(), key.clone()).map_err(|why| why.to_string())?;
                builder.with_client_cert_resolver(Arc::new(own))
            }
            (cert, key) => {
                let shown = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
                return Err(format!(
                    "KeyFile and CertFile must both be present[key: {}, cert: {}]",
                    shown(key),
                    shown(cert)
                ));
            }
        };
        Ok(Self { config: Arc::new(config), server_name: files.server_name.clone() })
    }
}

fn roots(cacert: Option<&Path>) -> Result<Roots, String> {
    let Some(path) = cacert else { return Ok(Roots::system()) };
    let mut roots = Roots::default();
    for certificate in certificates(path)? {
        roots.add(&certificate).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|why| failed(&why))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|why| failed(&why))?;
    if found.is_empty() {
        return Err(failed(&"no certificate in it (PEM is expected)"));
    }
    Ok(found)
}

fn refuse_common_name(cert: &Path) -> Result<(), String> {
    for certificate in certificates(cert)? {
        let read = Certificate::parse(&certificate).map_err(|why| format!("{}: {why}", cert.display()))?;
        if !read.common_name().is_empty() {
            return Err(format!("cert has non empty Common Name ({}): {}", read.common_name(), cert.display()));
        }
    }
    Ok(())
}
