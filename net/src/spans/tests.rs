//! Which calls are traced, and what becomes of spans that nobody takes.

use super::call::Called;
use super::export::{Exporter, TracingConfig};
use super::queue::Value;
use http::{HeaderMap, HeaderValue};
use messages::Gauges;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const PUT: Called<'_> = Called { service: "etcdserverpb.KV", method: "Put" };

fn config(rate: u64) -> TracingConfig {
    TracingConfig {
        address: "127.0.0.1:1".into(),
        service_name: "a".into(),
        instance_id: String::new(),
        sampling_rate: rate,
        delay: Duration::from_secs(5),
    }
}

#[test]
fn so_many_calls_are_traced_as_the_rate_says_and_ids_differ() {
    for (rate, least, most) in [(0, 0, 0), (1_000_000, 20_000, 20_000), (250_000, 4_500, 5_500)] {
        let (tracing, _exporter) = Exporter::new(&config(rate));
        let tracer = tracing.tracer(Arc::new(Gauges::default()), 7);
        let traced = (0..20_000).filter_map(|_| tracer.begin(PUT, &HeaderMap::new())).count();
        assert!((least..=most).contains(&traced), "{traced} at a rate of {rate}");
    }
    let (tracing, _exporter) = Exporter::new(&config(1_000_000));
    let tracer = tracing.tracer(Arc::new(Gauges::default()), 7);
    let mut ids = HashSet::new();
    for _ in 0..1_000 {
        let mut trace = tracer.begin(PUT, &HeaderMap::new()).expect("traced");
        trace.operation("put", vec![("key", Value::bytes(b"k"))]);
        assert!(ids.insert(trace.ids()), "an id came twice");
    }
}

#[test]
fn spans_that_find_no_room_are_dropped_and_counted_and_open_calls_are_known() {
    let gauges = Arc::new(Gauges::default());
    let (tracing, _exporter) = Exporter::new(&config(0));
    let tracer = tracing.tracer(gauges.clone(), 7);
    let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), parent)]);
    let open = tracer.begin(PUT, &headers).expect("its parent says so");
    assert_eq!(gauges.traced_calls.load(Relaxed), 1);
    for _ in 0..2_100 {
        tracer.begin(PUT, &headers).expect("traced").finish(0);
    }
    assert_eq!(tracing.dropped(), 2_100 - 2_048);
    // a call that is cut off without an end leaves nothing behind
    drop(open);
    assert_eq!(gauges.traced_calls.load(Relaxed), 0);
}

#[test]
fn a_stream_with_many_watchers_has_few_spans() {
    let (tracing, _exporter) = Exporter::new(&config(1_000_000));
    let tracer = tracing.tracer(Arc::new(Gauges::default()), 7);
    let mut trace = tracer.begin(PUT, &HeaderMap::new()).expect("traced");
    for _ in 0..10_000 {
        trace.step("watch", Vec::new());
    }
    trace.finish(0);
    assert_eq!(tracing.dropped(), 0, "they fit");
}
