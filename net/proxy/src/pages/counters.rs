//! What the proxy counts, under etcd's names.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) cache_hits: AtomicU64,
    pub(crate) cache_misses: AtomicU64,
    pub(crate) cache_keys: AtomicU64,
    pub(crate) watchers_coalesced: AtomicU64,
    pub(crate) events_coalesced: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Counters {
    /// The page that Prometheus reads. Names, types and helps are etcd's; the last family is ours.
    pub(super) fn page(&self) -> String {
        let families = [
            ("etcd_grpc_proxy_cache_hits_total", "gauge", "Total number of cache hits", &self.cache_hits),
            ("etcd_grpc_proxy_cache_keys_total", "gauge", "Total number of keys/ranges cached", &self.cache_keys),
            ("etcd_grpc_proxy_cache_misses_total", "gauge", "Total number of cache misses", &self.cache_misses),
            (
                "etcd_grpc_proxy_events_coalescing_total",
                "counter",
                "Total number of events coalescing",
                &self.events_coalesced,
            ),
            (
                "etcd_grpc_proxy_watchers_coalescing_total",
                "gauge",
                "Total number of current watchers coalescing",
                &self.watchers_coalesced,
            ),
            ("conclave_proxy_connections", "gauge", "Connections of clients that are open.", &self.connections),
        ];
        let mut page = String::new();
        for (name, kind, help, value) in families {
            // writing into memory does not fail
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {}", value.load(Relaxed));
        }
        page
    }
}
