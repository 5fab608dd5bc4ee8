//! Too much of everything: connections, streams, resets, pings, headers, answers nobody reads.

use harness::daemon::Settings;
use harness::request::{all, get};
use harness::server::on_server;
use harness::wire::{END_HEADERS, END_STREAM, Wire, call_headers, frame, header_block, kind};
use harness::{Daemon, PATIENCE, Server, Stubs, soon};
use tempfile::TempDir;

const RANGE: &str = "/etcdserverpb.KV/Range";

async fn still_serves(server: &Server) {
    soon("a read", server.stubs.range(get("k"))).await.expect("others are served");
    soon("a write", server.stubs.put("k", "v")).await;
}

#[test]
fn a_rapid_reset_ends_its_connection() {
    on_server(async |server| {
        let mut wire = Wire::open(server.address(), &[]).await;
        let mut alive = true;
        for i in 0..20_000_u32 {
            let stream = 2 * i + 1;
            let mut both = frame(kind::HEADERS, END_HEADERS, stream, &call_headers(RANGE));
            both.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            alive = wire.send(&both).await;
            if !alive {
                break;
            }
        }
        let ended = !alive || wire.receive_until(|f| f.kind == kind::GOAWAY).await.is_some() || wire.closes().await;
        assert!(ended, "twenty thousand resets and still welcome");
        still_serves(server).await;
    });
}

#[test]
fn floods_of_control_frames_do_not_starve_others() {
    on_server(async |server| {
        let floods = [
            ("pings", frame(kind::PING, 0, 0, &[1; 8])),
            ("settings", frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
            ("empty data", frame(kind::DATA, 0, 1, &[])),
            ("priorities", frame(2, 0, 3, &[0, 0, 0, 1, 5])),
        ];
        for (name, one) in floods {
            let mut wire = Wire::open(server.address(), &[]).await;
            wire.send(&frame(kind::HEADERS, END_HEADERS, 1, &call_headers(RANGE))).await;
            let many = one.repeat(500);
            let flood = async {
                for _ in 0..40 {
                    // nobody reads the answers: a server that stops taking more is right too
                    let sent = tokio::time::timeout(std::time::Duration::from_millis(200), wire.send(&many)).await;
                    if sent != Ok(true) {
                        break;
                    }
                }
            };
            let reads = async {
                for _ in 0..20 {
                    soon(name, server.stubs.range(get("k"))).await.expect(name);
                }
            };
            tokio::join!(flood, reads);
        }
        still_serves(server).await;
    });
}

#[test]
fn headers_without_end_are_cut_off() {
    on_server(async |server| {
        let mut wire = Wire::open(server.address(), &[]).await;
        wire.send(&frame(kind::HEADERS, 0, 1, &call_headers(RANGE))).await;
        let value = "x".repeat(8000);
        let more = frame(kind::CONTINUATION, 0, 1, &header_block(&[("x-more", &value)]));
        let mut sent = 0;
        while sent < 10_000 && wire.send(&more).await {
            sent += 1;
        }
        assert!(sent < 10_000 || wire.closes().await, "80 MB of headers were taken");
        let mut wire = Wire::open(server.address(), &[]).await;
        let large: Vec<_> = (0..8).map(|_| ("x-large", value.as_str())).collect();
        let mut block = call_headers(RANGE);
        block.extend(header_block(&large[..1]));
        wire.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
        assert!(wire.receive_until(|f| f.stream == 1 || f.kind == kind::GOAWAY).await.is_some());
        still_serves(server).await;
    });
}

#[test]
fn many_connections_are_served_and_silent_ones_cost_nothing() {
    on_server(async |server| {
        let mut silent = Vec::new();
        for _ in 0..120 {
            silent.push(Wire::silent(server.address()).await);
        }
        let mut open = Vec::new();
        for _ in 0..120 {
            open.push(Wire::open(server.address(), &[]).await);
        }
        for wire in &mut open {
            wire.call(1, RANGE, b"\x0a\x01k").await;
        }
        for (i, wire) in open.iter_mut().enumerate() {
            let answer = wire.receive_until(|f| f.stream == 1 && f.kind == kind::DATA).await;
            assert!(answer.is_some(), "connection {i} got no answer");
        }
        still_serves(server).await;
    });
}

#[test]
fn more_streams_than_allowed_are_refused_alone() {
    on_server(async |server| {
        let mut wire = Wire::open(server.address(), &[]).await;
        let opening = frame(kind::HEADERS, END_HEADERS, 0, &call_headers(RANGE));
        // twenty thousand calls that never send their request
        let mut sent = 0;
        for i in 0..20_000_u32 {
            let mut one = opening.clone();
            one[5..9].copy_from_slice(&(2 * i + 1).to_be_bytes());
            if !wire.send(&one).await {
                break;
            }
            sent += 1;
        }
        assert!(sent > 100);
        still_serves(server).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_nobody_reads_stay_out_of_memory() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    for i in 0..100 {
        stubs.put(format!("k{i:03}"), vec![b'x'; 100_000]).await;
    }
    soon("a first read", stubs.range(all())).await.expect("range");
    let before = daemon.resident();
    let address = daemon.settings.address();
    let mut wires = Vec::new();
    for _ in 0..40 {
        // windows of 2 GiB: only the socket holds the server back
        let mut wire = Wire::open(address, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
        wire.send(&frame(kind::WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes())).await;
        for stream in [1, 3, 5, 7] {
            // everything, 10 MB
            wire.call(stream, RANGE, b"\x0a\x01\x00\x12\x01\x00").await;
        }
        wires.push(wire);
    }
    let other = Stubs::connect(&address.to_string(), PATIENCE).await.expect("connect");
    for i in 0..200 {
        soon("a write", other.put("other", i.to_string())).await;
        soon("a read", other.range(get("k001"))).await.expect("get");
    }
    // 160 answers of 10 MB are asked for: 1.6 GB
    let grown = daemon.resident().saturating_sub(before);
    println!("{} MiB resident before, {} MiB more with 160 unread answers", before >> 20, grown >> 20);
    assert!(grown < 300 << 20, "grew by {} MiB", grown >> 20);
    drop(wires);
    soon("a big read", other.range(all())).await.expect("range");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_behind_closed_windows_stay_out_of_memory() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    stubs.put("k", vec![b'x'; 1 << 20]).await;
    soon("a first read", stubs.range(get("k"))).await.expect("get");
    let before = daemon.resident();
    // no stream may be sent a byte: 2,000 answers of a mebibyte wait for that
    let mut wire = Wire::open(daemon.settings.address(), &[0, 4, 0, 0, 0, 0]).await;
    for i in 0..2_000_u32 {
        let sent = tokio::time::timeout(std::time::Duration::from_secs(1), wire.call(2 * i + 1, RANGE, b"\x0a\x01k"));
        if sent.await != Ok(true) {
            break;
        }
    }
    let other = Stubs::connect(&daemon.settings.address().to_string(), PATIENCE).await.expect("connect");
    for _ in 0..50 {
        soon("a write", other.put("other", "v")).await;
    }
    let grown = daemon.resident().saturating_sub(before);
    println!("{} MiB resident before, {} MiB more behind closed windows", before >> 20, grown >> 20);
    assert!(grown < 400 << 20, "grew by {} MiB", grown >> 20);
    drop(wire);
    soon("a read when they are gone", other.range(get("k"))).await.expect("get");
}

#[test]
fn http_1_heads_and_bodies_have_an_end() {
    on_server(async |server| {
        let at = server.address();
        let mut wire = Wire::silent(at).await;
        wire.send(b"GET /health HTTP/1.1\r\nHost: x\r\n").await;
        let line = format!("x-more: {}\r\n", "y".repeat(8000));
        let mut sent = 0;
        while sent < 10_000 && wire.send(line.as_bytes()).await {
            sent += 1;
        }
        assert!(sent < 10_000, "80 MB of a head were taken");
        let mut wire = Wire::silent(at).await;
        wire.send(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n").await;
        let part = vec![b'z'; 64 << 10];
        let mut sent = 0;
        while sent < 1500 && wire.send(&part).await {
            sent += 1;
        }
        assert!(sent < 1500, "100 MB of a body were taken");
        for head in ["GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "\r\n\r\n\r\n\r\n", "PUT\r\n\r\n"] {
            let mut wire = Wire::silent(at).await;
            wire.send(head.as_bytes()).await;
            wire.finish().await;
            assert!(wire.closes().await, "{head:?}");
        }
        still_serves(server).await;
    });
}
