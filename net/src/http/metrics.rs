//! `/metrics`: etcd's names for what exists, in Prometheus' text format.
//!
//! Counters live where they are counted (loops, gauges); a scrape adds them up. Nothing is registered globally: several
//! nodes of one process have their own.

use super::counters::{LoopMetrics, MethodCounters};
use super::families;
use super::page::{Kind, Page};
use crate::door::Code;
use crate::services::ClientServices;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of all loops.
#[derive(Clone, Debug)]
pub struct Metrics(pub Arc<[Arc<LoopMetrics>]>);

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

/// etcd's counters of operations, as far as calls are that.
const OPERATIONS: [(&str, &str, &str); 4] = [
    ("etcd_mvcc_put_total", "Put", "Successful Put calls."),
    ("etcd_mvcc_range_total", "Range", "Successful Range calls."),
    ("etcd_mvcc_txn_total", "Txn", "Successful Txn calls."),
    ("etcd_mvcc_delete_total", "DeleteRange", "Successful DeleteRange calls."),
];

impl Metrics {
    /// For so many loops.
    pub fn new(loops: usize) -> Self {
        Self((0..loops).map(|_| Arc::default()).collect())
    }

    fn sum(&self, pick: impl Fn(&LoopMetrics) -> &AtomicU64) -> f64 {
        self.0.iter().map(|m| pick(m).load(Relaxed)).sum::<u64>() as f64
    }

    fn of_method(&self, at: usize, pick: impl Fn(&MethodCounters) -> &AtomicU64) -> f64 {
        self.0.iter().filter_map(|m| Some(pick(m.methods().get(at)?).load(Relaxed))).sum::<u64>() as f64
    }

    /// The whole page.
    pub fn render(&self, this: &ClientServices) -> String {
        let mut page = Page::new();
        families::write(&mut page, this);
        self.connections(&mut page);
        self.calls(&mut page);
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
        let methods = self.0.first().map_or(&[][..], |m| m.methods());
        let labels = |m: &MethodCounters| {
            format!("grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"{}\"", m.method, m.service, m.kind)
        };
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
        for (name, method, help) in OPERATIONS {
            let at = methods.iter().position(|m| m.service == "etcdserverpb.KV" && m.method == method);
            let count = at.map_or(0.0, |at| self.of_method(at, |m| &m.handled[Code::Ok as usize]));
            page.counter(name, help, count);
        }
    }
}
