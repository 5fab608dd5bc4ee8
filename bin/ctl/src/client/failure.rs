//! Why a call failed, in the words of etcd's client.

use std::fmt;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The server's answer, or the connection's.
    Status(Status),
    /// Its time was over; with what the connection said last.
    Deadline(Option<String>),
    /// Interrupted by the caller.
    Cancelled,
    /// Before anything was sent.
    Text(String),
}

/// Texts of etcd's servers: clients show them without the code. What is not here is shown with it.
const KNOWN: [&str; 58] = [
    "key is not provided",
    "key not found",
    "value is provided",
    "lease is provided",
    "too many operations in txn request",
    "duplicate key given in txn request",
    "invalid sort option",
    "mvcc: required revision has been compacted",
    "mvcc: required revision is a future revision",
    "mvcc: database space exceeded",
    "requested lease not found",
    "lease already exists",
    "too large lease TTL",
    "member ID already exist",
    "Peer URLs already exists",
    "re-configuration failed due to not enough started members",
    "given member URLs are invalid",
    "member not found",
    "can only promote a learner member",
    "can only promote a learner member which is in sync with leader",
    "too many learner members in cluster",
    "cluster ID mismatch",
    "request is too large",
    "too many requests",
    "root user does not exist",
    "root user does not have root role",
    "user name already exists",
    "user name is empty",
    "user name not found",
    "role name already exists",
    "role name not found",
    "role name is empty",
    "authentication failed, invalid user ID or password",
    "permission denied",
    "role is not granted to the user",
    "permission is not granted to the role",
    "authentication is not enabled",
    "invalid auth token",
    "invalid auth management",
    "revision of auth store is old",
    "no leader",
    "not leader",
    "leader changed",
    "not capable",
    "server stopped",
    "request timed out",
    "request timed out, possibly due to previous leader failure",
    "request timed out, possibly due to connection lost",
    "unhealthy cluster",
    "corrupt cluster",
    "rpc not supported for learner",
    "bad leader transferee",
    "cluster version not found during downgrade",
    "wrong downgrade target version format",
    "invalid downgrade target version",
    "cluster has a downgrade job in progress",
    "no inflight downgrade job",
    // what the text of a watch that was refused may be
    "watch canceled",
];

/// Part of a text, and what a person may do about it.
const HINTS: [(&str, &str); 15] = [
    ("user name is empty", "log in with --user name[:password]"),
    (
        "invalid user ID or password",
        "check --user and --password; an administrator can set a new one with `user passwd`",
    ),
    ("permission denied", "ask for a role with `user get --detail` and `role get`; --user root may do everything"),
    ("database space exceeded", "compact (`compaction`), `defrag`, then `alarm disarm`; or raise the server's quota"),
    ("has been compacted", "use a newer --rev, or none"),
    ("is a future revision", "`endpoint status -w fields` shows the current revision"),
    ("requested lease not found", "`lease list` shows what is left; leases are given in hex"),
    ("authentication is not enabled", "turn it on with `auth enable`"),
    ("root user does not exist", "add it first: `user add root`"),
    ("member not found", "`member list` shows the ids"),
    ("no leader", "most members must be up: look at `endpoint health --cluster`"),
    ("not leader", "name the leader in --endpoints: `endpoint status --cluster -w table` shows it"),
    ("not capable", "this server does not offer it (yet)"),
    ("unknown service", "this server does not offer it (yet)"),
    ("larger than max", "raise --max-request-bytes or --max-recv-bytes, and the server's --max-request-bytes"),
];

impl Failure {
    /// A failure of the connection, as gRPC clients call it.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::Status(Status::unavailable(text))
    }

    /// Whether the server said this.
    pub fn is(&self, text: &str) -> bool {
        matches!(self, Self::Status(status) if status.message().strip_prefix("etcdserver: ") == Some(text))
    }

    /// Its code, if it has one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Status(status) => Some(status.code()),
            Self::Deadline(_) => Some(Code::DeadlineExceeded),
            Self::Cancelled => Some(Code::Cancelled),
            Self::Text(_) => None,
        }
    }

    /// What a person may do about it.
    pub fn hint(&self) -> Option<String> {
        if let Self::Deadline(last) = self {
            return Some(match last {
                Some(last) => format!("no connection ({}); check --endpoints and whether the server runs", plain(last)),
                None => {
                    "the server did not answer in time; raise --command-timeout or look at `endpoint health`".into()
                }
            });
        }
        let text = self.to_string();
        HINTS.iter().find(|(part, _)| text.contains(part)).map(|(_, hint)| (*hint).to_owned())
    }

    /// With its code, as gRPC clients log it.
    pub fn detail(&self) -> String {
        match self {
            Self::Status(status) => detail(status),
            Self::Deadline(Some(last)) => {
                format!("rpc error: code = DeadlineExceeded desc = latest balancer error: {last}")
            }
            Self::Deadline(None) => "rpc error: code = DeadlineExceeded desc = context deadline exceeded".into(),
            Self::Cancelled => "rpc error: code = Canceled desc = context canceled".into(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) if is_known(status.message()) => f.write_str(status.message()),
            Self::Status(status) => f.write_str(&detail(status)),
            Self::Deadline(_) => f.write_str("context deadline exceeded"),
            Self::Cancelled => f.write_str("context canceled"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Why a connection failed, without the words that gRPC clients put around it.
fn plain(last: &str) -> &str {
    let inner = last.strip_prefix("connection error: desc = \"transport: ").unwrap_or(last);
    inner.strip_prefix("Error while dialing: ").unwrap_or(inner).trim_end_matches('"')
}

fn is_known(message: &str) -> bool {
    message.strip_prefix("etcdserver: ").is_some_and(|text| KNOWN.contains(&text))
}

fn detail(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_stand_alone() {
        let known = Failure::Status(Status::not_found("etcdserver: requested lease not found"));
        assert_eq!(known.to_string(), "etcdserver: requested lease not found");
        assert!(known.hint().is_some());
        let other = Failure::Status(Status::unimplemented("unknown service x.Y"));
        assert_eq!(other.to_string(), "rpc error: code = Unimplemented desc = unknown service x.Y");
        assert_eq!(Failure::Deadline(None).to_string(), "context deadline exceeded");
    }
}
