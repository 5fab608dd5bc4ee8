//! HTTP/2 by the rule book of attacks: what each gets, to the error code.
//!
//! Must never assert more of a flood than its end and its cost: how many frames it takes is the library's business.

use harness::daemon::Settings;
use harness::request::get;
use harness::server::{on_server, on_server_with};
use harness::wire::{END_HEADERS, END_STREAM, PREFACE, Wire, call_headers, frame, header_block, kind, message};
use harness::{Daemon, PATIENCE, Server, Stubs, soon};
use std::time::Duration;
use tempfile::TempDir;

const RANGE: &str = "/etcdserverpb.KV/Range";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn still_serves(server: &Server, after: &str) {
    soon(after, server.stubs.range(get("k"))).await.expect("others are served");
}

/// Code of the goodbye that ends a connection.
async fn goodbye(wire: &mut Wire) -> Option<u32> {
    let last = wire.receive_until(|f| f.kind == kind::GOAWAY).await?;
    last.payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")))
}

fn headers(stream: u32, path: &str) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS, stream, &call_headers(path))
}

#[test]
fn a_rapid_reset_is_told_to_calm_down() {
    on_server(async |server| {
        let mut wire = Wire::open(server.address(), &[]).await;
        let mut burst = Vec::new();
        for i in 0..2_000_u32 {
            burst.extend(headers(2 * i + 1, RANGE));
            burst.extend(frame(kind::RST_STREAM, 0, 2 * i + 1, &8_u32.to_be_bytes()));
        }
        wire.send(&burst).await;
        assert_eq!(goodbye(&mut wire).await, Some(ENHANCE_YOUR_CALM));
        still_serves(server, "a rapid reset").await;
    });
}

#[test]
fn headers_that_never_end_are_told_to_calm_down() {
    on_server(async |server| {
        for (name, more) in [
            ("filled", frame(kind::CONTINUATION, 0, 1, &header_block(&[("x-more", &"x".repeat(8000))]))),
            ("empty", frame(kind::CONTINUATION, 0, 1, &[])),
        ] {
            let mut wire = Wire::open(server.address(), &[]).await;
            wire.send(&frame(kind::HEADERS, 0, 1, &call_headers(RANGE))).await;
            let mut sent = 0;
            while sent < 20_000 && wire.send(&more).await {
                sent += 1;
            }
            let code = goodbye(&mut wire).await;
            println!("{name}: {sent} frames, goodbye {code:?}");
            // the goodbye is lost when the rest of the flood meets a closed socket
            assert!(matches!(code, Some(ENHANCE_YOUR_CALM) | None) && sent < 20_000, "{name}: {code:?} after {sent}");
            still_serves(server, name).await;
        }
    });
}

#[test]
fn windows_and_sizes_that_lie_end_with_their_code() {
    on_server(async |server| {
        let most = 0x7fff_ffff_u32.to_be_bytes();
        let cases: [(&str, Vec<u8>, u32); 6] = [
            ("a window beyond all bounds", frame(kind::WINDOW_UPDATE, 0, 0, &most), FLOW_CONTROL_ERROR),
            // RFC 9113 wants FLOW_CONTROL_ERROR here; the h2 library says this
            (
                "an initial window beyond all bounds",
                frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
                PROTOCOL_ERROR,
            ),
            ("a frame size that is not allowed", frame(kind::SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), PROTOCOL_ERROR),
            ("a frame above the limit", frame(kind::DATA, 0, 1, &vec![0; 70_000]), FRAME_SIZE_ERROR),
            ("data on stream zero", frame(kind::DATA, 0, 0, b"x"), PROTOCOL_ERROR),
            (
                "headers inside headers",
                [frame(kind::HEADERS, 0, 1, &call_headers(RANGE)), headers(3, RANGE)].concat(),
                PROTOCOL_ERROR,
            ),
        ];
        for (name, bytes, code) in cases {
            let mut wire = Wire::open(server.address(), &[]).await;
            wire.send(&bytes).await;
            assert_eq!(goodbye(&mut wire).await, Some(code), "{name}");
            still_serves(server, name).await;
        }
    });
}

#[test]
fn a_stream_that_ignores_its_window_is_ended() {
    on_server(async |server| {
        let mut wire = Wire::open(server.address(), &[]).await;
        wire.send(&headers(1, WATCH)).await;
        // the announced window of a stream is 1 MiB, that of the connection 2 MiB; nothing of this is a whole message
        let mut part = message(&[]);
        part[1..5].copy_from_slice(&(2_000_000_u32).to_be_bytes());
        part.resize(16 << 10, 0);
        let data = frame(kind::DATA, 0, 1, &part);
        for _ in 0..400 {
            if !wire.send(&data).await {
                break;
            }
        }
        let ended = |f: &harness::wire::Frame| {
            f.kind == kind::GOAWAY || (f.kind == kind::RST_STREAM && f.stream == 1) || f.flags & END_STREAM != 0
        };
        let end = wire.receive_until(ended).await;
        println!("ended by {:?}", end.as_ref().map(|f| (f.kind, f.payload.clone())));
        assert!(end.is_some() || wire.closes().await);
        still_serves(server, "a stream without manners").await;
    });
}

#[test]
fn who_says_nothing_or_half_a_word_is_let_go() {
    let quick = |config: &mut embed::Config| {
        config.door.handshake_timeout = Duration::from_millis(200);
        config.door.http1_header_timeout = Duration::from_millis(300);
        config.door.body_idle = Duration::from_millis(300);
    };
    on_server_with(quick, async |server| {
        let starts: [&[u8]; 4] = [b"", &PREFACE[..10], PREFACE, b"GET /health HTTP/1.1\r\nHost"];
        for start in starts {
            let mut wire = Wire::silent(server.address()).await;
            wire.send(start).await;
            assert!(wire.closes().await, "{start:?} is kept for ever");
        }
        // half a message: its call ends, the connection goes on
        let mut wire = Wire::open(server.address(), &[]).await;
        wire.send(&headers(1, RANGE)).await;
        wire.send(&frame(kind::DATA, 0, 1, &[0, 0, 0, 0, 9, 1])).await;
        let end = wire.receive_until(|f| f.stream == 1).await.expect("an end of the call");
        assert!(end.kind == kind::RST_STREAM || end.flags & END_STREAM != 0, "{end:?}");
        wire.call(3, RANGE, b"\x0a\x01k").await;
        assert!(wire.receive_until(|f| f.stream == 3 && f.kind == kind::DATA).await.is_some());
        still_serves(server, "half words").await;
    });
}

/// Sends `one` until `bytes` went out or nothing more is taken for a while.
async fn flood(wire: &mut Wire, one: &[u8], bytes: usize) -> usize {
    let many = one.repeat((64 << 10) / one.len());
    let mut sent = 0;
    while sent < bytes {
        match tokio::time::timeout(Duration::from_millis(500), wire.send(&many)).await {
            Ok(true) => sent += many.len(),
            _ => break,
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_empty_frames_cost_no_memory() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    stubs.put("k", "v").await;
    let address = daemon.settings.address();
    let floods: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("empty data on a watch", headers(1, WATCH), frame(kind::DATA, 0, 1, &[])),
        ("empty data on renewals", headers(1, KEEP_ALIVE), frame(kind::DATA, 0, 1, &[])),
        ("empty messages on renewals", headers(1, KEEP_ALIVE), frame(kind::DATA, 0, 1, &message(&[]))),
        ("settings", Vec::new(), frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("pings", Vec::new(), frame(kind::PING, 0, 0, &[1; 8])),
        ("windows of nobody", headers(1, WATCH), frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
    ];
    for (name, first, one) in floods {
        let before = daemon.resident();
        let mut wire = Wire::open(address, &[]).await;
        wire.send(&first).await;
        let sent = flood(&mut wire, &one, 8 << 20).await;
        let other = Stubs::connect(&address.to_string(), PATIENCE).await.expect("connect");
        soon(name, other.range(get("k"))).await.expect("others are served");
        let grown = daemon.resident().saturating_sub(before);
        println!("{name}: {} KiB taken, {} KiB of memory", sent >> 10, grown >> 10);
        assert!(grown < 48 << 20, "{name}: {} MiB of memory for {} KiB", grown >> 20, sent >> 10);
    }
    drop(daemon);
}
