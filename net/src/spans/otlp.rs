//! The messages of OTLP that cross to a collector, with OpenTelemetry's field numbers. Data alone.

use super::queue::{SpanData, Value};

/// Names who made the spans.
const SCOPE: &str = "conclave";
/// Its kind of span for a call that was served.
const KIND_SERVER: i32 = 2;
const KIND_INTERNAL: i32 = 1;
/// Its code for what failed.
const STATUS_ERROR: i32 = 2;
/// Flag of a span that was sampled.
const SAMPLED: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<Event>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<SpanStatus>,
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SpanStatus {
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "any_value::Kind", tags = "1, 2, 3")]
    pub(super) kind: Option<any_value::Kind>,
}

pub(super) mod any_value {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Kind {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
    }
}

/// A pair.
pub(super) fn key_value(key: &str, value: Value) -> KeyValue {
    let kind = match value {
        Value::Text(text) => any_value::Kind::Text(text),
        Value::Int(number) => any_value::Kind::Int(number),
        Value::Bool(yes) => any_value::Kind::Bool(yes),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { kind: Some(kind) }) }
}

/// The request that hands over a batch.
pub(super) fn request(resource: &[KeyValue], batch: Vec<SpanData>) -> ExportRequest {
    let scope = Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = ScopeSpans { scope: Some(scope), spans: batch.into_iter().map(span).collect() };
    let resource = Resource { attributes: resource.to_vec() };
    ExportRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans: vec![spans] }] }
}

fn span(data: SpanData) -> Span {
    let event = |(name, at): (&str, u64)| Event { time_unix_nano: at, name: name.to_owned() };
    Span {
        trace_id: data.trace.to_vec(),
        span_id: data.id.to_be_bytes().to_vec(),
        parent_span_id: data.parent.map(Vec::from).unwrap_or_default(),
        name: data.name,
        kind: if data.is_server { KIND_SERVER } else { KIND_INTERNAL },
        start_time_unix_nano: data.start,
        end_time_unix_nano: data.end,
        attributes: data.attributes.into_iter().map(|(key, value)| key_value(key, value)).collect(),
        events: data.events.into_iter().map(event).collect(),
        status: data.failed.then_some(SpanStatus { code: STATUS_ERROR }),
        flags: SAMPLED,
    }
}
