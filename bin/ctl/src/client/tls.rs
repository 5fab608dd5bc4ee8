//! TLS of the client: certificates, what is trusted, and not looking at all when that is asked for.

use super::config::Secure;
use super::tls_text::pair_text;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// rustls' settings.
    pub config: Arc<ClientConfig>,
    /// Name that certificates must have, when it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// Where systems keep what they trust; the first that exists is read.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

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
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?;
    let builder = if secure.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Blind(algorithms)))
    } else {
        builder.with_root_certificates(roots(&secure.cacert)?)
    };
    let config = if secure.cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let (cert, key) = (file(&secure.cert)?, file(&secure.key)?);
        builder.with_client_auth_cert(own_chain(&cert)?, own_key(&key)?).map_err(|why| pair_text(&why))?
    };
    let server_name = Some(secure.server_name.clone()).filter(|name| !name.is_empty());
    Ok(Tls { config: Arc::new(config), server_name })
}

fn roots(cacert: &str) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if !cacert.is_empty() {
        for certificate in certificates(cacert)? {
            store.add(certificate).map_err(|why| format!("{cacert}: {why}"))?;
        }
        return Ok(store);
    }
    let own = std::env::var("SSL_CERT_FILE").ok();
    let found = own.as_deref().into_iter().chain(SYSTEM_ROOTS).find(|path| std::path::Path::new(path).is_file());
    if let Some(path) = found {
        store.add_parsable_certificates(certificates(path)?);
    }
    Ok(store)
}

/// Sections of a file, of every kind.
fn sections(pem: &[u8]) -> Vec<(SectionKind, Vec<u8>)> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

fn own_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = sections(pem);
    let (chain, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(kind, _)| *kind == SectionKind::Certificate);
    if chain.is_empty() {
        let keys = others.iter().any(|(kind, der)| PrivateKeyDer::from_pem(*kind, der.clone()).is_some());
        return Err(if keys {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; \
             PEM inputs may have been switched"
        } else {
            "tls: failed to find any PEM data in certificate input"
        }
        .into());
    }
    Ok(chain.into_iter().map(|(_, der)| der.into()).collect())
}

fn own_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let found = sections(pem);
    let certificate = found.iter().any(|(kind, _)| *kind == SectionKind::Certificate);
    let key = found.into_iter().find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    key.ok_or_else(|| {
        if certificate {
            "tls: found a certificate rather than a key in the PEM for the private key".into()
        } else {
            "tls: failed to find any PEM data in key input".into()
        }
    })
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file(path)?).collect();
    match read {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("{path}: tls: failed to find any PEM data in certificate input")),
        Err(why) => Err(format!("{path}: {why}")),
    }
}

fn file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("open {path}: {}", super::dial::io_text(&why)))
}

/// Takes any certificate; signatures of the handshake are still checked, but for a curve that we cannot compute: etcd's `--auto-tls` has it.
/// Whoever takes any certificate gains nothing from that signature.
#[derive(Debug)]
struct Blind(WebPkiSupportedAlgorithms);

/// The scheme of etcd's `--auto-tls`, which ring cannot compute: taken unchecked, as the whole certificate is here.
const UNCOMPUTED: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if signature.scheme == UNCOMPUTED {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if signature.scheme == UNCOMPUTED {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.0.supported_schemes();
        schemes.push(UNCOMPUTED);
        schemes
    }
}
