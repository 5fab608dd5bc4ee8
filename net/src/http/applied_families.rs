//! The families of what was applied: operations, and how long each kind of command took.

use super::page::{Kind, Page, Unit};
use messages::measured::AppliedWork;
use std::sync::atomic::Ordering::Relaxed;

/// All of them.
pub(super) fn write(page: &mut Page, work: &AppliedWork) {
    let name = "etcd_server_apply_duration_seconds";
    let help = "Seconds that commands took to be applied; those of one list share its time evenly.";
    page.family(name, Kind::Histogram, help);
    for (kind, success, times) in work.commands() {
        let labels = format!("op=\"{}\",success=\"{success}\",version=\"v3\"", kind.name());
        page.histogram(name, &labels, &times.distribution(), Unit::Seconds);
    }
    let slow = work.slow.load(Relaxed) as f64;
    let help = "Lists of entries that took longer to be applied than --warning-apply-duration.";
    page.counter("etcd_server_slow_apply_total", help, slow);
    let rows = [
        ("etcd_mvcc_put_total", &work.puts, "Puts that were applied, those in transactions included."),
        ("etcd_mvcc_delete_total", &work.deletes, "Deletes that were applied, those in transactions included."),
        ("etcd_mvcc_txn_total", &work.txns, "Transactions with more than one operation that were applied."),
    ];
    for (name, counter, help) in rows {
        page.counter(name, help, counter.load(Relaxed) as f64);
    }
    let bytes = work.put_bytes.load(Relaxed) as f64;
    let name = "etcd_debugging_mvcc_total_put_size_in_bytes";
    page.gauge(name, "Bytes of the key-value pairs that were put.", bytes);
}
