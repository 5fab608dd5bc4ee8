//! Shutting down.

use crate::client::{bidi, connect, echo};
use crate::echo::start;
use crate::unary::eventually;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use net::door::{Code, DoorLimits, ListenSpec, Status};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_idle_door_stops_at_once() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    echo(&channel, "/test.Echo/Hop", "x").await.expect("answers");
    let begin = Instant::now();
    server.door.shutdown(Duration::from_secs(5), Status::canceled()).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "an idle connection delays the end by {:?}", begin.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_given_status_and_calls_are_cut_after_the_grace() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let endless = stream::once(async { Bytes::from_static(b"x") }).chain(stream::pending());
    let mut messages = bidi(&channel, "/test.Echo/Parrot", endless).await.expect("starts");
    messages.next().await.expect("echo").expect("good");
    let other = connect(server.addr).await;
    let never = tokio::spawn(async move { echo(&other, "/test.Echo/Hold", "").await });
    let seen = server.seen.clone();
    eventually("the call arrives", || seen.started.load(Ordering::Relaxed) == 2).await;

    let begin = Instant::now();
    let status = Status::new(Code::Unavailable, "etcdserver: server stopped");
    let door = server.door.clone();
    let stopping = tokio::spawn(async move { door.shutdown(Duration::from_millis(300), status).await });
    let end = messages.next().await.expect("an end").expect_err("a status");
    assert_eq!((end.code(), end.message()), (tonic::Code::Unavailable, "etcdserver: server stopped"));
    stopping.await.expect("stops");
    assert!(begin.elapsed() >= Duration::from_millis(250), "the waiting call had its grace");
    assert!(begin.elapsed() < Duration::from_secs(3));
    never.await.expect("no panic").expect_err("the call was cut");
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_waits_for_others_ends_at_once_and_is_cleaned_up() {
    let server = start(&DoorLimits::default(), ListenSpec::plain(1));
    let channel = connect(server.addr).await;
    let never = tokio::spawn(async move { echo(&channel, "/test.Echo/Never", "").await });
    let seen = server.seen.clone();
    eventually("the call arrives", || seen.started.load(Ordering::Relaxed) == 1).await;

    let begin = Instant::now();
    let status = Status::new(Code::Unavailable, "etcdserver: server stopped");
    let door = server.door.clone();
    let stopping = tokio::spawn(async move { door.shutdown(Duration::from_secs(20), status).await });
    let end = never.await.expect("no panic").expect_err("a status");
    assert_eq!((end.code(), end.message()), (tonic::Code::Unavailable, "etcdserver: server stopped"));
    assert_eq!(seen.cancelled.load(Ordering::Relaxed), 1, "what it kept was cleaned up");
    stopping.await.expect("stops");
    assert!(begin.elapsed() < Duration::from_secs(10), "its grace was not waited for");
    server.stop().await;
}
