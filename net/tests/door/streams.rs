//! Streams: order, credit, cancellation.

use crate::client::{bidi, connect, echo, server_stream};
use crate::echo::start;
use crate::unary::eventually;
use crate::wire::{grpc, h2_to, http1};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use net::door::{DoorLimits, ListenSpec};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;

fn flood(count: u32, len: u32) -> Bytes {
    [count.to_be_bytes(), len.to_be_bytes()].concat().into()
}

#[tokio::test]
async fn a_slow_reader_costs_no_more_than_its_credit() {
    let limits = DoorLimits::default();
    let server = start(&limits, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let count = 16_384;
    let len = 4096;
    let mut messages = server_stream(&channel, "/test.Echo/Flood", flood(count, len)).await.expect("starts");
    messages.next().await.expect("one message").expect("good");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = server.seen.flooded.load(Ordering::Relaxed) * len as usize;
    // what the client's own stream window took, what it has buffered, our credit, one message over, h2's buffer
    let bound = (2 << 20) + limits.stream_send_credit + len as usize + limits.max_send_buffer;
    assert!(sent <= bound, "{sent} bytes were handed out for a reader that took one message");
    let mut got = 1;
    while let Some(message) = messages.next().await {
        assert_eq!(message.expect("good").len(), len as usize);
        got += 1;
    }
    assert_eq!(got, count, "the stream goes on when the reader does");
    server.stop().await;
}

#[tokio::test]
async fn messages_larger_than_the_credit_pass() {
    let server = start(&DoorLimits { stream_send_credit: 1024, ..Default::default() }, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let messages = server_stream(&channel, "/test.Echo/Flood", flood(20, 300_000)).await.expect("starts");
    let all: Vec<_> = messages.collect().await;
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|m| m.as_ref().is_ok_and(|b| b.len() == 300_000)));
    server.stop().await;
}

#[tokio::test]
async fn streams_share_the_loops_budget_without_starving() {
    let limits = DoorLimits { send_bytes: 10_000, ..Default::default() };
    let server = start(&limits, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(server_stream(&channel, "/test.Echo/Flood", flood(10_000, 1000)).await.expect("starts"));
    }
    let quick = connect(server.addr).await;
    for _ in 0..2 {
        let messages = server_stream(&quick, "/test.Echo/Flood", flood(500, 1000)).await.expect("starts");
        assert_eq!(messages.collect::<Vec<_>>().await.len(), 500);
    }
    drop(slow);
    let seen = server.seen.clone();
    eventually("dropped streams are told", || seen.cancelled.load(Ordering::Relaxed) == 10).await;
    server.stop().await;
}

#[tokio::test]
async fn bidi_keeps_order_and_ends_cleanly() {
    let server = start(&DoorLimits { stream_send_credit: 4096, ..Default::default() }, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let sent: Vec<Bytes> = (0..3000u32).map(|i| Bytes::from(vec![i as u8; (i % 1500) as usize])).collect();
    let messages = bidi(&channel, "/test.Echo/Parrot", stream::iter(sent.clone())).await.expect("starts");
    let got: Vec<Bytes> = messages.map(|m| m.expect("good")).collect().await;
    assert_eq!(got.len(), sent.len());
    assert!(got == sent, "messages changed or moved");
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_stream_is_told_to_its_service() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    // a hyper client resets only when its request side has ended too, so this one is raw
    let mut client = h2_to(server.addr).await;
    let request = grpc("/test.Echo/Parrot").body(()).expect("request");
    let (response, mut tx) = client.send_request(request, false).expect("sends");
    tx.send_data(Bytes::from_static(b"\0\0\0\0\x01x"), false).expect("sends");
    let mut rx = response.await.expect("answers").into_body();
    assert_eq!(rx.data().await.expect("echo").expect("good"), &b"\0\0\0\0\x01x"[..]);
    tx.send_reset(h2::Reason::CANCEL);
    let seen = server.seen.clone();
    eventually("the reset is told", || seen.cancelled.load(Ordering::Relaxed) == 1).await;
    server.stop().await;
}

#[tokio::test]
async fn calls_from_inside_use_the_same_methods() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    let tcp = TcpStream::connect(server.addr).await.expect("connects");
    let request = "POST /inside HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12345";
    let answer = http1(tcp, request).await;
    assert!(answer.ends_with("\r\n\r\n5 5 OK 2000"), "{answer}");
    assert_eq!(server.seen.cancelled.load(Ordering::Relaxed), 1, "the dropped stream was told");
    let seen = &server.seen;
    assert_eq!(seen.started.load(Ordering::Relaxed), seen.handled.load(Ordering::Relaxed));
    server.stop().await;
}

#[tokio::test]
async fn streams_of_a_connection_leave_room_for_short_calls() {
    let limits = DoorLimits { max_concurrent_streams: 32, ..Default::default() };
    let server = start(&limits, ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    echo(&channel, "/test.Echo/Hop", "settings first").await.expect("answers");
    let parrot =
        || bidi(&channel, "/test.Echo/Parrot", stream::iter([Bytes::from_static(b"hi")]).chain(stream::pending()));
    let mut open = Vec::new();
    for _ in 0..limits.max_long_calls() {
        let mut answers = parrot().await.expect("opens");
        answers.next().await.expect("one message").expect("good");
        open.push(answers);
    }
    let refused = parrot().await.expect_err("one too many");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    echo(&channel, "/test.Echo/Hop", "short").await.expect("a short call is answered");
    drop(open.pop());
    let again = async || parrot().await.is_ok();
    let start = std::time::Instant::now();
    while !again().await {
        assert!(start.elapsed() < Duration::from_secs(10), "the room of a stream that ended is given to another");
    }
    server.stop().await;
}
