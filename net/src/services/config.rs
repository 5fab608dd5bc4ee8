//! Settings of the services. Whoever starts the member fills them in; nothing is read from the environment here.

use crate::peer::metrics::PeerMetrics;
use crate::spans::Tracing;
use crate::tokens::TokenKind;
use model::SnapshotFormat;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Settings of the services.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Largest log entry in bytes (`--max-request-bytes`).
    pub max_request_bytes: usize,
    /// Largest number of operations in one level of a transaction (`--max-txn-ops`).
    pub max_txn_ops: usize,
    /// Logical bytes that the store may hold (`--quota-backend-bytes`). Zero or less means no limit.
    pub quota_bytes: i64,
    /// Shortest TTL of a lease in seconds. A shorter one is raised to it before the lease is proposed.
    pub min_lease_ttl: i64,
    /// Time without a leader after which members campaign.
    pub election: Duration,
    /// The version that clients are told: that of the etcd whose API this is.
    pub server_version: String,
    /// The version of the storage format that clients are told.
    pub storage_version: String,
    /// Format of the snapshots of clients who ask for none (`--snapshot-format`).
    pub snapshot_format: SnapshotFormat,
    /// Which tokens clients may show.
    pub tokens: TokenKind,
    /// Cost factor of hashing passwords.
    pub bcrypt_cost: u32,
    /// Every client shows a certificate, whose common name is a user (`--client-cert-auth`).
    pub client_cert_auth: bool,
    /// Counters of the connections to other members.
    pub peers: PeerMetrics,
    /// Bytes of all memory budgets of the member together.
    pub memory_budget: usize,
    /// Feature gates: name, stage, and whether it is on.
    pub features: Vec<(String, String, bool)>,
    /// A unary call that takes longer is a warning in the log (`--warning-unary-request-duration`).
    pub slow_request: Duration,
    /// The metrics page has histograms of every method (`--metrics extensive`).
    pub extensive_metrics: bool,
    /// Where spans of calls go; `None` for nowhere.
    pub tracing: Option<Tracing>,
    /// Lines of the host's log that it had to drop.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// The first request id, drawn at random so that members, and runs of one member, use different ones.
    pub request_id_seed: u64,
}

/// The version of the format that the store is kept in: that of the cluster, from when it has one on, because the format of every version
/// so far is one. `newest` is this build's.
pub(crate) fn storage_version<'a>(cluster: &'a str, newest: &'a str) -> &'a str {
    if cluster.is_empty() { newest } else { cluster }
}
