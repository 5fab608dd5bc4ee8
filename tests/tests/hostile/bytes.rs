//! Malformed bytes: at the start of a connection, in frames, in gRPC messages, in protobuf.

use harness::raw_call::drain;
use harness::request::get;
use harness::server::on_server;
use harness::wire::{END_HEADERS, END_STREAM, PREFACE, Wire, call_headers, frame, header_block, kind, message};
use harness::{Server, expect_status};
use tonic::Code;

const RANGE: &str = "/etcdserverpb.KV/Range";

/// The server still answers somebody else.
async fn still_serves(server: &Server, after: &str) {
    let answer = harness::soon(after, server.stubs.range(get("k"))).await;
    assert!(answer.is_ok(), "{after}: {answer:?}");
}

#[test]
fn a_connection_that_starts_with_nonsense_is_closed() {
    on_server(async |server| {
        let starts: [&[u8]; 5] = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            &[0; 64],
            &[255; 4096],
            b"GET \x00 HTTP/9.9\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        ];
        for start in starts {
            let mut wire = Wire::silent(server.address()).await;
            wire.send(start).await;
            // a lone prefix of something longer may be waited for: half closing is enough to end it
            wire.finish().await;
            assert!(wire.closes().await, "{start:?}");
            still_serves(server, "nonsense").await;
        }
    });
}

#[test]
fn broken_frames_close_their_connection_only() {
    on_server(async |server| {
        let frames: [(&str, Vec<u8>); 10] = [
            ("DATA on stream 0", frame(kind::DATA, 0, 0, b"x")),
            ("HEADERS on an even stream", frame(kind::HEADERS, END_HEADERS, 2, &call_headers(RANGE))),
            ("DATA on an idle stream", frame(kind::DATA, END_STREAM, 7, b"x")),
            ("SETTINGS of a wrong length", frame(kind::SETTINGS, 0, 0, b"12345")),
            ("PING of a wrong length", frame(kind::PING, 0, 0, b"1234")),
            ("WINDOW_UPDATE of zero", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
            ("a broken header block", frame(kind::HEADERS, END_HEADERS, 1, &[0xff; 40])),
            ("CONTINUATION out of nowhere", frame(kind::CONTINUATION, END_HEADERS, 1, b"")),
            ("RST_STREAM of an idle stream", frame(kind::RST_STREAM, 0, 9, &[0; 4])),
            ("a frame above the limit", frame(kind::DATA, 0, 1, &vec![0; 70_000])),
        ];
        for (name, bytes) in frames {
            let mut wire = Wire::open(server.address(), &[]).await;
            wire.send(&bytes).await;
            let goodbye = wire.receive_until(|f| f.kind == kind::GOAWAY).await;
            assert!(goodbye.is_some() || wire.closes().await, "{name}: neither goodbye nor end");
            still_serves(server, name).await;
        }
    });
}

#[test]
fn requests_that_are_no_grpc_are_refused_alone() {
    on_server(async |server| {
        let base = [(":scheme", "http"), (":authority", "x"), (":path", RANGE)];
        let cases: [&[(&str, &str)]; 4] = [
            &[(":method", "POST"), ("content-type", "text/plain")],
            &[(":method", "GET"), ("content-type", "application/grpc")],
            &[(":method", "POST")],
            &[(":method", "POST"), ("content-type", "application/grpc"), ("grpc-timeout", "soon")],
        ];
        let mut wire = Wire::open(server.address(), &[]).await;
        for (i, case) in cases.iter().enumerate() {
            let stream = 2 * i as u32 + 1;
            let headers: Vec<_> = case[..1].iter().chain(&base).chain(&case[1..]).copied().collect();
            wire.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &header_block(&headers))).await;
            let answer = wire.receive_until(|f| f.stream == stream).await;
            let answer = answer.unwrap_or_else(|| panic!("no answer to {case:?}"));
            assert!(answer.kind == kind::HEADERS || answer.kind == kind::RST_STREAM, "{case:?}: {answer:?}");
        }
        // the connection goes on
        wire.call(101, RANGE, b"\x0a\x01k").await;
        assert!(wire.receive_until(|f| f.stream == 101 && f.kind == kind::DATA).await.is_some());
    });
}

/// CVE-2026-33186: rules about paths must see the same path as the table of methods.
#[test]
fn a_path_that_is_not_exactly_a_methods_reaches_none() {
    on_server(async |server| {
        let paths = [
            "etcdserverpb.KV/Range",
            "//etcdserverpb.KV/Range",
            "/etcdserverpb.KV/Range/",
            "/etcdserverpb.KV%2FRange",
            "*",
            "",
        ];
        for path in paths {
            let mut wire = Wire::open(server.address(), &[]).await;
            wire.call(1, path, b"\x0a\x01k").await;
            let answer = wire.receive_until(|f| f.stream == 1 || f.kind == kind::GOAWAY).await;
            let first = answer.unwrap_or_else(|| panic!("no answer to {path:?}"));
            let ends = first.kind == kind::RST_STREAM || first.kind == kind::GOAWAY || first.flags & END_STREAM != 0;
            assert!(ends, "{path:?}: {first:?}");
        }
        still_serves(server, "paths").await;
    });
}

#[test]
fn grpc_prefixes_that_lie_are_answered() {
    on_server(async |server| {
        let cases: [(&str, Vec<u8>); 5] = [
            ("more announced than sent", vec![0, 0, 0, 0, 200, 1, 2, 3]),
            ("half a prefix", vec![0, 0, 0]),
            ("four gigabytes announced", vec![0, 255, 255, 255, 255, 1]),
            ("compressed without an encoding", vec![1, 0, 0, 0, 1, 0]),
            ("an unknown flag", vec![9, 0, 0, 0, 1, 0]),
        ];
        let mut wire = Wire::open(server.address(), &[]).await;
        for (i, (name, body)) in cases.iter().enumerate() {
            let stream = 2 * i as u32 + 1;
            wire.send(&frame(kind::HEADERS, END_HEADERS, stream, &call_headers(RANGE))).await;
            wire.send(&frame(kind::DATA, END_STREAM, stream, body)).await;
            let end = |f: &harness::wire::Frame| {
                f.stream == stream && (f.flags & END_STREAM != 0 || f.kind == kind::RST_STREAM)
            };
            assert!(wire.receive_until(end).await.is_some(), "{name}");
        }
        still_serves(server, "prefixes").await;
    });
}

/// Calls Range with these bytes in place of a request.
async fn raw_range(server: &Server, body: Vec<u8>) -> Result<(), tonic::Status> {
    drain(&server.stubs.channel, RANGE, body.into()).await
}

#[test]
fn malformed_protobuf_is_an_internal_error() {
    on_server(async |server| {
        let bodies: [&[u8]; 6] = [
            &[0x0a, 0xff],
            &[0xff; 20],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x0b],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x00],
        ];
        for body in bodies {
            let status = raw_range(server, body.to_vec()).await.expect_err("refused");
            assert_eq!(status.code(), Code::Internal, "{body:?}: {status:?}");
            assert!(status.message().starts_with("grpc: error unmarshalling request: "), "{body:?}: {status:?}");
        }
        // an unknown field is none
        raw_range(server, vec![0x0a, 1, b'k', 0xf8, 0x3f, 1]).await.expect("unknown fields are skipped");
        let deep = nested_txn(200);
        let status = server.stubs.txn(deep).await.expect_err("refused");
        assert!(matches!(status.code(), Code::Internal | Code::InvalidArgument), "{status:?}");
        still_serves(server, "a deep transaction").await;
    });
}

fn nested_txn(depth: usize) -> api::etcdserverpb::TxnRequest {
    (0..depth)
        .fold(harness::request::txn(vec![]), |inner, _| harness::request::txn(vec![harness::request::txn_op(inner)]))
}

#[test]
fn random_bytes_never_end_the_server() {
    on_server(async |server| {
        let mut seed = 0x5eed_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..200 {
            let length = 1 + random() as usize % 600;
            let noise: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            let mut wire = Wire::silent(server.address()).await;
            match round % 4 {
                0 => _ = wire.send(&noise).await,
                1 => {
                    wire.send(PREFACE).await;
                    wire.send(&noise).await;
                }
                2 => {
                    wire.send(PREFACE).await;
                    wire.send(&frame(kind::SETTINGS, 0, 0, &[])).await;
                    wire.send(&frame(random() as u8 % 12, random() as u8, random() as u32 % 5, &noise)).await;
                }
                _ => {
                    wire.send(PREFACE).await;
                    wire.send(&frame(kind::SETTINGS, 0, 0, &[])).await;
                    wire.send(&frame(kind::HEADERS, END_HEADERS, 1, &call_headers("/etcdserverpb.KV/Txn"))).await;
                    wire.send(&frame(kind::DATA, END_STREAM, 1, &message(&noise))).await;
                }
            }
        }
        still_serves(server, "noise").await;
        let answer = server.stubs.range(api::etcdserverpb::RangeRequest::default()).await;
        expect_status("as before", answer, Code::InvalidArgument, "etcdserver: key is not provided");
    });
}

/// Every method of the API that reads its request; those of services that are not offered yet answer before they look.
const METHODS: [&str; 23] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Lease/LeaseLeases",
    "/etcdserverpb.Maintenance/Alarm",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Defragment",
    "/etcdserverpb.Maintenance/Hash",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.Maintenance/MoveLeader",
    "/etcdserverpb.Cluster/MemberList",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/etcdserverpb.Auth/AuthStatus",
];

#[test]
fn malformed_protobuf_gets_etcds_answer_from_every_method() {
    on_server(async |server| {
        for path in METHODS {
            // a field of a length that does not follow
            let answer = harness::soon(path, drain(&server.stubs.channel, path, vec![0x0a, 0xff].into())).await;
            let status = answer.expect_err(path);
            assert_eq!(status.code(), Code::Internal, "{path}: {status:?}");
            assert!(status.message().starts_with("grpc: error unmarshalling request: "), "{path}: {status:?}");
        }
        still_serves(server, "malformed protobuf").await;
    });
}
