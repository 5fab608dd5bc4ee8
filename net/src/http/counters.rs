//! What the connection loops count: calls, messages, bytes, connections.
//!
//! Written by one loop each, added up by a scrape. Must stay cheap: a few relaxed additions per call.

use super::call_times::MethodTimes;
use super::client_versions::ClientVersions;
use crate::door::{CallRecord, Code, DoorObserver, Ended, MethodInfo, MethodKind};
use crate::spans::{Called, Tracer};
use http::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Counters of one method on one loop.
#[derive(Debug)]
pub(super) struct MethodCounters {
    pub(super) kind: &'static str,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) started: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    /// By the number of the code.
    pub(super) handled: [AtomicU64; Code::ALL.len()],
    pub(super) times: MethodTimes,
}

impl MethodCounters {
    fn new(info: &MethodInfo) -> Self {
        Self {
            kind: info.kind.label(),
            service: info.service.clone(),
            method: info.method.clone(),
            started: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            handled: std::array::from_fn(|_| AtomicU64::new(0)),
            times: MethodTimes::new(&info.service, &info.method),
        }
    }
}

/// Counters of one loop. Written by that loop alone, read by scrapes.
#[derive(Debug, Default)]
pub struct LoopMetrics {
    methods: OnceLock<Vec<MethodCounters>>,
    pub(super) versions: ClientVersions,
    /// Bytes of messages, without their framing and before compression.
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl LoopMetrics {
    /// Sets the methods, once, in the order of their indices.
    pub fn name_methods<'a>(&self, infos: impl Iterator<Item = &'a MethodInfo>) {
        self.methods.get_or_init(|| infos.map(MethodCounters::new).collect());
    }

    /// The methods, by index; none before the loop runs.
    pub(super) fn methods(&self) -> &[MethodCounters] {
        self.methods.get().map_or(&[], Vec::as_slice)
    }

    fn of(&self, info: &MethodInfo) -> Option<&MethodCounters> {
        self.methods().get(info.index)
    }
}

/// One loop's observer.
pub struct Observer {
    /// Where it counts.
    pub metrics: Arc<LoopMetrics>,
    /// Decides which calls are traced; `None` for none of them.
    pub tracer: Option<Tracer>,
    /// A unary call that takes longer is a warning in the log.
    pub slow_request: Duration,
}

/// At the finest level the log has a line about every unary call.
fn logs_every_call() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

impl Observer {
    /// The line that operators search for when clients complain.
    fn log(&self, ended: &Ended<'_>) {
        if ended.method.kind != MethodKind::Unary || ended.waits {
            return;
        }
        let is_slow = ended.took > self.slow_request;
        if !is_slow && !logs_every_call() {
            return;
        }
        let remote = ended.remote.map_or_else(|| "No remote client info.".to_owned(), |remote| remote.to_string());
        let request = ended.record.as_ref().map_or("", |record| record.request.as_str());
        let (path, code) = (ended.method.path.as_str(), ended.code.name());
        if is_slow {
            tracing::warn!(
                "time spent" = ?ended.took, remote, "response type" = path, code, "request content" = request,
                "request stats"
            );
        } else {
            tracing::debug!(
                "time spent" = ?ended.took, remote, "response type" = path, code, "request content" = request,
                "request stats"
            );
        }
    }
}

impl DoorObserver for Observer {
    fn started(&self, method: &MethodInfo, headers: &HeaderMap) -> Option<Box<CallRecord>> {
        let counters = self.metrics.of(method)?;
        counters.started.fetch_add(1, Relaxed);
        let version = headers.get("client-api-version").map(|version| version.as_bytes());
        self.metrics.versions.count(version, method.kind != MethodKind::Unary);
        let called = Called { service: &method.service, method: &method.method };
        let trace = self.tracer.as_ref().and_then(|tracer| tracer.begin(called, headers));
        (trace.is_some() || logs_every_call()).then(|| Box::new(CallRecord { request: String::new(), trace }))
    }

    fn handled(&self, mut ended: Ended<'_>) {
        if let Some(m) = self.metrics.of(ended.method) {
            m.handled[ended.code as usize].fetch_add(1, Relaxed);
            m.times.observe(ended.code == Code::Ok, ended.took);
        }
        self.log(&ended);
        if let Some(trace) = ended.record.as_mut().and_then(|record| record.trace.take()) {
            trace.finish(ended.code as u8);
        }
    }

    fn msg_received(&self, method: &MethodInfo, bytes: usize) {
        self.metrics.received_bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(m) = self.metrics.of(method) {
            m.received.fetch_add(1, Relaxed);
        }
    }

    fn msg_sent(&self, method: &MethodInfo, bytes: usize) {
        self.metrics.sent_bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(m) = self.metrics.of(method) {
            m.sent.fetch_add(1, Relaxed);
        }
    }

    fn connection_opened(&self) {
        self.metrics.connections.fetch_add(1, Relaxed);
    }

    fn connection_closed(&self) {
        self.metrics.connections.fetch_sub(1, Relaxed);
    }
}
