//! Series of etcd that never move here, because what they count does not exist: dashboards that name them find them all the same.
//!
//! Each help says why. `docs/monitoring.md` lists them.

use super::page::{Kind, Page};
use messages::histogram::DoublingHistogram;

const ROWS: &[(&str, Kind, &str)] = &[
    ("etcd_debugging_mvcc_pending_events_total", Kind::Gauge, "Always 0: who lags reads its events from the store."),
    ("etcd_debugging_store_expires_total", Kind::Counter, "Always 0: there is no store of API version 2."),
    ("etcd_debugging_store_watch_requests_total", Kind::Counter, "Always 0: there is no store of API version 2."),
    ("etcd_debugging_store_watchers", Kind::Gauge, "Always 0: there is no store of API version 2."),
    ("etcd_grpc_proxy_cache_hits_total", Kind::Gauge, "Always 0 in a server, as in etcd."),
    ("etcd_grpc_proxy_cache_keys_total", Kind::Gauge, "Always 0 in a server, as in etcd."),
    ("etcd_grpc_proxy_cache_misses_total", Kind::Gauge, "Always 0 in a server, as in etcd."),
    ("etcd_grpc_proxy_events_coalescing_total", Kind::Counter, "Always 0 in a server, as in etcd."),
    ("etcd_grpc_proxy_watchers_coalescing_total", Kind::Gauge, "Always 0 in a server, as in etcd."),
    ("etcd_mvcc_db_open_read_transactions", Kind::Gauge, "Always 0: reads hold immutable views, no transactions."),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    ("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "Always empty: the store is no B+ tree."),
    ("etcd_debugging_disk_backend_commit_spill_duration_seconds", "Always empty: the store is no B+ tree."),
    ("etcd_debugging_disk_backend_commit_write_duration_seconds", "Always empty: the store is no B+ tree."),
    ("etcd_debugging_snap_save_marshalling_duration_seconds", "Always empty: there is no store of API version 2."),
    ("etcd_debugging_snap_save_total_duration_seconds", "Always empty: there is no store of API version 2."),
    ("etcd_snap_fsync_duration_seconds", "Always empty: there is no store of API version 2."),
];

/// All of them.
pub(super) fn write(page: &mut Page) {
    for (name, kind, help) in ROWS {
        page.family(name, *kind, help);
        page.sample(name, "", 0.0);
    }
    let empty = DoublingHistogram::<1_000, 14>::default().distribution();
    for (name, help) in HISTOGRAMS {
        page.durations(name, help, &empty);
    }
    let empty = DoublingHistogram::<500, 14>::default().distribution();
    let name = "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds";
    page.durations(name, "Always empty: there is no index of keys in memory.", &empty);
    let name = "etcd_server_go_version";
    page.info(name, "Always 1; this server is not written in Go.", "server_go_version=\"none\"");
}
