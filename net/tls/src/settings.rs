//! What flags say about TLS, and the versions and suites that follow from it.
//!
//! Must never lower what was asked for: an unknown suite or an impossible version range is an error.

use crate::error::{Side, TlsError};
use crate::provider::provider;
use crate::verify::AllowedNames;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};
use std::path::PathBuf;

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

/// TLS of one side: of clients or of peers. Files are read again on every handshake, so that certificates can be renewed in
/// place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whose it is.
    pub side: Side,
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Certificate shown on connections to others, when it is not `cert_file`; with its key or not at all.
    pub client_cert_file: Option<PathBuf>,
    /// Its private key.
    pub client_key_file: Option<PathBuf>,
    /// Clients must show a certificate that `trusted_ca_file` signed. Naming a CA asks for it too, as in etcd.
    pub client_cert_auth: bool,
    /// Authorities of the other side's certificates, PEM.
    pub trusted_ca_file: Option<PathBuf>,
    /// Revoked certificates, DER or PEM; matched by serial number.
    pub crl_file: Option<PathBuf>,
    /// The other side's certificate must have one of these names.
    pub allowed: AllowedNames,
    /// Do not compare the addresses of members that dial with their certificates.
    pub skip_origin: bool,
    /// Make a certificate when no files are given.
    pub auto: Option<AutoTls>,
    /// Least version.
    pub min_version: TlsVersion,
    /// Greatest version; none for the newest.
    pub max_version: Option<TlsVersion>,
    /// Names of TLS 1.2 suites as Go writes them; empty for all good ones. Suites of TLS 1.3 cannot be chosen.
    pub cipher_suites: Vec<String>,
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
        if !self.allowed.common_names.is_empty() && !self.allowed.hostnames.is_empty() {
            return Err(TlsError::TwoKindsOfNames);
        }
        Ok(())
    }

    pub(crate) fn versions(&self) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
        match (self.min_version, self.max_version) {
            (TlsVersion::V1_3, Some(TlsVersion::V1_2)) => Err(TlsError::VersionRange),
            (TlsVersion::V1_3, _) if !self.cipher_suites.is_empty() => Err(TlsError::FixedSuites),
            (TlsVersion::V1_3, _) => Ok(ONLY_13),
            (TlsVersion::V1_2, Some(TlsVersion::V1_2)) => Ok(ONLY_12),
            (TlsVersion::V1_2, _) => Ok(BOTH),
        }
    }

    pub(crate) fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = provider();
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
