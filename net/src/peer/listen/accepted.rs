//! What an accepted connection needs whatever carries it: a bound on strangers, a patience, a line when a hello is refused.

use crate::peer::codec::hello::Refusal;
use crate::peer::session::context::Context;
use crate::peer::session::hello::HelloError;
use crate::peer::session::registry::NotAdmitted;
use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::SocketAddr;
use std::rc::Rc;

/// Counts connections that have not said a valid hello yet.
#[derive(Clone, Debug, Default)]
pub struct Strangers(Rc<Cell<usize>>);

/// One of them.
#[derive(Debug)]
pub struct Stranger(Rc<Cell<usize>>);

impl Strangers {
    /// Counts one more, unless there are `most`.
    pub fn enter(&self, most: usize) -> Option<Stranger> {
        if self.0.get() >= most {
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Stranger(self.0.clone()))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub enum Remote {
    /// Another address, or this one.
    Net(SocketAddr),
    /// This machine, over a unix socket.
    Unix,
}

impl Remote {
    /// A number for it, to keep repeated lines back by.
    fn number(self) -> u64 {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        match self {
            Self::Net(remote) => hasher.hash_one(remote.ip()),
            Self::Unix => 0,
        }
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Net(remote) => remote.fmt(f),
            Self::Unix => f.write_str("a unix socket"),
        }
    }
}

/// Says once in a while that a connection was not taken.
pub fn log_refused(context: &Context, remote: Remote, why: &HelloError) {
    let what = match why {
        HelloError::NotAdmitted(NotAdmitted::Refused(Refusal::WrongCluster)) => "request cluster ID mismatch",
        HelloError::NotAdmitted(NotAdmitted::Refused(Refusal::Removed)) => {
            "rejected a connection of a member that was removed from the cluster"
        }
        // ours is used
        HelloError::NotAdmitted(NotAdmitted::Refused(Refusal::Crossed)) => return,
        HelloError::NotAdmitted(_) => "rejected a connection of a peer",
        HelloError::NotAPeer(_) => "what connected to the peer port is no member",
        HelloError::Refused(_) | HelloError::WrongMember(_) | HelloError::OldRun => return,
        HelloError::Overtaken | HelloError::Io(_) => return,
    };
    if let Some(repeated) = context.throttle.pass(remote.number(), what) {
        let local = format_args!("{:x}", context.config.own);
        let cluster = format_args!("{:x}", context.config.cluster);
        tracing::warn!(local, local_cluster = cluster, %remote, error = %why, repeated, "{what}");
    }
}

/// Says once in a while that a handshake failed: a certificate that is missing, foreign, expired or revoked.
pub fn log_handshake(context: &Context, remote: Remote, why: &dyn std::fmt::Display) {
    if let Some(repeated) = context.throttle.pass(remote.number(), "handshake") {
        tracing::warn!(%remote, error = %why, repeated, "rejected connection on peer endpoint: the TLS handshake failed");
    }
}
