//! What the system trusts.

use super::chain::Roots;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;

/// Where systems keep what they trust; the first that exists is read.
const FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Roots {
    /// The system's authorities, or those of the file that `SSL_CERT_FILE` names. What cannot be read is left out, as
    /// everybody does who did not choose those files.
    pub fn system() -> Self {
        let named = std::env::var("SSL_CERT_FILE").ok();
        let found = named.as_deref().into_iter().chain(FILES).find(|path| Path::new(path).is_file());
        let mut roots = Self::default();
        let Some(pem) = found.and_then(|path| std::fs::read(path).ok()) else { return roots };
        for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
            // an authority in an encoding that nobody can read is trusted by nobody
            let _ = roots.add(&certificate);
        }
        roots
    }
}
