//! Why a certificate is refused, in the words of Go's library, which scripts and people know.
//!
//! Must never hide a reason behind another: each has its own text, and the alert that fits it best.

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, OtherError};
use std::sync::Arc;
use std::time::Duration;

/// Why a certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a certificate, or one that breaks the rules of its encoding.
    #[error("x509: malformed certificate: {0}")]
    Malformed(String),
    /// It says that whoever does not understand one of its extensions must refuse it, and nobody here does.
    #[error("x509: unhandled critical extension")]
    UnhandledCritical,
    /// Its time is over.
    #[error(
        "x509: certificate has expired or is not yet valid: current time {} is after {}",
        units::utc_seconds(*.now), units::utc_seconds(*.not_after)
    )]
    Expired {
        /// Seconds since 1970.
        now: u64,
        /// Seconds since 1970.
        not_after: u64,
    },
    /// Its time has not come.
    #[error(
        "x509: certificate has expired or is not yet valid: current time {} is before {}",
        units::utc_seconds(*.now), units::utc_seconds(*.not_before)
    )]
    NotYetValid {
        /// Seconds since 1970.
        now: u64,
        /// Seconds since 1970.
        not_before: u64,
    },
    /// No path leads to an authority that is trusted.
    #[error("x509: certificate signed by unknown authority{}", hint(.0))]
    UnknownAuthority(Option<Box<Hint>>),
    /// So many certificates of one name that checking them all would be an attack.
    #[error("x509: signature check attempts limit reached while verifying certificate chain")]
    TooManySignatures,
    /// An issuer in between that is no authority.
    #[error("x509: certificate is not authorized to sign other certificates")]
    NotAuthorizedToSign,
    /// An issuer that may not sign certificates.
    #[error("x509: invalid signature: parent certificate cannot sign this kind of certificate")]
    IssuerCannotSign,
    /// More certificates in between than the issuer allows.
    #[error("x509: too many intermediates for path length constraint")]
    TooManyIntermediates,
    /// A server's certificate shown by a client, say.
    #[error("x509: certificate specifies an incompatible key usage")]
    IncompatibleUsage,
    /// An issuer may not sign for a name in the certificate.
    #[error("x509: a root or intermediate certificate is not authorized to sign for this name: {0}")]
    NameNotAuthorized(String),
    /// Rules about policies, which are not computed here.
    #[error("x509: certificate chain has policy constraints, which are not supported; use an issuer without them")]
    PolicyConstraints,
    /// MD5 or SHA-1.
    #[error("x509: cannot verify signature: insecure algorithm {0}")]
    Insecure(&'static str),
    /// An algorithm or curve that is not computed here.
    #[error("x509: cannot verify signature: algorithm unimplemented")]
    Unimplemented,
    /// The signature does not belong to the certificate.
    #[error("{0}")]
    BadSignature(&'static str),
    /// Not for this name. The text says for which ones.
    #[error("{0}")]
    NotForName(String),
    /// A key that no handshake can be signed with here.
    #[error("tls: the certificate's key cannot be used: {0}")]
    Key(String),
    /// The revocation list names it.
    #[error("tls: the certificate is revoked (serial number {0})")]
    Revoked(String),
    /// The revocation list cannot be read, so that nobody can be checked against it.
    #[error("tls: the certificate cannot be checked against the revocation list: {0}")]
    NoRevocationList(String),
    /// Not one of the names that are allowed.
    #[error("client certificate authentication failed: {0}")]
    NotAllowed(String),
}

/// The issuer that came nearest, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// What was wrong.
    pub why: Refusal,
    /// The issuer.
    pub issuer: String,
}

fn hint(hint: &Option<Box<Hint>>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| {
        let Hint { why, issuer } = &**hint;
        format!(
            " (possibly because of {:?} while trying to verify candidate authority certificate {issuer:?})",
            why.to_string()
        )
    })
}

impl From<Refusal> for Error {
    /// With the alert that Go sends, where rustls has a kind for it; the text of every other refusal travels inside.
    fn from(why: Refusal) -> Self {
        let time = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Self::InvalidCertificate(match why {
            Refusal::Expired { now, not_after } => {
                CertificateError::ExpiredContext { time: time(now), not_after: time(not_after) }
            }
            Refusal::NotYetValid { now, not_before } => {
                CertificateError::NotValidYetContext { time: time(now), not_before: time(not_before) }
            }
            Refusal::UnknownAuthority(None) => CertificateError::UnknownIssuer,
            Refusal::UnhandledCritical => CertificateError::UnhandledCriticalExtension,
            Refusal::IncompatibleUsage => CertificateError::InvalidPurpose,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }
}

/// What [`Refusal`] became on its way through rustls, in its own words again. `None`: another kind of error.
pub fn refusal_of(why: &Error) -> Option<Refusal> {
    let Error::InvalidCertificate(refused) = why else { return None };
    Some(match refused {
        CertificateError::ExpiredContext { time, not_after } => {
            Refusal::Expired { now: time.as_secs(), not_after: not_after.as_secs() }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Refusal::NotYetValid { now: time.as_secs(), not_before: not_before.as_secs() }
        }
        CertificateError::UnknownIssuer => Refusal::UnknownAuthority(None),
        CertificateError::UnhandledCriticalExtension => Refusal::UnhandledCritical,
        CertificateError::InvalidPurpose => Refusal::IncompatibleUsage,
        CertificateError::BadSignature => Refusal::BadSignature("tls: invalid signature by the certificate's key"),
        CertificateError::Other(other) => other.0.downcast_ref::<Refusal>()?.clone(),
        _ => return None,
    })
}
