//! The families of the member: server, store, disk, watchers, process. Names are etcd's where etcd has them.
//!
//! Some of them break the rules for names, as etcd's do (`..._total` on a gauge): dashboards know them so.

use super::page::{Kind, Page};
use crate::services::ClientServices;
use messages::Gauges;
use model::StoreStatus;
use model::request::AlarmType;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

/// All of them.
pub(super) fn write(page: &mut Page, this: &ClientServices) {
    let gauges = &this.ports().gauges;
    server(page, this);
    consensus(page, gauges);
    leases(page, gauges);
    store(page, &this.ports().reads.status());
    let users = this.ports().reads.auth_revision().1;
    page.gauge("etcd_debugging_auth_revision", "Revision of users and roles.", users as f64);
    agreement(page, gauges);
    disk(page, gauges);
    watchers(page, gauges);
    this.config().peers.render(this.ports().identity.member_id, page);
    process(page);
}

fn server(page: &mut Page, this: &ClientServices) {
    let gauges = &this.ports().gauges;
    let config = this.config();
    let leader = gauges.leader.load(Relaxed);
    let own = this.ports().identity.member_id;
    let cluster = this.ports().reads.cluster_version().unwrap_or_default();
    // etcd leaves the patch away
    let minor = cluster.rsplit_once('.').map_or(cluster.as_str(), |(minor, _)| minor);
    let version = format!("cluster_version=\"{minor}\"");
    page.info("etcd_cluster_version", "Version that all members of the cluster agree on; always 1.", &version);
    let version = format!("server_version=\"{}\"", config.server_version);
    page.info("etcd_server_version", "Version of etcd whose interface this member serves; always 1.", &version);
    page.info("etcd_server_id", "Id of this member, in hexadecimal; always 1.", &format!("server_id=\"{own:x}\""));
    page.gauge("etcd_server_has_leader", "1 when this member knows a leader.", f64::from(leader != 0));
    page.gauge("etcd_server_is_leader", "1 when this member leads.", f64::from(leader == own));
    let learner = gauges.learner.load(Relaxed);
    page.gauge("etcd_server_is_learner", "1 when this member receives the log and does not vote.", f64::from(learner));
    let dropped = config.dropped_log_lines.load(Relaxed) as f64;
    page.counter("conclave_log_lines_dropped_total", "Log lines that nobody took in time.", dropped);
    page.gauge("etcd_server_quota_backend_bytes", "Bytes that the store may hold.", config.quota_bytes as f64);
    let ends = gauges.certificate_ends.load(Relaxed);
    if ends != 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = ends as f64 - now.as_secs_f64().floor();
        let help = "Seconds until the certificate shown to clients ends; negative afterwards.";
        page.gauge("conclave_server_certificate_expiration_seconds", help, left);
    }
    let name = "etcd_debugging_server_alarms";
    page.family(name, Kind::Gauge, "Alarms that are raised, by member and type; each is 1.");
    for alarm in this.ports().reads.status().alarms.iter() {
        let kind = if alarm.alarm == AlarmType::Corrupt { "CORRUPT" } else { "NOSPACE" };
        page.sample(name, &format!("alarm_type=\"{kind}\",server_id=\"{:x}\"", alarm.member_id), 1.0);
    }
}

fn consensus(page: &mut Page, gauges: &Gauges) {
    let changes = gauges.leader_changes.load(Relaxed) as f64;
    page.counter("etcd_server_leader_changes_seen_total", "Changes of the leader that this member saw.", changes);
    let committed = gauges.committed.load(Relaxed) as f64;
    page.gauge("etcd_server_proposals_committed_total", "Index of the last committed log entry.", committed);
    let applied = gauges.applied.load(Relaxed) as f64;
    page.gauge("etcd_server_proposals_applied_total", "Index of the last log entry that is in the store.", applied);
    let pending = gauges.pending.load(Relaxed) as f64;
    page.gauge("etcd_server_proposals_pending", "Proposals that wait for their outcome.", pending);
    let failed = gauges.proposals_failed.load(Relaxed) as f64;
    page.counter("etcd_server_proposals_failed_total", "Proposals that failed.", failed);
}

fn leases(page: &mut Page, gauges: &Gauges) {
    let expired = gauges.leases_expired.load(Relaxed) as f64;
    page.counter("etcd_server_lease_expired_total", "Leases that ended because nobody renewed them.", expired);
    let granted = gauges.leases_granted.load(Relaxed) as f64;
    page.counter("etcd_debugging_lease_granted_total", "Leases that were granted.", granted);
    let revoked = gauges.leases_revoked.load(Relaxed) as f64;
    page.counter("etcd_debugging_lease_revoked_total", "Leases that were revoked.", revoked);
    let renewed = gauges.leases_renewed.load(Relaxed) as f64;
    page.counter("etcd_debugging_lease_renewed_total", "Renewals of leases that the leader saw.", renewed);
}

fn store(page: &mut Page, status: &StoreStatus) {
    let total = status.logical_bytes as f64;
    page.gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of the store that count against its quota.", total);
    let live = status.live_bytes as f64;
    page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of the store that are in use.", live);
    page.gauge("etcd_debugging_mvcc_keys_total", "Keys in the store.", status.keys as f64);
    page.gauge("etcd_debugging_mvcc_current_revision", "Current revision of the store.", status.revision as f64);
    let compacted = status.compact_revision as f64;
    page.gauge("etcd_debugging_mvcc_compact_revision", "Last revision that the store was compacted to.", compacted);
}

fn agreement(page: &mut Page, gauges: &Gauges) {
    let compared = gauges.hashes_compared.load(Relaxed) as f64;
    page.counter(
        "conclave_running_hashes_compared_total",
        "Running hashes of other members that were compared.",
        compared,
    );
    let scrubs = gauges.scrubs.load(Relaxed) as f64;
    page.counter("conclave_scrubs_total", "Times that the whole store was read to find damage.", scrubs);
    let rows = gauges.scrubbed_rows.load(Relaxed) as f64;
    page.gauge(
        "conclave_scrubbed_rows",
        "Rows that the present reading of the store, or the last one, has come to.",
        rows,
    );
    let problems = gauges.scrub_problems.load(Relaxed) as f64;
    page.gauge("conclave_scrub_problems", "Problems that the last reading of the store has found.", problems);
    let fenced = f64::from(gauges.fenced.load(Relaxed));
    page.gauge(
        "conclave_member_fenced",
        "1 while this member's data is not that of the others, and it answers nothing about keys.",
        fenced,
    );
    let first = gauges.first_difference.load(Relaxed) as f64;
    page.gauge(
        "conclave_first_different_entry",
        "First log entry behind which the data of members differs; 0 for none.",
        first,
    );
}

fn disk(page: &mut Page, gauges: &Gauges) {
    syncs(page, gauges);
    let written = gauges.wal_bytes.load(Relaxed) as f64;
    page.counter("etcd_disk_wal_write_bytes_total", "Bytes written to the write-ahead log.", written);
    let defragmenting = f64::from(gauges.defragmenting.load(Relaxed));
    page.gauge("etcd_disk_defrag_inflight", "1 while a defragmentation runs.", defragmenting);
    let bytes = gauges.disk_bytes.load(Relaxed) as f64;
    page.gauge("conclave_store_disk_bytes", "Bytes that the files of the store take on disk.", bytes);
}

/// The histogram that etcd's alert rules look at: each bucket counts what took no longer than its bound.
fn syncs(page: &mut Page, gauges: &Gauges) {
    const NAME: &str = "etcd_disk_wal_fsync_duration_seconds";
    page.family(NAME, Kind::Histogram, "Seconds that syncs of the write-ahead log took.");
    page.histogram(NAME, "", &gauges.wal_syncs);
}

fn watchers(page: &mut Page, gauges: &Gauges) {
    let watchers = gauges.watchers.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", watchers);
    let streams = gauges.watch_streams.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", streams);
    let slow = gauges.slow_watchers.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind the current revision.", slow);
    let events = gauges.events.load(Relaxed) as f64;
    page.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", events);
}

/// What the operating system says of this process; nothing where it says nothing.
fn process(page: &mut Page) {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    if let Some(resident) = pages.and_then(|s| s.split_whitespace().nth(1)?.parse::<f64>().ok()) {
        page.gauge("process_resident_memory_bytes", "Bytes of memory that are resident.", resident * 4096.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let open = open.count() as f64;
        page.gauge("os_fd_used", "File descriptors that are open.", open);
        page.gauge("process_open_fds", "File descriptors that are open.", open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn syncs_are_a_cumulative_histogram() {
        let gauges = Gauges::default();
        for micros in [10, 1000, 1001, 8_192_000, 9_000_000] {
            gauges.wal_syncs.observe(Duration::from_micros(micros));
        }
        let mut page = Page::new();
        syncs(&mut page, &gauges);
        let text = page.into_text();
        let of = |bound: &str| {
            let head = format!("etcd_disk_wal_fsync_duration_seconds_bucket{{le=\"{bound}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&head).map(str::to_owned)).expect(bound)
        };
        assert_eq!([of("0.001"), of("0.002"), of("4.096"), of("8.192"), of("+Inf")], ["2", "3", "3", "4", "5"]);
        assert!(text.contains("_count 5\n"));
    }
}
