//! The families of the member: server, consensus, leases, keys, watchers. Names are etcd's where etcd has them.
//!
//! Some of them break the rules for names, as etcd's do (`..._total` on a gauge): dashboards know them so.

use super::applied_families;
use super::etcd_alone;
use super::page::{Kind, Page};
use super::process;
use super::storage_families;
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
    storage_families::write(page, gauges);
    applied_families::write(page, &gauges.measured.applied);
    watchers(page, gauges);
    this.config().peers.render(this.ports().identity.member_id, page);
    known_peers(page, this);
    process::write(page);
    etcd_alone::write(page);
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
    features(page, this);
    let dropped = config.tracing.as_ref().map_or(0, |tracing| tracing.dropped()) as f64;
    page.counter("conclave_trace_spans_dropped_total", "Spans that found no room or no collector.", dropped);
    let budget = config.memory_budget as f64;
    page.gauge("conclave_memory_budget_bytes", "Bytes of all memory budgets together; see --memory-budget.", budget);
    let name = "etcd_debugging_server_alarms";
    page.family(name, Kind::Gauge, "Alarms that are raised, by member and type; each is 1.");
    for alarm in this.ports().reads.status().alarms.iter() {
        let kind = if alarm.alarm == AlarmType::Corrupt { "CORRUPT" } else { "NOSPACE" };
        page.sample(name, &format!("alarm_type=\"{kind}\",server_id=\"{:x}\"", alarm.member_id), 1.0);
    }
}

fn features(page: &mut Page, this: &ClientServices) {
    let name = "etcd_server_feature_enabled";
    page.family(name, Kind::Gauge, "1 for each feature gate that is on.");
    for (gate, stage, on) in &this.config().features {
        page.sample(name, &format!("name=\"{gate}\",stage=\"{stage}\""), f64::from(*on));
    }
}

/// The members that this one knows, itself among them.
fn known_peers(page: &mut Page, this: &ClientServices) {
    let own = this.ports().identity.member_id;
    let name = "etcd_network_known_peers";
    page.family(name, Kind::Gauge, "1 for each member that is known here.");
    for member in this.ports().reads.members().unwrap_or_default() {
        page.sample(name, &format!("Local=\"{own:x}\",Remote=\"{:x}\"", member.id), 1.0);
    }
}

fn consensus(page: &mut Page, gauges: &Gauges) {
    let measured = &gauges.measured;
    let late = measured.late_heartbeats.load(Relaxed) as f64;
    let help = "Times that this member led and was late with its heartbeats, which says that it has too much to do.";
    page.counter("etcd_server_heartbeat_send_failures_total", help, late);
    let slow = measured.slow_read_indexes.load(Relaxed) as f64;
    let help = "Rounds of read indices that half an election timeout was not enough for.";
    page.counter("etcd_server_slow_read_indexes_total", help, slow);
    let failed = measured.failed_read_indexes.load(Relaxed) as f64;
    page.counter("etcd_server_read_indexes_failed_total", "Reads that were given no read index in time.", failed);
    let promoted = measured.promotions.load(Relaxed) as f64;
    page.counter(
        "etcd_server_learner_promote_successes",
        "Learners that were promoted while this member led.",
        promoted,
    );
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
    page.counter(
        "etcd_debugging_server_lease_expired_total",
        "Leases that ended because nobody renewed them.",
        expired,
    );
    let help = "Times to live that leases were granted with, in seconds.";
    page.durations("etcd_debugging_lease_ttl_total", help, &gauges.measured.lease_ttls.distribution());
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
    let bytes = gauges.scrubbed_log_bytes.load(Relaxed) as f64;
    page.gauge(
        "conclave_scrubbed_log_bytes",
        "Bytes of the log that the present reading of it, or the last one, has come to.",
        bytes,
    );
    let damages = gauges.log_damages.load(Relaxed) as f64;
    page.counter("conclave_log_damages_total", "Places of the log that could not be read back.", damages);
    let damaged = f64::from(gauges.log_damaged_to.load(Relaxed) > 0);
    page.gauge(
        "conclave_log_damaged",
        "1 while a part of the log cannot be read back and the store does not hold all of it for good.",
        damaged,
    );
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

fn watchers(page: &mut Page, gauges: &Gauges) {
    let watchers = gauges.watchers.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", watchers);
    let streams = gauges.watch_streams.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", streams);
    let slow = gauges.slow_watchers.load(Relaxed) as f64;
    page.gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind the current revision.", slow);
    let events = gauges.events.load(Relaxed) as f64;
    page.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", events);
    let measured = &gauges.measured;
    let name = "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds";
    page.durations(name, "Seconds of turns in which events were sent.", &measured.watch_turns.distribution());
    let name = "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds";
    page.durations(name, "Seconds of such turns for each event.", &measured.watch_events.distribution());
    let name = "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds";
    page.durations(name, "Seconds of turns of requests of clients.", &measured.watch_requests.distribution());
    let name = "etcd_debugging_server_watch_send_loop_progress_duration_seconds";
    page.durations(name, "Seconds of turns of notices of progress.", &measured.watch_progress.distribution());
}
