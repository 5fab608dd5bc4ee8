//! The families of log and store: syncs, writes, snapshots, hashes, compactions.
//!
//! A name is etcd's where the same question is asked of another engine; its help says what it is here.

use super::page::{Kind, Page};
use messages::Gauges;
use std::sync::atomic::Ordering::Relaxed;

/// All of them.
pub(super) fn write(page: &mut Page, gauges: &Gauges) {
    log(page, gauges);
    store(page, gauges);
    snapshots(page, gauges);
    hashes(page, gauges);
    compactions(page, gauges);
}

fn log(page: &mut Page, gauges: &Gauges) {
    let name = "etcd_disk_wal_fsync_duration_seconds";
    page.durations(name, "Seconds that syncs of the write-ahead log took.", &gauges.wal_syncs.distribution());
    let name = "etcd_disk_wal_write_duration_seconds";
    let help = "Seconds that writes to the write-ahead log took, without their syncs.";
    page.durations(name, help, &gauges.measured.wal_writes.distribution());
    let written = gauges.wal_bytes.load(Relaxed) as f64;
    page.gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the write-ahead log.", written);
    let released = gauges.log_released.load(Relaxed) as f64;
    page.gauge("conclave_log_released_index", "Index of the log entry up to which the log was released.", released);
}

fn store(page: &mut Page, gauges: &Gauges) {
    let name = "etcd_disk_backend_commit_duration_seconds";
    let help = "Seconds that a list of entries took to be applied and written to the store; the log is what syncs.";
    page.durations(name, help, &gauges.measured.store_commits.distribution());
    let name = "etcd_disk_backend_defrag_duration_seconds";
    page.durations(name, "Seconds that defragmentations took.", &gauges.measured.defragmentations.distribution());
    let defragmenting = f64::from(gauges.defragmenting.load(Relaxed));
    page.gauge("etcd_disk_defrag_inflight", "1 while a defragmentation runs.", defragmenting);
    let bytes = gauges.disk_bytes.load(Relaxed) as f64;
    page.gauge("conclave_store_disk_bytes", "Bytes that the files of the store take on disk.", bytes);
    let low = f64::from(gauges.disk_low.load(Relaxed));
    page.gauge("conclave_disk_low", "1 while the disk is so full that writes are refused.", low);
}

fn snapshots(page: &mut Page, gauges: &Gauges) {
    let measured = &gauges.measured;
    let name = "etcd_disk_backend_snapshot_duration_seconds";
    let help = "Seconds that a snapshot of the store took to be opened for a client.";
    page.durations(name, help, &measured.snapshots_opened.distribution());
    let name = "etcd_snap_db_save_total_duration_seconds";
    let help = "Seconds that a store that was received took to be verified, opened and synced.";
    page.durations(name, help, &measured.received_stores.distribution());
    let name = "etcd_snap_db_fsync_duration_seconds";
    let help = "Seconds that the folder of a store that was received took to be synced.";
    page.durations(name, help, &measured.received_stores_synced.distribution());
    let installing = measured.installing.load(Relaxed) as f64;
    let name = "etcd_server_snapshot_apply_in_progress_total";
    page.gauge(name, "1 while a store that was received takes the place of the present one.", installing);
    let receiving = f64::from(gauges.receiving_snapshot.load(Relaxed));
    page.gauge(
        "conclave_snapshot_receiving",
        "1 while a snapshot of another member is received or installed.",
        receiving,
    );
}

fn hashes(page: &mut Page, gauges: &Gauges) {
    let name = "etcd_mvcc_hash_duration_seconds";
    page.durations(name, "Seconds that hashes of the whole store took.", &gauges.measured.hashes.distribution());
    let name = "etcd_mvcc_hash_rev_duration_seconds";
    let help = "Seconds that hashes at a revision took; one that was kept takes none.";
    page.durations(name, help, &gauges.measured.revision_hashes.distribution());
}

fn compactions(page: &mut Page, gauges: &Gauges) {
    let measured = &gauges.measured;
    let name = "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds";
    let help = "Milliseconds from the first to the last step of a compaction.";
    page.durations(name, help, &measured.compactions.distribution());
    let name = "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds";
    let help = "Milliseconds that a step of a compaction kept entries waiting.";
    page.durations(name, help, &measured.compaction_steps.distribution());
    let deleted = measured.compacted.load(Relaxed) as f64;
    let name = "etcd_debugging_mvcc_db_compaction_keys_total";
    page.counter(name, "Versions of keys that compactions have deleted.", deleted);
    let last = measured.last_compaction.load(Relaxed) as f64;
    let name = "etcd_debugging_mvcc_db_compaction_last";
    page.family(name, Kind::Gauge, "When the last compaction ended, in seconds since 1970; 0 for none.");
    page.sample(name, "", last);
}
