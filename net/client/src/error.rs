//! Why a call failed, and what is known of its effect.
//!
//! Must never call an outcome certain that is not.

use crate::transport::Failure;
use crate::transport::failure::BROKEN;
use std::fmt;
pub use tonic::Code;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered, and said no.
    #[error(transparent)]
    Refused(Refusal),
    /// The time of the call was over. With what was wrong with the connection, if there was none.
    #[error("no answer in time{}", .0.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    Timeout(Option<String>),
    /// The connection broke before the answer came.
    #[error("the connection broke before the answer came; a write may or may not have been carried out")]
    Interrupted,
    /// It cannot be asked like this; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

/// A server's no.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What it is about.
    pub reason: Reason,
    /// gRPC's code.
    pub code: Code,
    /// The server's own words.
    pub text: String,
}

/// What a refusal is about: those that programs act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The revision is gone.
    Compacted,
    /// The revision has not come yet.
    FutureRevision,
    /// The lease is not there, or not any more.
    LeaseNotFound,
    /// A lease of that id is there already.
    LeaseExists,
    /// The user's roles do not allow it.
    PermissionDenied,
    /// Wrong user or password.
    AuthenticationFailed,
    /// The store is full.
    NoSpace,
    /// The request is too large.
    TooLarge,
    /// The server has too much to do.
    TooManyRequests,
    /// The member knows no leader.
    NoLeader,
    /// The server does not know the call.
    Unimplemented,
    /// Something else: see the text.
    Other,
}

/// Texts of etcd's servers, behind `etcdserver: `.
const REASONS: [(&str, Reason); 10] = [
    ("mvcc: required revision has been compacted", Reason::Compacted),
    ("mvcc: required revision is a future revision", Reason::FutureRevision),
    ("requested lease not found", Reason::LeaseNotFound),
    ("lease already exists", Reason::LeaseExists),
    ("permission denied", Reason::PermissionDenied),
    ("authentication failed, invalid user ID or password", Reason::AuthenticationFailed),
    ("mvcc: database space exceeded", Reason::NoSpace),
    ("request is too large", Reason::TooLarge),
    ("too many requests", Reason::TooManyRequests),
    ("no leader", Reason::NoLeader),
];

impl Error {
    /// Whether the call, if it was a write, may have been carried out all the same. Such a write is sent again only by somebody
    /// who has looked first.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Self::Interrupted | Self::Timeout(None) => true,
            // there was no connection to send it on
            Self::Timeout(Some(_)) | Self::Invalid(_) => false,
            Self::Refused(refusal) => matches!(
                refusal.code,
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::Unknown
            ),
        }
    }

    /// What the server's refusal is about, if it is one.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    pub(crate) fn new(code: Code, text: String) -> Self {
        let inner = text.strip_prefix("etcdserver: ").unwrap_or(&text);
        let known = REASONS.iter().find(|(words, _)| *words == inner).map(|(_, reason)| *reason);
        let other = if code == Code::Unimplemented { Reason::Unimplemented } else { Reason::Other };
        Self { reason: known.unwrap_or(other), code, text }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(status) if status.code() == Code::Unavailable && status.message() == BROKEN => {
                Self::Interrupted
            }
            Failure::Status(status) => Self::Refused(Refusal::new(status.code(), status.message().to_owned())),
            Failure::Deadline(last) => Self::Timeout(last),
            Failure::Cancelled => Self::Interrupted,
            Failure::Text(text) => Self::Invalid(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn a_refusal_says_what_it_is_about_and_what_is_certain() {
        let of = |status: Status| Error::from(Failure::Status(status));
        let compacted = of(Status::out_of_range("etcdserver: mvcc: required revision has been compacted"));
        assert_eq!((compacted.reason(), compacted.is_uncertain()), (Some(Reason::Compacted), false));
        let timed_out = of(Status::unavailable("etcdserver: request timed out"));
        assert_eq!((timed_out.reason(), timed_out.is_uncertain()), (Some(Reason::Other), true));
        assert!(of(Status::unavailable(BROKEN)).is_uncertain());
        assert!(!Error::from(Failure::Deadline(Some("refused".into()))).is_uncertain(), "there was no connection");
        assert!(Error::from(Failure::Deadline(None)).is_uncertain());
    }
}
