//! How often the member was found healthy, and by which checks.
//!
//! A check that nobody has asked for is not shown, as in etcd. Must never decide whether a member is healthy.

use super::page::{Kind, Page};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Probes and their checks.
const CHECKS: [(&str, &str); 5] = [
    ("livez", "serializable_read"),
    ("readyz", "data_corruption"),
    ("readyz", "linearizable_read"),
    ("readyz", "non_learner"),
    ("readyz", "serializable_read"),
];

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct HealthCounts {
    healthy: AtomicU64,
    unhealthy: AtomicU64,
    checks: [Check; CHECKS.len()],
}

#[derive(Debug, Default)]
struct Check {
    passed: AtomicU64,
    failed: AtomicU64,
    passed_last: AtomicU64,
}

impl HealthCounts {
    /// `/health` was asked for.
    pub(super) fn health(&self, healthy: bool) {
        (if healthy { &self.healthy } else { &self.unhealthy }).fetch_add(1, Relaxed);
    }

    /// A check of a probe was made.
    pub(super) fn check(&self, probe: &str, name: &str, passed: bool) {
        let Some(at) = CHECKS.iter().position(|check| *check == (probe, name)) else { return };
        let check = &self.checks[at];
        (if passed { &check.passed } else { &check.failed }).fetch_add(1, Relaxed);
        check.passed_last.store(u64::from(passed), Relaxed);
    }

    /// The families.
    pub(super) fn write(&self, page: &mut Page) {
        let healthy = self.healthy.load(Relaxed) as f64;
        page.counter("etcd_server_health_success", "Times that /health was asked for and all was well.", healthy);
        let unhealthy = self.unhealthy.load(Relaxed) as f64;
        page.counter(
            "etcd_server_health_failures",
            "Times that /health was asked for and something was not.",
            unhealthy,
        );
        let asked = || {
            let checks = CHECKS.iter().zip(&self.checks);
            checks.filter(|(_, check)| check.passed.load(Relaxed) + check.failed.load(Relaxed) > 0)
        };
        if asked().next().is_none() {
            return;
        }
        let name = "etcd_server_healthcheck";
        page.family(name, Kind::Gauge, "1 for each check of a probe that passed when it was last made.");
        for ((probe, check), counts) in asked() {
            let labels = format!("name=\"{check}\",type=\"{probe}\"");
            page.sample(name, &labels, counts.passed_last.load(Relaxed) as f64);
        }
        let name = "etcd_server_healthchecks_total";
        page.family(name, Kind::Counter, "Checks of probes that were made, by what came of them.");
        for ((probe, check), counts) in asked() {
            for (status, count) in [("success", &counts.passed), ("error", &counts.failed)] {
                if count.load(Relaxed) > 0 {
                    let labels = format!("name=\"{check}\",status=\"{status}\",type=\"{probe}\"");
                    page.sample(name, &labels, count.load(Relaxed) as f64);
                }
            }
        }
    }
}
