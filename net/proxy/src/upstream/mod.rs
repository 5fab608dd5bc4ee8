//! Connections to the members of a cluster: several endpoints, each kept connected, calls in turn over those that are.
//!
//! Must never know what a call means beyond whether it may be sent twice.

mod address;
mod call;
mod dial;
mod endpoints;
mod keeper;
mod metadata;
mod pool;
mod start;
mod tls;

pub use call::Repeat;
pub(crate) use call::told;
pub use dial::{Stream, open};
pub use metadata::Context;
pub use pool::Pool;
pub use tls::{ClientTls, TlsFiles};

use std::time::Duration;

/// Where a cluster is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// `host:port`, `http://…`, `https://…`, `unix://…`.
    pub endpoints: Vec<String>,
    /// TLS of endpoints that do not say `http://`; without it, of those that say `https://`, with what the system trusts.
    pub tls: Option<ClientTls>,
    /// Longest that one attempt to connect takes.
    pub dial_timeout: Duration,
    /// Time between pings of a silent member; none for no pings.
    pub keepalive_time: Option<Duration>,
    /// How long a ping may go unanswered.
    pub keepalive_timeout: Duration,
    /// Ping connections without calls, too.
    pub keepalive_idle: bool,
    /// Largest message that is sent, in bytes.
    pub max_send: usize,
    /// Largest message that is taken, in bytes.
    pub max_receive: usize,
    /// How often the members are asked for their list of endpoints; none for never.
    pub auto_sync: Option<Duration>,
}

impl UpstreamConfig {
    /// These endpoints with etcd's defaults: 2 MiB out, whatever fits in, five seconds to connect.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            tls: None,
            dial_timeout: Duration::from_secs(5),
            keepalive_time: None,
            keepalive_timeout: Duration::from_secs(20),
            keepalive_idle: false,
            max_send: 2 << 20,
            max_receive: i32::MAX as usize,
            auto_sync: None,
        }
    }
}
