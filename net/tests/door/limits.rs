//! Bounds: what a hostile or merely stuck client can cost.

use crate::client::{connect, echo};
use crate::echo::start;
use crate::unary::eventually;
use crate::wire::{ask, grpc, h2_to};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use net::door::{DoorLimits, ListenSpec};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket whose owner can stop reading: a process that is paused.
struct Deaf(TcpStream, Arc<AtomicBool>);

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.1.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A client with windows so large that only the socket holds the server back.
async fn deaf_client(addr: SocketAddr) -> (SendRequest<Bytes>, Arc<AtomicBool>) {
    let deaf = Arc::new(AtomicBool::new(false));
    let io = Deaf(TcpStream::connect(addr).await.expect("connects"), deaf.clone());
    let (client, connection) = Builder::new()
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .handshake(io)
        .await
        .expect("handshake");
    tokio::spawn(async move {
        // the server closes it: that is what these tests are about
        let _ = connection.await;
    });
    (client.ready().await.expect("ready"), deaf)
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut_and_costs_little() {
    let limits = DoorLimits { write_stall: Duration::from_secs(1), ..Default::default() };
    let server = start(&limits, ListenSpec::plain(1));
    let (mut client, deaf) = deaf_client(server.addr).await;
    // one round trip, so that the server knows the client's windows
    let warm = grpc("/test.Echo/Inline").body(()).expect("request");
    ask(&mut client, warm, b"\0\0\0\0\x01z").await;
    deaf.store(true, Ordering::Relaxed);
    let request = grpc("/test.Echo/Flood").body(()).expect("request");
    let (_response, mut tx) = client.send_request(request, false).expect("sends");
    let body = [&[0, 0, 0, 0, 8], &50_000u32.to_be_bytes()[..], &8192u32.to_be_bytes()[..]].concat();
    tx.send_data(body.into(), true).expect("sends");
    let seen = server.seen.clone();
    eventually("the stalled connection is cut", || seen.cancelled.load(Ordering::Relaxed) == 1).await;
    let sent = seen.flooded.load(Ordering::Relaxed) * 8192;
    assert!(sent < 32 << 20, "{sent} of 400 MB were handed out: more than socket buffers can hold");
    let door = server.door.clone();
    eventually("its place is free", || door.connections() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_silent_client_that_answers_no_ping_is_cut() {
    let limits = DoorLimits {
        keepalive_interval: Duration::from_millis(500),
        keepalive_timeout: Duration::from_millis(500),
        ..Default::default()
    };
    let server = start(&limits, ListenSpec::plain(1));
    let (_client, deaf) = deaf_client(server.addr).await;
    let healthy = h2_to(server.addr).await;
    let door = server.door.clone();
    eventually("both are connected", || door.connections() == 2).await;
    deaf.store(true, Ordering::Relaxed);
    eventually("the deaf one is cut", || door.connections() == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(door.connections(), 1, "a client that answers pings stays");
    drop(healthy);
    server.stop().await;
}

#[tokio::test]
async fn tight_budgets_delay_calls_but_lose_none() {
    let tight = [
        DoorLimits { request_bytes: 1, ..Default::default() },
        DoorLimits { max_concurrent_streams: 3, ..Default::default() },
        DoorLimits { stream_window: 65_535, connection_window: 65_535, hold_body: 1 << 20, ..Default::default() },
    ];
    for limits in tight {
        let server = start(&limits, ListenSpec::plain(1));
        let channel = connect(server.addr).await;
        // a client that has not read our settings yet opens more streams than it may and is refused, as it should be
        echo(&channel, "/test.Echo/Hop", "settings first").await.expect("answers");
        let mut calls = Vec::new();
        for i in 0..200u32 {
            let channel = channel.clone();
            let body = vec![i as u8; 1 + 40 * i as usize];
            calls.push(tokio::spawn(async move {
                assert_eq!(echo(&channel, "/test.Echo/Hop", body.clone()).await.expect("answers"), body);
            }));
        }
        for call in calls {
            tokio::time::timeout(Duration::from_secs(20), call).await.expect("not stuck").expect("right");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_header_list_beyond_the_bound_is_refused() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    let mut client = h2_to(server.addr).await;
    let small = grpc("/test.Echo/Token").header("token", "x".repeat(8 << 10)).body(()).expect("request");
    let (_, body, _) = ask(&mut client, small, b"\0\0\0\0\0").await;
    assert_eq!(body.len(), 5 + (8 << 10));
    let large = grpc("/test.Echo/Token").header("token", "x".repeat(20 << 10)).body(()).expect("request");
    let (head, ..) = ask(&mut client, large, b"\0\0\0\0\0").await;
    assert_eq!(head.status(), http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    server.stop().await;
}
