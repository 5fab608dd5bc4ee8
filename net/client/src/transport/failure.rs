//! Why a call failed, in the words of etcd's client.
//!
//! Must never say what to do about it: that depends on who reads it.

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

/// What a connection that broke says, in the words of gRPC clients.
pub const BROKEN: &str = "error reading from server: EOF";

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

fn is_known(message: &str) -> bool {
    message.strip_prefix("etcdserver: ").is_some_and(|text| KNOWN.contains(&text))
}

fn detail(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", api::CODE_NAMES[status.code() as usize], status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_stand_alone() {
        let known = Failure::Status(Status::not_found("etcdserver: requested lease not found"));
        assert_eq!(known.to_string(), "etcdserver: requested lease not found");
        let other = Failure::Status(Status::unimplemented("unknown service x.Y"));
        assert_eq!(other.to_string(), "rpc error: code = Unimplemented desc = unknown service x.Y");
        assert_eq!(Failure::Deadline(None).to_string(), "context deadline exceeded");
    }
}
