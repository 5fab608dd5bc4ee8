//! Settings of the gRPC proxy: typed, complete, checked by whoever makes them.

use crate::upstream::UpstreamConfig;
use bytes::Bytes;
use std::time::Duration;
use tls::TlsSettings;

/// Settings of the gRPC proxy.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` that clients are served on.
    pub listen: String,
    /// TLS of clients; none for plain connections.
    pub tls: Option<TlsSettings>,
    /// URL at which health and metrics are served besides; `http` or `https`.
    pub metrics: Option<String>,
    /// The cluster.
    pub upstream: UpstreamConfig,
    /// Put before all keys; empty for none.
    pub namespace: Bytes,
    /// What `MemberList` says instead of the members; empty to ask the cluster.
    pub advertised: String,
    /// Where proxies of this cluster register.
    pub registry: Option<Registry>,
    /// Leasing keys begin with this: linearizable reads of keys that nobody else writes are answered from memory. None for reads
    /// that always go to the cluster.
    pub leasing: Option<Bytes>,
    /// Serializable reads never go back in time, whichever member answers.
    pub ordering: bool,
    /// A line in the log for each call.
    pub log_calls: bool,
    /// Largest message of a client in bytes.
    pub max_message: usize,
    /// Time between pings of a silent client; none for no pings.
    pub keepalive_interval: Option<Duration>,
    /// How long a ping may go unanswered.
    pub keepalive_timeout: Duration,
    /// Calls of one connection at a time.
    pub max_streams: u32,
    /// Families of metrics about the process, in Prometheus' text format.
    pub process_page: fn() -> String,
}

/// Where proxies register, so that clients find all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Keys are below this.
    pub prefix: String,
    /// Seconds after which a proxy that is gone is forgotten.
    pub ttl: i64,
}
