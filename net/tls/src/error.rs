//! Why TLS cannot be offered or used.

use std::path::PathBuf;

/// Whose TLS it is; the flags have other names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Between clients and members.
    #[default]
    Client,
    /// Between members.
    Peer,
}

impl Side {
    /// What stands between the dashes and the name of most flags.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Client => "",
            Self::Peer => "peer-",
        }
    }

    fn needs_authority(self) -> &'static str {
        match self {
            Self::Client => "--client-cert-auth, --client-crl-file and --client-cert-allowed-hostname",
            Self::Peer => {
                "--peer-client-cert-auth, --peer-crl-file, --peer-cert-allowed-cn and --peer-cert-allowed-hostname"
            }
        }
    }
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
    #[error("a certificate needs its key: give both --{prefix}cert-file and --{prefix}key-file, or --{prefix}auto-tls", prefix = .0.prefix())]
    Incomplete(Side),
    /// The other side's certificates cannot be checked.
    #[error("{flags} need --{prefix}trusted-ca-file: the authority of those certificates", flags = .0.needs_authority(), prefix = .0.prefix())]
    NoAuthority(Side),
    /// Two rules that exclude each other.
    #[error("allowed common names and allowed hostnames exclude each other: give one of the two")]
    TwoKindsOfNames,
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
