//! What the services must know of the member's settings. Values come from flags; none is read from the environment here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Settings of the services.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Largest log entry in bytes (`--max-request-bytes`).
    pub max_request_bytes: usize,
    /// Most operations of a transaction level (`--max-txn-ops`).
    pub max_txn_ops: usize,
    /// Logical bytes the store may hold (`--quota-backend-bytes`); zero or less for no limit.
    pub quota_bytes: i64,
    /// Least TTL of a lease in seconds: leases below are raised to it before they are proposed.
    pub min_lease_ttl: i64,
    /// Version reported to clients: the etcd version whose API this is.
    pub server_version: String,
    /// Version of the storage format reported to clients.
    pub storage_version: String,
    /// Lines of the host's log that it had to drop.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// Random start of request ids, so that runs and members do not share them.
    pub request_id_seed: u64,
}
