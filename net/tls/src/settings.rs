//! From certificate files to a TLS configuration of listeners.
//!
//! Must never lower what was asked for: an unreadable file, an unknown suite or an impossible version range is an error.

use super::auto;
use super::reload::{Certificates, ClientCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use std::path::PathBuf;
use std::sync::Arc;

static ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];
static ONLY_12: &[&SupportedProtocolVersion] = &[&version::TLS12];
static BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// TLS versions that are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl std::str::FromStr for TlsVersion {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        match text {
            "TLS1.2" => Ok(Self::V1_2),
            "TLS1.3" => Ok(Self::V1_3),
            _ => Err(TlsError::Version(text.into())),
        }
    }
}

/// A certificate made by ourselves (`--auto-tls`): encryption, but nothing clients could verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoTls {
    /// Folder of `cert.pem` and `key.pem`; used again when both are there.
    pub dir: PathBuf,
    /// Years until a new certificate expires.
    pub years: u32,
}

/// TLS of listeners, of clients or of peers. Files are read again on every handshake, so that certificates can be renewed in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Clients must show a certificate that `trusted_ca_file` signed. Naming a CA asks for it too, as in etcd.
    pub client_cert_auth: bool,
    /// Authorities of client certificates, PEM.
    pub trusted_ca_file: Option<PathBuf>,
    /// Revoked client certificates, DER or PEM; matched by serial number.
    pub crl_file: Option<PathBuf>,
    /// A client certificate must be valid for one of these names. Empty: any.
    pub allowed_hostnames: Vec<String>,
    /// Make a certificate when no files are given.
    pub auto: Option<AutoTls>,
    /// Least version.
    pub min_version: TlsVersion,
    /// Greatest version; none for the newest.
    pub max_version: Option<TlsVersion>,
    /// Names of TLS 1.2 suites as Go writes them; empty for all good ones. Suites of TLS 1.3 cannot be chosen.
    pub cipher_suites: Vec<String>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Read {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{what} {} cannot be used: {why}", path.display())]
    Bad {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// One of the two files is missing.
    #[error("a certificate needs its key: give both --cert-file and --key-file, or --auto-tls")]
    Incomplete,
    /// Client certificates cannot be checked.
    #[error(
        "--client-cert-auth, --client-crl-file and --client-cert-allowed-hostname need --trusted-ca-file: the authority of client certificates"
    )]
    NoAuthority,
    /// Not a version.
    #[error("unexpected TLS version {0:?} (must be one of: TLS1.2, TLS1.3)")]
    Version(String),
    /// Nothing lies between least and greatest.
    #[error("min version (TLS1.3) is greater than max version (TLS1.2)")]
    VersionRange,
    /// Not a suite of Go.
    #[error("unexpected TLS cipher suite {0:?}")]
    UnknownSuite(String),
    /// Suites of TLS 1.3 cannot be chosen.
    #[error("cipher suites cannot be configured when only TLS1.3 is enabled")]
    FixedSuites,
    /// All suites asked for are too weak to be offered.
    #[error(
        "none of the --cipher-suites is offered here (no CBC, RC4, 3DES or RSA key exchange); add TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    )]
    WeakSuites,
    /// TLS library.
    #[error("TLS configuration: {0}")]
    Library(#[from] rustls::Error),
}

/// Names that Go knows and this server does not offer, because they are weak.
const WEAK: &[&str] = &[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

impl TlsSettings {
    /// Checks versions and suites without touching a file.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn check(&self) -> Result<(), TlsError> {
        self.versions()?;
        self.provider()?;
        Ok(())
    }

    fn versions(&self) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
        match (self.min_version, self.max_version) {
            (TlsVersion::V1_3, Some(TlsVersion::V1_2)) => Err(TlsError::VersionRange),
            (TlsVersion::V1_3, _) if !self.cipher_suites.is_empty() => Err(TlsError::FixedSuites),
            (TlsVersion::V1_3, _) => Ok(ONLY_13),
            (TlsVersion::V1_2, Some(TlsVersion::V1_2)) => Ok(ONLY_12),
            (TlsVersion::V1_2, _) => Ok(BOTH),
        }
    }

    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        if self.cipher_suites.is_empty() {
            return Ok(provider);
        }
        let mut chosen = Vec::new();
        for name in &self.cipher_suites {
            let known = provider.cipher_suites.iter().map(SupportedCipherSuite::suite).find(|s| is_named(*s, name));
            match known {
                Some(suite) => chosen.push(suite),
                None if WEAK.contains(&name.as_str()) => {
                    tracing::warn!(suite = name.as_str(), "cipher suite is weak and not offered");
                }
                None => return Err(TlsError::UnknownSuite(name.clone())),
            }
        }
        if chosen.is_empty() {
            return Err(TlsError::WeakSuites);
        }
        provider.cipher_suites.retain(|s| s.tls13().is_some() || chosen.contains(&s.suite()));
        Ok(provider)
    }
}

/// Go's names are those of the standard; some end without the hash, which older texts left out.
fn is_named(suite: CipherSuite, name: &str) -> bool {
    let Some(own) = suite.as_str() else { return false };
    let own = own.replacen("TLS13_", "TLS_", 1);
    own == name || own.strip_suffix("_SHA256").is_some_and(|short| short == name && name.ends_with("POLY1305"))
}

/// The configuration of listeners. `hosts` are what a self-made certificate names.
pub fn server_config(tls: &TlsSettings, hosts: &[String]) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(tls.provider()?);
    let (cert, key) = match (&tls.cert_file, &tls.key_file, &tls.auto) {
        (Some(cert), Some(key), _) => (cert.clone(), key.clone()),
        (None, None, Some(auto)) => auto::certificate(auto, hosts)?,
        _ => return Err(TlsError::Incomplete),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(tls.versions()?)?;
    let certificates = Arc::new(Certificates::new(cert, key, provider.clone())?);
    let asks = tls.client_cert_auth || tls.crl_file.is_some() || !tls.allowed_hostnames.is_empty();
    match &tls.trusted_ca_file {
        None if asks => Err(TlsError::NoAuthority),
        None => Ok(builder.with_no_client_auth().with_cert_resolver(certificates)),
        Some(ca) => {
            let names = tls.allowed_hostnames.clone();
            let verifier = ClientCertificates::new(ca.clone(), tls.crl_file.clone(), names, provider)?;
            let mut config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(certificates);
            // a resumed session would not look at the revocation list again
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Ok(config)
        }
    }
}
