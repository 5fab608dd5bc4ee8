//! Certificates and authorities that follow their files: looked at on every handshake, parsed when their bytes changed.
//!
//! While a file cannot be used (it is being replaced, say) the last good certificate stays. A revocation list that cannot be
//! used refuses everybody: it must never be taken for an empty one.

use super::der;
use super::settings::TlsError;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const CERT: &str = "certificate";
const KEY: &str = "private key";
const CA: &str = "trusted CA file";
const CRL: &str = "certificate revocation list";

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

fn bad(what: &'static str, path: &Path, why: impl ToString) -> TlsError {
    TlsError::Bad { what, path: path.to_owned(), why: why.to_string() }
}

fn chain(what: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err(bad(what, path, "no certificate in it (PEM is expected)")),
        Ok(list) => Ok(list),
        Err(why) => Err(bad(what, path, why)),
    }
}

/// What was made of a file, and its bytes then.
#[derive(Debug)]
struct Seen<T> {
    bytes: Vec<Vec<u8>>,
    made: Arc<T>,
}

/// The server's own certificate.
#[derive(Debug)]
pub(super) struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(cert: PathBuf, key: PathBuf, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let bytes = vec![read(CERT, &cert)?, read(KEY, &key)?];
        let made = Arc::new(certified(&cert, &key, &bytes, &provider)?);
        Ok(Self { cert, key, provider, seen: Mutex::new(Seen { bytes, made }) })
    }

    fn renew(&self, seen: &mut Seen<CertifiedKey>) -> Result<(), TlsError> {
        let bytes = vec![read(CERT, &self.cert)?, read(KEY, &self.key)?];
        if bytes != seen.bytes {
            seen.made = Arc::new(certified(&self.cert, &self.key, &bytes, &self.provider)?);
            seen.bytes = bytes;
            tracing::info!(file = %self.cert.display(), "certificate was renewed");
        }
        Ok(())
    }
}

fn certified(cert: &Path, key: &Path, bytes: &[Vec<u8>], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = chain(CERT, cert, &bytes[0])?;
    let private = PrivateKeyDer::from_pem_slice(&bytes[1]).map_err(|why| bad(KEY, key, why))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|why| match why {
        Error::InconsistentKeys(_) => bad(KEY, key, format!("it does not belong to certificate {}", cert.display())),
        why => bad(CERT, cert, why),
    })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(why) = self.renew(&mut seen) {
            tracing::warn!(error = %why, "the last good certificate stays in use");
        }
        Some(seen.made.clone())
    }
}

/// Checks of client certificates: authority, revocation, names.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    ca: PathBuf,
    crl: Option<PathBuf>,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
    verifier: Mutex<Seen<Arc<dyn ClientCertVerifier>>>,
}

impl ClientCertificates {
    pub(super) fn new(
        ca: PathBuf,
        crl: Option<PathBuf>,
        names: Vec<String>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        if let Some(crl) = &crl {
            revoked(crl)?;
        }
        let bytes = vec![read(CA, &ca)?];
        let made = Arc::new(verifier(&ca, &bytes[0], &provider)?);
        Ok(Self { ca, crl, names, provider, verifier: Mutex::new(Seen { bytes, made }) })
    }

    fn current(&self) -> Arc<dyn ClientCertVerifier> {
        let mut seen = self.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = read(CA, &self.ca).and_then(|bytes| {
            if bytes != seen.bytes[0] {
                seen.made = Arc::new(verifier(&self.ca, &bytes, &self.provider)?);
                seen.bytes = vec![bytes];
            }
            Ok(())
        });
        if let Err(why) = renewed {
            tracing::warn!(error = %why, "the last good authorities stay in use");
        }
        Arc::clone(&seen.made)
    }

    fn check_revoked(&self, certificate: &[u8]) -> Result<(), Error> {
        let Some(path) = &self.crl else { return Ok(()) };
        let list = revoked(path).map_err(|why| {
            tracing::error!(error = %why, "client refused: its certificate cannot be checked");
            Error::General("revocation list cannot be used".into())
        })?;
        let serial = der::serial(certificate).map_err(|_| CertificateError::BadEncoding)?;
        if list.contains(&serial) { Err(CertificateError::Revoked.into()) } else { Ok(()) }
    }

    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        let fits = self.names.iter().any(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        });
        if fits { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
    }
}

fn verifier(ca: &Path, pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(CA, ca, pem)? {
        roots.add(certificate).map_err(|why| bad(CA, ca, why))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    builder.build().map_err(|why| bad(CA, ca, why))
}

fn revoked(path: &Path) -> Result<Vec<Vec<u8>>, TlsError> {
    let bytes = read(CRL, path)?;
    let list = match CertificateRevocationListDer::from_pem_slice(&bytes) {
        Ok(der) => der::revoked(&der),
        Err(_) => der::revoked(&bytes),
    };
    list.map_err(|why| bad(CRL, path, why))
}

impl ClientCertVerifier for ClientCertificates {
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
        let verified = self.current().verify_client_cert(end_entity, intermediates, now)?;
        self.check_revoked(end_entity)?;
        self.check_name(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
