//! `/metrics`: etcd's names for what exists, in Prometheus' text format.
//!
//! Counters live where they are counted (loops, gauges); a scrape adds them up. Nothing is registered globally: several
//! nodes of one process have their own.

use crate::door::{Code, DoorObserver, MethodInfo};
use crate::services::ClientServices;
use messages::Gauges;
use messages::ports::SYNC_BUCKETS;
use model::StoreStatus;
use model::request::AlarmType;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// gRPC status codes.
const CODES: usize = 17;

/// Counters of one method on one loop.
#[derive(Debug)]
struct MethodCounters {
    kind: &'static str,
    service: String,
    method: String,
    started: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    handled: [AtomicU64; CODES],
    micros: AtomicU64,
}

/// Counters of one loop. Written by that loop alone, read by scrapes.
#[derive(Debug, Default)]
pub struct LoopMetrics {
    methods: OnceLock<Vec<MethodCounters>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    connections: AtomicU64,
}

impl LoopMetrics {
    /// Sets the methods, once, in the order of their indices.
    pub fn name_methods<'a>(&self, infos: impl Iterator<Item = &'a MethodInfo>) {
        self.methods.get_or_init(|| {
            infos
                .map(|info| MethodCounters {
                    kind: info.kind.label(),
                    service: info.service.clone(),
                    method: info.method.clone(),
                    started: AtomicU64::new(0),
                    received: AtomicU64::new(0),
                    sent: AtomicU64::new(0),
                    handled: std::array::from_fn(|_| AtomicU64::new(0)),
                    micros: AtomicU64::new(0),
                })
                .collect()
        });
    }

    fn of(&self, info: &MethodInfo) -> Option<&MethodCounters> {
        self.methods.get()?.get(info.index)
    }
}

/// One loop's observer.
#[derive(Debug)]
pub struct Observer(pub Arc<LoopMetrics>);

impl DoorObserver for Observer {
    fn started(&self, method: &MethodInfo) {
        if let Some(m) = self.0.of(method) {
            m.started.fetch_add(1, Relaxed);
        }
    }

    fn handled(&self, method: &MethodInfo, code: Code, took: Duration) {
        if let Some(m) = self.0.of(method) {
            m.handled[code as usize].fetch_add(1, Relaxed);
            m.micros.fetch_add(took.as_micros() as u64, Relaxed);
        }
    }

    fn msg_received(&self, method: &MethodInfo, _: usize) {
        if let Some(m) = self.0.of(method) {
            m.received.fetch_add(1, Relaxed);
        }
    }

    fn msg_sent(&self, method: &MethodInfo, _: usize) {
        if let Some(m) = self.0.of(method) {
            m.sent.fetch_add(1, Relaxed);
        }
    }

    fn bytes_in(&self, bytes: u64) {
        self.0.bytes_in.fetch_add(bytes, Relaxed);
    }

    fn bytes_out(&self, bytes: u64) {
        self.0.bytes_out.fetch_add(bytes, Relaxed);
    }

    fn connection_opened(&self) {
        self.0.connections.fetch_add(1, Relaxed);
    }

    fn connection_closed(&self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Counters of all loops.
#[derive(Clone, Debug)]
pub struct Metrics(pub Arc<[Arc<LoopMetrics>]>);

impl Metrics {
    /// For so many loops.
    pub fn new(loops: usize) -> Self {
        Self((0..loops).map(|_| Arc::default()).collect())
    }

    fn sum(&self, pick: impl Fn(&LoopMetrics) -> u64) -> u64 {
        self.0.iter().map(|m| pick(m)).sum()
    }

    fn method(&self, at: usize, pick: impl Fn(&MethodCounters) -> u64) -> u64 {
        self.0.iter().filter_map(|m| Some(pick(m.methods.get()?.get(at)?))).sum()
    }

    /// The whole page.
    pub fn render(&self, this: &ClientServices) -> String {
        let mut page = Page(String::with_capacity(32 << 10));
        server(&mut page, this);
        store(&mut page, &this.ports().reads.status());
        disk_and_watch(&mut page, this);
        self.grpc(&mut page);
        process(&mut page);
        page.0
    }

    fn grpc(&self, page: &mut Page) {
        let received = self.sum(|m| m.bytes_in.load(Relaxed));
        let sent = self.sum(|m| m.bytes_out.load(Relaxed));
        page.one("etcd_network_client_grpc_received_bytes_total", "counter", received as f64);
        page.one("etcd_network_client_grpc_sent_bytes_total", "counter", sent as f64);
        page.one("conclave_client_connections", "gauge", self.sum(|m| m.connections.load(Relaxed)) as f64);
        let Some(methods) = self.0.first().and_then(|m| m.methods.get()) else { return };
        let labels = |m: &MethodCounters| {
            format!("grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"{}\"", m.method, m.service, m.kind)
        };
        type Pick = fn(&MethodCounters) -> u64;
        let families: [(&str, Pick); 3] = [
            ("grpc_server_started_total", |m| m.started.load(Relaxed)),
            ("grpc_server_msg_received_total", |m| m.received.load(Relaxed)),
            ("grpc_server_msg_sent_total", |m| m.sent.load(Relaxed)),
        ];
        for (name, pick) in families {
            page.head(name, "counter");
            for (at, method) in methods.iter().enumerate() {
                page.line(name, &labels(method), self.method(at, pick) as f64);
            }
        }
        page.head("grpc_server_handled_total", "counter");
        for (at, method) in methods.iter().enumerate() {
            for code in 0..CODES {
                let count = self.method(at, |m| m.handled[code].load(Relaxed));
                if count > 0 || code == 0 {
                    let labels = format!("grpc_code=\"{}\",{}", code_name(code), labels(method));
                    page.line("grpc_server_handled_total", &labels, count as f64);
                }
            }
        }
        for (name, service_method) in [
            ("etcd_mvcc_put_total", "Put"),
            ("etcd_mvcc_range_total", "Range"),
            ("etcd_mvcc_txn_total", "Txn"),
            ("etcd_mvcc_delete_total", "DeleteRange"),
        ] {
            let at = methods.iter().position(|m| m.service == "etcdserverpb.KV" && m.method == service_method);
            let count = at.map_or(0, |at| self.method(at, |m| m.handled[0].load(Relaxed)));
            page.one(name, "counter", count as f64);
        }
    }
}

fn code_name(code: usize) -> &'static str {
    const ALL: [Code; CODES] = [
        Code::Ok,
        Code::Canceled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];
    ALL[code].name()
}

fn server(page: &mut Page, this: &ClientServices) {
    let gauges = &this.ports().gauges;
    let config = &this.config();
    page.one("conclave_log_lines_dropped_total", "counter", config.dropped_log_lines.load(Relaxed) as f64);
    let leader = gauges.leader.load(Relaxed);
    let own = this.ports().identity.member_id;
    let cluster = this.ports().reads.cluster_version().unwrap_or_default();
    page.labelled("etcd_cluster_version", "gauge", &format!("cluster_version=\"{cluster}\""), 1.0);
    page.labelled("etcd_server_version", "gauge", &format!("server_version=\"{}\"", config.server_version), 1.0);
    page.labelled("etcd_server_id", "gauge", &format!("server_id=\"{own:x}\""), 1.0);
    page.one("etcd_server_has_leader", "gauge", f64::from(leader != 0));
    page.one("etcd_server_is_leader", "gauge", f64::from(leader == own));
    page.one("etcd_server_is_learner", "gauge", f64::from(gauges.learner.load(Relaxed)));
    page.one("etcd_server_leader_changes_seen_total", "counter", gauges.leader_changes.load(Relaxed) as f64);
    page.one("etcd_server_proposals_committed_total", "gauge", gauges.committed.load(Relaxed) as f64);
    page.one("etcd_server_proposals_applied_total", "gauge", gauges.applied.load(Relaxed) as f64);
    page.one("etcd_server_proposals_pending", "gauge", gauges.pending.load(Relaxed) as f64);
    page.one("etcd_server_proposals_failed_total", "counter", gauges.proposals_failed.load(Relaxed) as f64);
    page.one("etcd_server_quota_backend_bytes", "gauge", config.quota_bytes as f64);
    page.one("etcd_server_lease_expired_total", "counter", gauges.leases_expired.load(Relaxed) as f64);
    page.one("etcd_debugging_lease_granted_total", "counter", gauges.leases_granted.load(Relaxed) as f64);
    page.one("etcd_debugging_lease_revoked_total", "counter", gauges.leases_revoked.load(Relaxed) as f64);
    page.one("etcd_debugging_lease_renewed_total", "counter", gauges.leases_renewed.load(Relaxed) as f64);
    let alarms = this.ports().reads.status().alarms;
    page.head("etcd_debugging_server_alarms", "gauge");
    for alarm in alarms.iter() {
        let kind = if alarm.alarm == AlarmType::Corrupt { "CORRUPT" } else { "NOSPACE" };
        let labels = format!("alarm_type=\"{kind}\",server_id=\"{:x}\"", alarm.member_id);
        page.line("etcd_debugging_server_alarms", &labels, 1.0);
    }
}

fn store(page: &mut Page, status: &StoreStatus) {
    page.one("etcd_mvcc_db_total_size_in_bytes", "gauge", status.logical_bytes as f64);
    page.one("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", status.live_bytes as f64);
    page.one("etcd_debugging_mvcc_keys_total", "gauge", status.keys as f64);
    page.one("etcd_debugging_mvcc_current_revision", "gauge", status.revision as f64);
    page.one("etcd_debugging_mvcc_compact_revision", "gauge", status.compact_revision as f64);
}

fn disk_and_watch(page: &mut Page, this: &ClientServices) {
    let gauges = &this.ports().gauges;
    syncs(page, gauges);
    page.one("etcd_disk_wal_write_bytes_total", "counter", gauges.wal_bytes.load(Relaxed) as f64);
    page.one("etcd_disk_defrag_inflight", "gauge", f64::from(gauges.defragmenting.load(Relaxed)));
    let ends = gauges.certificate_ends.load(Relaxed);
    if ends != 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        page.one("conclave_server_certificate_expiration_seconds", "gauge", ends as f64 - now.as_secs_f64().floor());
    }
    page.one("conclave_store_disk_bytes", "gauge", gauges.disk_bytes.load(Relaxed) as f64);
    page.one("etcd_debugging_mvcc_watcher_total", "gauge", gauges.watchers.load(Relaxed) as f64);
    page.one("etcd_debugging_mvcc_watch_stream_total", "gauge", gauges.watch_streams.load(Relaxed) as f64);
    page.one("etcd_debugging_mvcc_slow_watcher_total", "gauge", gauges.slow_watchers.load(Relaxed) as f64);
    page.one("etcd_debugging_mvcc_events_total", "counter", gauges.events.load(Relaxed) as f64);
}

/// The histogram that etcd's alert rules look at: each bucket counts what took no longer than its bound.
fn syncs(page: &mut Page, gauges: &Gauges) {
    const NAME: &str = "etcd_disk_wal_fsync_duration_seconds";
    page.head(NAME, "histogram");
    let mut count = 0;
    for (at, bucket) in gauges.wal_syncs.iter().enumerate() {
        count += bucket.load(Relaxed);
        let bound = if at < SYNC_BUCKETS { (f64::from(1 << at) / 1e3).to_string() } else { "+Inf".into() };
        page.line(&format!("{NAME}_bucket"), &format!("le=\"{bound}\""), count as f64);
    }
    page.line(&format!("{NAME}_sum"), "", gauges.wal_sync_micros.load(Relaxed) as f64 / 1e6);
    page.line(&format!("{NAME}_count"), "", count as f64);
}

/// What the operating system says of this process; nothing where it says nothing.
fn process(page: &mut Page) {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    if let Some(resident) = pages.and_then(|s| s.split_whitespace().nth(1)?.parse::<f64>().ok()) {
        page.one("process_resident_memory_bytes", "gauge", resident * 4096.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let open = open.count() as f64;
        page.one("os_fd_used", "gauge", open);
        page.one("process_open_fds", "gauge", open);
    }
}

/// The page under construction.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    fn one(&mut self, name: &str, kind: &str, value: f64) {
        self.head(name, kind);
        self.line(name, "", value);
    }

    fn labelled(&mut self, name: &str, kind: &str, labels: &str, value: f64) {
        self.head(name, kind);
        self.line(name, labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_are_a_cumulative_histogram() {
        let gauges = Gauges::default();
        for micros in [10, 1000, 1001, 8_192_000, 9_000_000] {
            gauges.wal_synced(Duration::from_micros(micros));
        }
        let mut page = Page(String::new());
        syncs(&mut page, &gauges);
        let of = |bound: &str| {
            let head = format!("etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"{bound}\"}} ");
            page.0.lines().find_map(|line| line.strip_prefix(&head).map(str::to_owned)).expect(bound)
        };
        assert_eq!([of("0.001"), of("0.002"), of("4.096"), of("8.192"), of("+Inf")], ["2", "3", "3", "4", "5"]);
        assert!(page.0.contains("_count 5\n"));
    }
}
