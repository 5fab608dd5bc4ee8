//! Distributed tracing against a collector in the test itself: it takes OTLP over gRPC and decodes it by OpenTelemetry's own numbers.

use api::etcdserverpb::RangeRequest;
use bytes::{Buf, Bytes, BytesMut};
use embed::Config;
use embed::config::TracingConfig;
use harness::Server;
use harness::http::get;
use harness::server::{in_system, on_server_with};
use prost::Message;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);

/// `ExportTraceServiceRequest`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(fixed64, tag = "1")]
    at: u64,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(bool, optional, tag = "2")]
    yes: Option<bool>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

/// Attributes in words.
fn words(attributes: &[KeyValue]) -> HashMap<&str, String> {
    let word = |value: &AnyValue| match value {
        AnyValue { text: Some(text), .. } => text.clone(),
        AnyValue { yes: Some(yes), .. } => yes.to_string(),
        AnyValue { number, .. } => number.expect("one of them").to_string(),
    };
    attributes.iter().map(|pair| (pair.key.as_str(), word(pair.value.as_ref().expect("a value")))).collect()
}

/// A collector: what it was sent so far.
struct Collector {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Export>,
    resource: HashMap<String, String>,
    spans: Vec<Span>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(serve(request, respond, sender.clone()));
                    }
                });
            }
        });
        Self { address, requests, resource: HashMap::new(), spans: Vec::new() }
    }

    fn config(&self, rate: u64) -> TracingConfig {
        TracingConfig {
            address: self.address.to_string(),
            service_name: "a service".into(),
            instance_id: "m1".into(),
            sampling_rate: rate,
            delay: Duration::from_millis(20),
        }
    }

    /// Waits until there are spans of all these names in one trace.
    async fn until(&mut self, names: &[&str]) -> Vec<Span> {
        loop {
            for span in &self.spans {
                let of_trace: Vec<Span> = self.spans.iter().filter(|s| s.trace_id == span.trace_id).cloned().collect();
                if names.iter().all(|name| of_trace.iter().any(|span| span.name == *name)) {
                    return of_trace;
                }
            }
            let request = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
            let request = request.unwrap_or_else(|_| panic!("{names:?} never came: {:?}", self.spans)).expect("open");
            for resource in request.resource_spans {
                let attributes = resource.resource.expect("a resource").attributes;
                self.resource = words(&attributes).into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                self.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
    }
}

async fn serve(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    sender: mpsc::UnboundedSender<Export>,
) {
    assert_eq!(request.uri().path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let (mut body, mut message) = (request.into_body(), BytesMut::new());
    while let Some(Ok(chunk)) = body.data().await {
        let _ = body.flow_control().release_capacity(chunk.len());
        message.extend_from_slice(&chunk);
    }
    let mut message = message.freeze();
    assert_eq!(message.get_u8(), 0, "not compressed");
    assert_eq!(message.get_u32() as usize, message.len());
    let _ = sender.send(Export::decode(message).expect("OTLP"));
    let head = http::Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
    let mut stream = respond.send_response(head, false).expect("answered");
    stream.send_data(Bytes::from_static(&[0; 5]), false).expect("an empty message");
    let trailers =
        http::HeaderMap::from_iter([("grpc-status".parse().expect("a name"), "0".parse().expect("a value"))]);
    stream.send_trailers(trailers).expect("ended");
}

fn by_name<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:?}"))
}

async fn traced(adjust: impl FnOnce(&mut Config)) -> Server {
    Server::start(adjust).await
}

#[test]
fn a_put_is_seen_from_the_door_to_the_store() {
    in_system(async {
        let mut collector = Collector::start().await;
        let config = collector.config(1_000_000);
        let server = traced(|settings| settings.tracing = Some(config)).await;
        server.stubs.put("a key", "a value").await;
        let spans = collector.until(&["etcdserverpb.KV/Put", "put", "apply"]).await;
        assert_eq!(collector.resource["service.name"], "a service");
        assert_eq!(collector.resource["service.instance.id"], "m1");
        let (call, put, apply) =
            (by_name(&spans, "etcdserverpb.KV/Put"), by_name(&spans, "put"), by_name(&spans, "apply"));
        assert_eq!((call.kind, put.kind, apply.kind), (2, 1, 1), "a server's, and two of its own");
        assert!(call.parent_span_id.is_empty());
        assert_eq!((&put.parent_span_id, &apply.parent_span_id), (&call.span_id, &put.span_id));
        assert_eq!((call.trace_id.len(), call.span_id.len()), (16, 8));
        assert_eq!(words(&put.attributes), HashMap::from([("key", "a key".to_owned())]));
        let of_call = words(&call.attributes);
        assert_eq!((of_call["rpc.method"].as_str(), of_call["rpc.grpc.status_code"].as_str()), ("Put", "0"));
        let names: Vec<&str> = put.events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["Send raft proposal", "Receive raft result"]);
        let times =
            [call.start, put.start, put.events[0].at, apply.start, apply.end, put.events[1].at, put.end, call.end];
        assert!(times.windows(2).all(|two| two[0] <= two[1]), "{times:?}");
        server.stop().await;
    });
}

#[test]
fn a_client_that_traces_decides_for_its_calls() {
    in_system(async {
        let mut collector = Collector::start().await;
        let config = collector.config(0);
        let server = traced(|settings| settings.tracing = Some(config)).await;
        let kv = server.stubs.kv.clone();
        let range = async |key: &str, parent: Option<&str>| {
            let mut request =
                tonic::Request::new(RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() });
            if let Some(parent) = parent {
                request.metadata_mut().insert("traceparent", parent.parse().expect("ASCII"));
            }
            kv.clone().range(request).await.expect("read");
        };
        range("silent", None).await;
        range("unsampled", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")).await;
        range("garbage", Some("00-xyz-00f067aa0ba902b7-01")).await;
        range("sampled", Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")).await;
        let spans = collector.until(&["etcdserverpb.KV/Range", "range"]).await;
        let call = by_name(&spans, "etcdserverpb.KV/Range");
        assert_eq!(call.trace_id[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(call.parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        let range = words(&by_name(&spans, "range").attributes).into_iter().collect::<Vec<_>>();
        let expected = [("count_only", "false"), ("keys_only", "false"), ("limit", "0"), ("range_begin", "sampled")];
        for (name, value) in expected {
            assert!(range.contains(&(name, value.to_owned())), "{range:?}");
        }
        assert_eq!(collector.spans.len(), 2, "those of the one call: {:?}", collector.spans);
        server.stop().await;
    });
}

#[test]
fn a_collector_that_says_nothing_loses_spans_and_holds_up_no_call() {
    // takes connections, and never answers
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    on_server_with(
        |config| {
            config.tracing = Some(TracingConfig {
                address,
                service_name: "a".into(),
                instance_id: String::new(),
                sampling_rate: 1_000_000,
                delay: Duration::from_millis(1),
            });
        },
        async |server| {
            // two spans for each range: more than queue and batch hold
            for n in 0..1_500 {
                let range = RangeRequest { key: format!("k{n}").into(), ..RangeRequest::default() };
                server.stubs.kv.clone().range(range).await.expect("nobody waits for a collector");
            }
            let page = get(server.address(), "/metrics").await.body;
            let line =
                page.lines().find(|line| line.starts_with("conclave_trace_spans_dropped_total ")).expect("a line");
            let dropped: f64 = line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number");
            assert!(dropped >= 400.0, "{line}");
        },
    );
}
