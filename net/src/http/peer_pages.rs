//! What the pages of the peer port show of a running member. Must never change anything.

use super::answer::json_string;
use super::health;
use super::version;
use crate::peer::http::Pages;
use crate::services::storage_version;
use futures_util::future::{BoxFuture, FutureExt, ready};
use messages::Ports;
use model::MemberInfo;
use std::sync::OnceLock;

/// The pages of one member. The peer port listens before the owners run: until [`Self::open`] there are no members to show, and the
/// member is not healthy.
pub struct PeerPages {
    cluster: u64,
    server_version: String,
    storage_version: String,
    ports: OnceLock<Ports>,
}

impl PeerPages {
    /// Of a member of this cluster that says it is of these versions.
    pub fn new(cluster: u64, server_version: &str, storage_version: &str) -> Self {
        let (server_version, storage_version) = (server_version.to_owned(), storage_version.to_owned());
        Self { cluster, server_version, storage_version, ports: OnceLock::new() }
    }

    /// The owners run: from now on the pages show what they know. Only the first call counts.
    pub fn open(&self, ports: Ports) {
        // a second call would bring the same ports
        let _ = self.ports.set(ports);
    }
}

impl Pages for PeerPages {
    fn cluster(&self) -> u64 {
        self.cluster
    }

    fn members(&self) -> Vec<MemberInfo> {
        self.ports.get().and_then(|ports| ports.reads.members().ok()).unwrap_or_default()
    }

    fn version(&self) -> String {
        let cluster = self.ports.get().and_then(|ports| ports.reads.cluster_version().ok()).unwrap_or_default();
        version::page(&self.server_version, &cluster, storage_version(&cluster, &self.storage_version))
    }

    fn is_downgrading(&self) -> bool {
        self.ports.get().is_some_and(|ports| matches!(ports.reads.downgrade_target(), Ok(Some(_))))
    }

    fn health(&self, query: &str) -> BoxFuture<'static, (bool, String)> {
        let why = match self.ports.get() {
            Some(ports) => health::without_asking_others(ports, &health::Query::new(query)),
            None => Some("the member is starting".to_owned()),
        };
        let answer = match why {
            None => (true, "{\"health\":\"true\",\"reason\":\"\"}".to_owned()),
            Some(reason) => (false, format!("{{\"health\":\"false\",\"reason\":{}}}", json_string(&reason))),
        };
        ready(answer).boxed()
    }
}
