//! Unary calls.

use crate::client::{connect, echo, unary};
use crate::echo::{Server, start};
use bytes::Bytes;
use net::door::{DoorLimits, ListenSpec};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tonic::{Code, Request};

fn plain() -> Server {
    start(&DoorLimits::default(), ListenSpec::plain(1))
}

pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn answers_at_once_and_through_another_thread() {
    let server = plain();
    let channel = connect(server.addr).await;
    for path in ["/test.Echo/Inline", "/test.Echo/Hop"] {
        assert_eq!(echo(&channel, path, "hello").await.expect("answers"), "hello");
        assert_eq!(echo(&channel, path, "").await.expect("an empty message is a message"), "");
    }
    let mut request = Request::new(Bytes::new());
    request.metadata_mut().insert("token", "secret".parse().expect("ascii"));
    assert_eq!(unary(&channel, "/test.Echo/Token", request).await.expect("answers"), "secret");
    let seen = server.seen.clone();
    drop(channel);
    eventually("all calls are accounted for", || seen.handled.load(Ordering::Relaxed) == 5).await;
    assert_eq!(seen.started.load(Ordering::Relaxed), 5);
    server.stop().await;
}

#[tokio::test]
async fn large_messages_both_ways() {
    let server = plain();
    let channel = connect(server.addr).await;
    let body = Bytes::from((0..2_000_000u32).map(|i| i as u8).collect::<Vec<_>>());
    for path in ["/test.Echo/Inline", "/test.Echo/Hop"] {
        assert_eq!(echo(&channel, path, body.clone()).await.expect("answers"), body);
    }
    let len = 8 << 20;
    let zeros = echo(&channel, "/test.Echo/Zeros", u32::to_be_bytes(len).to_vec()).await.expect("answers");
    assert_eq!(zeros.len(), len as usize);
    server.stop().await;
}

#[tokio::test]
async fn refusals_have_grpc_gos_words() {
    let server = start(&DoorLimits { max_recv_message: 100, ..Default::default() }, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let cases = [
        ("/test.Echo/Inline", 101, Code::ResourceExhausted, "grpc: received message larger than max (101 vs. 100)"),
        ("/test.Echo/Nope", 0, Code::Unimplemented, "unknown method Nope for service test.Echo"),
        ("/no.Such/Thing", 0, Code::Unimplemented, "unknown service no.Such"),
        ("/test.Echo/Forget", 0, Code::Internal, "the service gave no answer"),
    ];
    for (path, len, code, text) in cases {
        let status = echo(&channel, path, vec![0; len]).await.expect_err(path);
        assert_eq!((status.code(), status.message()), (code, text));
    }
    assert_eq!(echo(&channel, "/test.Echo/Inline", vec![0; 100]).await.expect("fits").len(), 100);
    server.stop().await;
}

#[tokio::test]
async fn deadlines_and_cancellation_reach_the_service() {
    let server = plain();
    let channel = connect(server.addr).await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(60));
    let status = unary(&channel, "/test.Echo/Never", request).await.expect_err("times out");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    let seen = server.seen.clone();
    eventually("the deadline is told", || seen.cancelled.load(Ordering::Relaxed) == 1).await;

    let call = echo(&channel, "/test.Echo/Never", "");
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err(), "it must not answer");
    eventually("the reset is told", || seen.cancelled.load(Ordering::Relaxed) == 2).await;

    let other = connect(server.addr).await;
    let call = tokio::spawn(async move { echo(&other, "/test.Echo/Never", "").await });
    eventually("the call arrives", || seen.started.load(Ordering::Relaxed) == 3).await;
    call.abort();
    eventually("the lost connection is told", || seen.cancelled.load(Ordering::Relaxed) == 3).await;
    eventually("no call is left over", || seen.handled.load(Ordering::Relaxed) == 3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_calls_on_ten_connections_travel_in_lists() {
    let server = plain();
    let mut calls = Vec::new();
    for c in 0..10u32 {
        let channel = connect(server.addr).await;
        for i in 0..100u32 {
            let channel = channel.clone();
            calls.push(tokio::spawn(async move {
                for round in 0..5u32 {
                    let body = [c.to_be_bytes(), i.to_be_bytes(), round.to_be_bytes()].concat();
                    assert_eq!(echo(&channel, "/test.Echo/Hop", body.clone()).await.expect("answers"), body);
                }
            }));
        }
    }
    for call in calls {
        call.await.expect("every call is answered with its own body");
    }
    let lists = server.seen.lists.load(Ordering::Relaxed);
    assert!(lists < 2500, "5000 calls took {lists} lists: they are not batched");
    server.stop().await;
}
