//! What the connection loops count: calls, messages, bytes, connections.
//!
//! Written by one loop each, added up by a scrape. Must stay cheap: a few relaxed additions per call.

use crate::door::{Code, DoorObserver, MethodInfo};
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
        }
    }
}

/// Counters of one loop. Written by that loop alone, read by scrapes.
#[derive(Debug, Default)]
pub struct LoopMetrics {
    methods: OnceLock<Vec<MethodCounters>>,
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
#[derive(Debug)]
pub struct Observer(pub Arc<LoopMetrics>);

impl DoorObserver for Observer {
    fn started(&self, method: &MethodInfo) {
        if let Some(m) = self.0.of(method) {
            m.started.fetch_add(1, Relaxed);
        }
    }

    fn handled(&self, method: &MethodInfo, code: Code, _: Duration) {
        if let Some(m) = self.0.of(method) {
            m.handled[code as usize].fetch_add(1, Relaxed);
        }
    }

    fn msg_received(&self, method: &MethodInfo, bytes: usize) {
        self.0.received_bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(m) = self.0.of(method) {
            m.received.fetch_add(1, Relaxed);
        }
    }

    fn msg_sent(&self, method: &MethodInfo, bytes: usize) {
        self.0.sent_bytes.fetch_add(bytes as u64, Relaxed);
        if let Some(m) = self.0.of(method) {
            m.sent.fetch_add(1, Relaxed);
        }
    }

    fn connection_opened(&self) {
        self.0.connections.fetch_add(1, Relaxed);
    }

    fn connection_closed(&self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
