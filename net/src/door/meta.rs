//! What comes with a call besides its message.

use super::method_info::MethodInfo;
use super::peer::Peer;
use http::{HeaderMap, HeaderValue};
use std::rc::Rc;
use tokio::time::Instant;

/// What came with a call besides its message.
#[derive(Clone, Debug)]
pub struct CallMeta {
    pub(super) method: Rc<MethodInfo>,
    pub(super) headers: HeaderMap,
    pub(super) deadline: Option<Instant>,
    pub(super) peer: Rc<Peer>,
    /// The call was made inside the process, on behalf of somebody else.
    pub(super) is_local: bool,
}

impl CallMeta {
    /// The method called.
    pub fn method(&self) -> &MethodInfo {
        &self.method
    }

    /// All headers as they came (gRPC's own included).
    pub fn metadata(&self) -> &HeaderMap {
        &self.headers
    }

    /// First value of a metadata key (lower case).
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.headers.get(key).map(HeaderValue::as_bytes)
    }

    /// When the client stops waiting. The door answers by itself then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// True for a call from inside the process: whoever it is for, it is not the other end of the connection.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// The other end.
    pub fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }
}

#[cfg(test)]
impl CallMeta {
    /// What comes with a call of a client that shows a certificate with this common name.
    pub(crate) fn of_certificate(common_name: &str, headers: HeaderMap, is_local: bool) -> Self {
        let method = MethodInfo {
            index: 0,
            path: "/a.B/C".into(),
            service: "a.B".into(),
            method: "C".into(),
            kind: super::method_info::MethodKind::Unary,
        };
        let peer = Rc::new(Peer::of_certificate(common_name));
        Self { method: Rc::new(method), headers, deadline: None, peer, is_local }
    }
}
