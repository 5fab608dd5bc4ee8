//! The spans of one call: that of the call itself, of the operation in it with its events, and of what owners did for it.
//!
//! They are sent when the call is over. Texts are cut, so that a span stays small whatever a client sends.

use super::queue::{Attributes, SpanData, SpanQueue, Value};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Spans of one call, the watchers of a stream among them; what is beyond them is left out.
const MOST_CHILDREN: u64 = 64;

/// Codes of gRPC that are errors of a server, by OpenTelemetry's rules: Unknown, DeadlineExceeded, Unimplemented, Internal,
/// Unavailable, DataLoss. The others are its client's.
const FAULTS_OF_SERVERS: [u8; 6] = [2, 4, 12, 13, 14, 15];

/// etcd's name of the event that a proposal leaves.
pub const SENT: &str = "Send raft proposal";
/// etcd's name of the event that its outcome is known.
pub const RECEIVED: &str = "Receive raft result";
/// A read index is asked for.
pub const ASKED: &str = "Ask for read index";
/// It was granted.
pub const GRANTED: &str = "Read index granted";

/// What a call is a call of.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// `package.Service`.
    pub service: &'a str,
    /// `Method`.
    pub method: &'a str,
}

/// See the file header.
#[derive(Debug)]
pub struct CallTrace {
    out: SpanQueue,
    began: (Instant, u64),
    call: SpanData,
    operation: Option<SpanData>,
    /// Spans made so far besides that of the call.
    made: u64,
}

impl CallTrace {
    pub(super) fn new(out: SpanQueue, trace: [u8; 16], parent: Option<[u8; 8]>, id: u64, called: Called<'_>) -> Self {
        out.gauges.traced_calls.fetch_add(1, Relaxed);
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let attributes = vec![
            ("rpc.system", Value::Text("grpc".into())),
            ("rpc.service", Value::Text(called.service.to_owned())),
            ("rpc.method", Value::Text(called.method.to_owned())),
        ];
        let name = format!("{}/{}", called.service, called.method);
        let (events, failed) = (Vec::new(), false);
        let call = SpanData { trace, id, parent, name, is_server: true, start, end: start, attributes, events, failed };
        Self { out, began: (Instant::now(), start), call, operation: None, made: 0 }
    }

    /// Of the call and its operation.
    #[cfg(test)]
    pub(super) fn ids(&self) -> (u64, Option<u64>) {
        (self.call.id, self.operation.as_ref().map(|operation| operation.id))
    }

    fn at(&self, moment: Instant) -> u64 {
        let (began, start) = self.began;
        start + moment.saturating_duration_since(began).as_nanos() as u64
    }

    fn span(&mut self, name: &str, parent: u64, start: u64, attributes: Attributes) -> SpanData {
        self.made += 1;
        SpanData {
            trace: self.call.trace,
            // unlike those of other calls, which come from the same generator, and never zero
            id: self.call.id.rotate_left(17).wrapping_add(self.made).max(1),
            parent: Some(parent.to_be_bytes()),
            name: name.to_owned(),
            is_server: false,
            start,
            end: start,
            attributes,
            events: Vec::new(),
            failed: false,
        }
    }

    /// What the call is about. Its span is as long as that of the call.
    pub fn operation(&mut self, name: &str, attributes: Attributes) {
        let start = self.at(Instant::now());
        self.operation = Some(self.span(name, self.call.id, start, attributes));
    }

    /// Something happened to the operation.
    pub fn event(&mut self, name: &'static str) {
        let now = self.at(Instant::now());
        self.operation.as_mut().unwrap_or(&mut self.call).events.push((name, now));
    }

    /// What was proposed came to an outcome; it was applied between these moments, where that is known.
    pub fn applied(&mut self, between: Option<(Instant, Duration)>) {
        if let Some((began, took)) = between {
            self.child("apply", began, took);
        }
        self.event(RECEIVED);
    }

    /// An owner worked on the operation, since then and for so long.
    pub fn child(&mut self, name: &str, began: Instant, took: Duration) {
        let start = self.at(began);
        let parent = self.operation.as_ref().map_or(self.call.id, |operation| operation.id);
        let mut span = self.span(name, parent, start, Vec::new());
        span.end = start + took.as_nanos() as u64;
        self.out.send(span);
    }

    /// One of many operations of a stream, which was over at once.
    pub fn step(&mut self, name: &str, attributes: Attributes) {
        if self.made < MOST_CHILDREN {
            let now = self.at(Instant::now());
            let span = self.span(name, self.call.id, now, attributes);
            self.out.send(span);
        }
    }

    /// The call is over, with this code of gRPC.
    pub fn finish(mut self, code: u8) {
        let end = self.at(Instant::now());
        if let Some(operation) = self.operation.take() {
            self.out.send(SpanData { end, failed: code != 0, ..operation });
        }
        self.call.attributes.push(("rpc.grpc.status_code", Value::Int(i64::from(code))));
        self.call.end = end;
        self.call.failed = FAULTS_OF_SERVERS.contains(&code);
        self.out.send(self.call.clone());
    }
}

impl Drop for CallTrace {
    fn drop(&mut self) {
        self.out.gauges.traced_calls.fetch_sub(1, Relaxed);
    }
}
