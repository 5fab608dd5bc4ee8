//! `/metrics`: etcd's names for what exists, in Prometheus' text format.
//!
//! Counters live where they are counted (loops, gauges); a scrape adds them up. Nothing is registered globally: several
//! nodes of one process have their own.

use super::call_times::MethodTimes;
use super::counters::{LoopMetrics, MethodCounters};
use super::families;
use super::health_counts::HealthCounts;
use super::page::{Kind, Page, Unit};
use crate::door::Code;
use crate::services::ClientServices;
use messages::histogram::Distribution;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of all loops, and of the checks that they answer.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Of each loop.
    pub loops: Arc<[Arc<LoopMetrics>]>,
    pub(super) health: Arc<HealthCounts>,
    pub(super) scrapes: Arc<Scrapes>,
}

/// Scrapes of the page itself.
#[derive(Debug, Default)]
pub(super) struct Scrapes {
    served: AtomicU64,
}

/// A family with a sample for every method.
struct PerMethod {
    name: &'static str,
    help: &'static str,
    pick: fn(&MethodCounters) -> &AtomicU64,
}

const PER_METHOD: [PerMethod; 3] = [
    PerMethod { name: "grpc_server_started_total", help: "Calls that were started.", pick: |m| &m.started },
    PerMethod {
        name: "grpc_server_msg_received_total",
        help: "Messages that clients sent in calls.",
        pick: |m| &m.received,
    },
    PerMethod { name: "grpc_server_msg_sent_total", help: "Messages that were sent to clients.", pick: |m| &m.sent },
];

/// What is known of the calls of one method.
pub(super) struct MethodCalls {
    pub(super) path: String,
    pub(super) active: f64,
    pub(super) ended: f64,
    pub(super) errors: f64,
    pub(super) times: Distribution,
}

impl Metrics {
    /// For so many loops.
    pub fn new(loops: usize) -> Self {
        let loops = (0..loops).map(|_| Arc::default()).collect();
        Self { loops, health: Arc::default(), scrapes: Arc::default() }
    }

    fn sum(&self, pick: impl Fn(&LoopMetrics) -> &AtomicU64) -> f64 {
        self.loops.iter().map(|m| pick(m).load(Relaxed)).sum::<u64>() as f64
    }

    fn of_method(&self, at: usize, pick: impl Fn(&MethodCounters) -> &AtomicU64) -> f64 {
        self.loops.iter().filter_map(|m| Some(pick(m.methods().get(at)?).load(Relaxed))).sum::<u64>() as f64
    }

    /// The whole page.
    pub fn render(&self, this: &ClientServices) -> String {
        let mut page = Page::new();
        families::write(&mut page, this);
        self.connections(&mut page);
        self.calls(&mut page);
        self.times(&mut page, this.config().extensive_metrics);
        self.ranges(&mut page, this);
        self.versions(&mut page);
        self.health.write(&mut page);
        self.scrapes(&mut page);
        page.into_text()
    }

    fn connections(&self, page: &mut Page) {
        let received = self.sum(|m| &m.received_bytes);
        let name = "etcd_network_client_grpc_received_bytes_total";
        page.counter(name, "Bytes of messages that clients sent in calls.", received);
        let sent = self.sum(|m| &m.sent_bytes);
        let name = "etcd_network_client_grpc_sent_bytes_total";
        page.counter(name, "Bytes of messages that were sent to clients.", sent);
        let open = self.sum(|m| &m.connections);
        page.gauge("conclave_client_connections", "HTTP/2 connections of clients that are open.", open);
    }

    fn calls(&self, page: &mut Page) {
        let methods = self.loops.first().map_or(&[][..], |m| m.methods());
        for family in PER_METHOD {
            page.family(family.name, Kind::Counter, family.help);
            for (at, method) in methods.iter().enumerate() {
                page.sample(family.name, &labels(method), self.of_method(at, family.pick));
            }
        }
        let name = "grpc_server_handled_total";
        page.family(name, Kind::Counter, "Calls that ended, by code.");
        for (at, method) in methods.iter().enumerate() {
            // also those that never happened: a rate needs a first value to see the second
            for code in Code::ALL {
                let labels = format!("grpc_code=\"{}\",{}", code.name(), labels(method));
                page.sample(name, &labels, self.of_method(at, |m| &m.handled[code as usize]));
            }
        }
    }

    /// The methods that were called, for a page that people read.
    pub(super) fn calls_by_method(&self) -> impl Iterator<Item = MethodCalls> {
        let methods = self.loops.first().map_or(&[][..], |m| m.methods());
        methods.iter().enumerate().filter_map(|(at, method)| {
            let started = self.of_method(at, |m| &m.started);
            let ended: f64 = Code::ALL.iter().map(|code| self.of_method(at, |m| &m.handled[*code as usize])).sum();
            let well = self.of_method(at, |m| &m.handled[Code::Ok as usize]);
            let times = self.distribution(at, |times| Some(times.handling.distribution()));
            let path = format!("{}/{}", method.service, method.method);
            let (active, errors) = ((started - ended).max(0.0), ended - well);
            (started > 0.0).then_some(MethodCalls { path, active, ended, errors, times })
        })
    }

    /// What one histogram of a method counted on all loops.
    fn distribution(&self, at: usize, pick: impl Fn(&MethodTimes) -> Option<Distribution>) -> Distribution {
        let mut all = Distribution::default();
        for loop_metrics in self.loops.iter() {
            let counted = loop_metrics.methods().get(at).and_then(|method| pick(&method.times));
            counted.iter().for_each(|counted| all.add(counted));
        }
        all
    }

    /// `is_extensive` is etcd's `--metrics extensive`.
    fn times(&self, page: &mut Page, is_extensive: bool) {
        let methods = self.loops.first().map_or(&[][..], |m| m.methods());
        if is_extensive {
            let name = "grpc_server_handling_seconds";
            page.family(name, Kind::Histogram, "Seconds that calls took until their answer was handed over.");
            for (at, method) in methods.iter().enumerate() {
                let counted = self.distribution(at, |times| Some(times.handling.distribution()));
                page.histogram(name, &labels(method), &counted, Unit::Seconds);
            }
        }
        let name = "etcd_server_request_duration_seconds";
        page.family(name, Kind::Histogram, "Seconds that requests took from their arrival to their outcome.");
        for (at, method) in methods.iter().enumerate() {
            let Some(kind) = method.times.request else { continue };
            for (success, outcome) in [(true, 0), (false, 1)] {
                let counted = self.distribution(at, |times| Some(times.requests[outcome].distribution()));
                if counted.count() > 0 {
                    let labels = format!("success=\"{success}\",type=\"{kind}\"");
                    page.histogram(name, &labels, &counted, Unit::Seconds);
                }
            }
        }
    }

    fn ranges(&self, page: &mut Page, this: &ClientServices) {
        let methods = self.loops.first().map_or(&[][..], |m| m.methods());
        let Some(at) = methods.iter().position(|method| method.times.ranges.is_some()) else { return };
        let name = "etcd_server_range_duration_seconds";
        page.family(name, Kind::Histogram, "Seconds that Range calls took from their arrival to their answer.");
        for (success, outcome) in [(true, 0), (false, 1)] {
            let counted = self.distribution(at, |times| Some(times.ranges.as_ref()?[outcome].distribution()));
            if success || counted.count() > 0 {
                page.histogram(name, &format!("success=\"{success}\""), &counted, Unit::Seconds);
            }
        }
        let calls = self.of_method(at, |m| &m.handled[Code::Ok as usize]);
        let applied = this.ports().gauges.measured.applied.ranges.load(Relaxed) as f64;
        let help = "Range calls with success, and ranges in transactions that were applied.";
        page.counter("etcd_mvcc_range_total", help, calls + applied);
    }

    fn versions(&self, page: &mut Page) {
        let mut all = BTreeMap::<(String, &str), u64>::new();
        for loop_metrics in self.loops.iter() {
            for (version, unary, streams) in loop_metrics.versions.all() {
                *all.entry((version.to_owned(), "stream")).or_default() += streams;
                *all.entry((version.to_owned(), "unary")).or_default() += unary;
            }
        }
        let name = "etcd_server_client_requests_total";
        page.family(name, Kind::Counter, "Calls by the version of the API that their client says it is of.");
        for ((version, kind), count) in all.into_iter().filter(|(_, count)| *count > 0) {
            page.sample(name, &format!("client_api_version=\"{version}\",type=\"{kind}\""), count as f64);
        }
    }

    fn scrapes(&self, page: &mut Page) {
        let served = self.scrapes.served.fetch_add(1, Relaxed) as f64;
        let name = "promhttp_metric_handler_requests_in_flight";
        page.gauge(name, "Scrapes under way, this one among them.", 1.0);
        let name = "promhttp_metric_handler_requests_total";
        page.family(
            name,
            Kind::Counter,
            "Scrapes that were answered, by HTTP status code; this one is not among them.",
        );
        for (code, count) in [("200", served), ("500", 0.0), ("503", 0.0)] {
            page.sample(name, &format!("code=\"{code}\""), count);
        }
    }
}

fn labels(method: &MethodCounters) -> String {
    format!("grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"{}\"", method.method, method.service, method.kind)
}
