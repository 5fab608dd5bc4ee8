//! What developers ask a member for: `/debug/vars`, `/debug/requests`, `/debug/pprof/`, and the split of HTTP from gRPC.

use embed::config::{Profiler, SharedProfiler};
use harness::http::{get, request};
use harness::server::{on_server, on_server_with};
use harness::wire::{END_HEADERS, END_STREAM, Wire, frame, header_block, kind};
use serde_json::Value;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn vars_have_etcds_keys_and_the_state_of_consensus() {
    on_server_with(
        |config| config.command_line = vec!["conclave".into(), "--name=\"a\"".into()],
        async |server| {
            let answer = get(server.address(), "/debug/vars").await;
            assert_eq!((answer.code, answer.header("content-type")), (200, Some("application/json; charset=utf-8")));
            let vars: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(vars["cmdline"], serde_json::json!(["conclave", "--name=\"a\""]));
            assert!(vars["file_descriptor_limit"].as_u64().is_some_and(|limit| limit > 16), "{vars}");
            assert!(vars["memstats"]["Sys"].as_f64().is_some_and(|bytes| bytes > 1e6), "{vars}");
            let raft = &vars["raft.status"];
            assert_eq!((&raft["raftState"], &raft["lead"]), (&Value::from("StateLeader"), &raft["id"]));
            let own = raft["id"].as_str().expect("an id");
            assert_eq!(raft["progress"][own]["match"], raft["commit"]);
            for path in
                ["/debug/requests", "/debug/events", "/debug/pprof/", "/debug/pprof/profile", "/debug/", "/debug"]
            {
                assert_eq!(get(server.address(), path).await.code, 404, "{path}");
            }
        },
    );
}

#[test]
fn requests_are_shown_by_method_to_those_who_asked_for_it() {
    on_server_with(
        |config| config.shows_requests = true,
        async |server| {
            server.stubs.put("a", "v").await;
            let page = get(server.address(), "/debug/requests").await.body;
            let line = page.lines().find(|line| line.starts_with("etcdserverpb.KV/Put ")).expect("a line");
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[1..4], ["0", "1", "0"], "{line}");
            assert_eq!(words.last(), Some(&"1"), "{line}");
            assert!(!page.contains("etcdserverpb.KV/DeleteRange"), "nobody called it");
        },
    );
}

/// Says how long it was asked for.
struct Echo;

impl Profiler for Echo {
    fn cpu(&self, length: Duration) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> {
        let busy = length == Duration::from_secs(7);
        Box::pin(ready(if busy {
            Err("cpu profiling already in use".into())
        } else {
            Ok(format!("{length:?}").into())
        }))
    }
}

#[test]
fn profiles_are_made_as_long_as_they_are_asked_for_within_bounds() {
    on_server_with(
        |config| config.profiler = Some(SharedProfiler(Arc::new(Echo))),
        async |server| {
            let at = server.address();
            assert!(get(at, "/debug/pprof/").await.body.contains("profile?seconds"));
            for (query, length) in [("", "30s"), ("?seconds=2", "2s"), ("?seconds=x", "30s"), ("?seconds=0", "30s")] {
                let answer = get(at, &format!("/debug/pprof/profile{query}")).await;
                assert_eq!((answer.code, answer.body.as_str()), (200, length), "{query}");
                assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
            }
            let long = get(at, "/debug/pprof/profile?seconds=301").await;
            assert_eq!((long.code, long.body.as_str()), (400, "a profile takes at most 300 seconds\n"));
            let busy = get(at, "/debug/pprof/profile?seconds=7").await;
            assert_eq!((busy.code, busy.body.contains("already in use")), (500, true));
            assert_eq!(get(at, "/debug/pprof/heap").await.code, 404);
            assert_eq!(request(at, "DELETE", "/debug/pprof/").await.code, 405);
        },
    );
}

#[test]
fn nobody_is_shown_these_pages_on_the_port_of_scrapers() {
    let [port] = harness::daemon::free_ports();
    on_server_with(
        |config| {
            config.metrics_urls = vec![format!("http://127.0.0.1:{port}")];
            config.profiler = Some(SharedProfiler(Arc::new(Echo)));
            config.shows_requests = true;
        },
        async |_| {
            let at: SocketAddr = ([127, 0, 0, 1], port).into();
            for path in ["/debug/vars", "/debug/requests", "/debug/pprof/", "/debug/pprof/profile", "/version"] {
                assert_eq!(get(at, path).await.code, 404, "{path}");
            }
        },
    );
}

#[test]
fn http_with_a_port_of_its_own_is_not_spoken_on_that_of_grpc() {
    let [port] = harness::daemon::free_ports();
    on_server_with(
        |config| config.client_http_urls = vec![format!("http://127.0.0.1:{port}")],
        async |server| {
            let http: SocketAddr = ([127, 0, 0, 1], port).into();
            for path in ["/health", "/metrics", "/version", "/debug/vars"] {
                assert_eq!(get(http, path).await.code, 200, "{path}");
            }
            // gRPC: etcd closes the connection of a client that speaks HTTP/1.1, and answers 415 to one that speaks HTTP/2
            server.stubs.put("a", "v").await;
            let mut socket = tokio::net::TcpStream::connect(server.address()).await.expect("connect");
            socket.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
            let mut answer = Vec::new();
            // a reset is as good as an end
            let _ = socket.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
            let mut wire = Wire::open(server.address(), &[]).await;
            let head = [(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "localhost")];
            wire.send(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &header_block(&head))).await;
            let refused = wire.receive_until(|f| f.kind == kind::HEADERS && f.stream == 1).await.expect("an answer");
            assert_eq!(refused.flags & END_STREAM, END_STREAM, "headers and nothing else");
            // and no gRPC where HTTP is
            let mut wire = Wire::open(http, &[]).await;
            wire.call(1, "/etcdserverpb.KV/Range", b"\x0a\x01k").await;
            let answered = wire.receive_until(|f| f.kind == kind::DATA && f.stream == 1).await;
            assert_eq!(answered.map(|frame| frame.payload).as_deref(), Some(&b"404 page not found\n"[..]));
        },
    );
    on_server(async |server| assert_eq!(get(server.address(), "/health").await.code, 200, "one port for both"));
}
