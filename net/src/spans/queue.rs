//! Finished spans, and their way to the exporter: a bounded queue. Must never wait.

use messages::Gauges;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc;

/// Bytes of a text in an attribute.
const TEXT_BYTES: usize = 1 << 10;

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

impl Value {
    /// Of bytes that are text as a rule: keys.
    pub fn bytes(bytes: &[u8]) -> Self {
        let cut = &bytes[..bytes.len().min(TEXT_BYTES)];
        Self::Text(String::from_utf8_lossy(cut).into_owned())
    }
}

/// Attributes: name and value.
pub type Attributes = Vec<(&'static str, Value)>;

/// A span that is over.
#[derive(Clone, Debug)]
pub(super) struct SpanData {
    pub(super) trace: [u8; 16],
    pub(super) id: u64,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    /// It is that of a call that came from outside.
    pub(super) is_server: bool,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes,
    /// Name and time.
    pub(super) events: Vec<(&'static str, u64)>,
    pub(super) failed: bool,
}

/// The way into the queue of finished spans.
#[derive(Clone)]
pub(super) struct SpanQueue {
    pub(super) queue: mpsc::Sender<SpanData>,
    /// Spans that found no room.
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) gauges: Arc<Gauges>,
}

impl fmt::Debug for SpanQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanQueue")
    }
}

impl SpanQueue {
    pub(super) fn send(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}
