//! Clients that ask for very much, and take it fast, slowly, or never.

use super::data::{self, RANGE, SNAPSHOT, STREAM, TXN, WATCH, all, creating, get, key, load, put};
use super::{Ended, Measure, Outcome, Raw, Scale, Target};
use api::etcdserverpb as pb;
use model::request::{RequestOp, RequestUnion};
use std::time::Duration;

/// 200 clients list 300,000 keys of 1 KiB at once.
pub(super) async fn lists(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (keys, clients) = (scale.pick(10_000, 300_000), scale.pick(60, 200));
    load(target, keys, 1024).await;
    let mut first = Raw::connect(target.address, 1 << 20).await.expect("connect");
    let wanted = first.run(RANGE, &all()).await;
    if !(wanted.is_ok() && wanted.seen.fields[2] == keys as u64) {
        return outcome.wrong(format!("the first list: {wanted:?}"));
    }
    let measure = Measure::begin(target, outcome);
    let address = target.address;
    let calls: Vec<_> = (0..clients)
        .map(|n| {
            tokio::spawn(async move {
                // as gRPC libraries begin, and as they end up on a fast line
                let window = if n % 2 == 0 { 64 << 10 } else { 1 << 20 };
                match Raw::connect(address, window).await {
                    Ok(mut raw) => raw.run(RANGE, &all()).await,
                    Err(text) => Ended { text, ..Ended::default() },
                }
            })
        })
        .collect();
    for call in calls {
        let ended = call.await.expect("no panic");
        outcome.count(&ended, ended.seen == wanted.seen);
    }
    measure.end(target, outcome);
}

/// Transactions of 128 ranges over everything, from many clients.
pub(super) async fn read_txns(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (keys, clients, ops) = (scale.pick(2_000, 20_000), scale.pick(12, 50), scale.pick(16, 128));
    load(target, keys, 512).await;
    let range = || RequestOp { request: Some(RequestUnion::Range(all())) };
    let txn = pb::TxnRequest { success: (0..ops).map(|_| range()).collect(), ..pb::TxnRequest::default() };
    let least = (ops * keys * 512) as u64;
    let measure = Measure::begin(target, outcome);
    let address = target.address;
    let calls: Vec<_> = (0..clients)
        .map(|_| {
            let txn = txn.clone();
            tokio::spawn(async move {
                match Raw::connect(address, 256 << 10).await {
                    Ok(mut raw) => raw.run(TXN, &txn).await,
                    Err(text) => Ended { text, ..Ended::default() },
                }
            })
        })
        .collect();
    let mut first = None;
    for call in calls {
        let ended = call.await.expect("no panic");
        let wanted = first.get_or_insert_with(|| ended.seen.clone()).clone();
        let whole = ended.seen.fields[3] == ops as u64 && ended.seen.bytes > least;
        outcome.count(&ended, whole && ended.seen == wanted);
    }
    measure.end(target, outcome);
}

/// Clients that ask for everything in every way and take nothing, beside one that works.
pub(super) async fn never_reads(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (keys, clients) = (scale.pick(20_000, 200_000), scale.pick(30, 200));
    load(target, keys, 1024).await;
    load_big(target).await;
    let measure = Measure::begin(target, outcome);
    let mut kept = Vec::new();
    for n in 0..clients {
        // closed windows, small ones, and ones so large that only the socket holds the server back
        let window = [65_535, 0, 1 << 30][n % 3];
        let Ok(wire) = Silent::open(target.address, window, &everything()).await else { continue };
        kept.push(wire);
    }
    let mut other = Raw::connect(target.address, 1 << 20).await.expect("connect");
    for n in 0..scale.pick(100, 500) {
        let name = key(n);
        let written = soon(other.run(data::PUT, &put(b"other", vec![b'o'; 100]))).await;
        outcome.count(&written, true);
        let read = soon(other.run(RANGE, &get(&name))).await;
        outcome.count(&read, read.seen.fields[2] == 1);
    }
    let list = soon(other.run(RANGE, &all())).await;
    outcome.count(&list, list.seen.fields[2] == keys as u64 + 2);
    tokio::time::sleep(Duration::from_secs(scale.pick(1, 10) as u64)).await;
    outcome.held = target.memory().now;
    measure.end(target, outcome);
    drop(kept);
}

/// A value of a mebibyte.
async fn load_big(target: &Target) {
    let mut raw = Raw::connect(target.address, 1 << 20).await.expect("connect");
    let ended = raw.run(data::PUT, &put(b"big", vec![b'b'; 1 << 20])).await;
    assert!(ended.is_ok(), "load: {ended:?}");
}

/// Answers, or a wrong end when they do not come.
pub(super) async fn soon(call: impl Future<Output = Ended>) -> Ended {
    let late = |_| Ended { text: "no answer within 60 s".into(), ..Ended::default() };
    tokio::time::timeout(Duration::from_secs(60), call).await.unwrap_or_else(late)
}

/// A client that sends requests and never reads a byte.
pub(super) struct Silent {
    _wire: crate::wire::Wire,
}

impl Silent {
    /// Connects with this window, and sends the calls: path, message, and whether nothing follows it.
    pub(super) async fn open(
        address: std::net::SocketAddr,
        window: u32,
        calls: &[(&str, Vec<u8>, bool)],
    ) -> Result<Self, String> {
        use crate::wire::{END_HEADERS, END_STREAM, Wire, call_headers, frame, kind};
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        let mut wire = Wire::open(address, &settings).await;
        if window > 65_535 {
            wire.send(&frame(kind::WINDOW_UPDATE, 0, 0, &(window - 65_535).to_be_bytes())).await;
        }
        for (n, (path, request, last)) in calls.iter().enumerate() {
            let stream = 2 * n as u32 + 1;
            let mut out = frame(kind::HEADERS, END_HEADERS, stream, &call_headers(path));
            out.extend(frame(kind::DATA, if *last { END_STREAM } else { 0 }, stream, request));
            if !wire.send(&out).await {
                return Err("closed".into());
            }
        }
        Ok(Self { _wire: wire })
    }
}

/// Everything in every way.
fn everything() -> Vec<(&'static str, Vec<u8>, bool)> {
    vec![
        (RANGE, raw_of(&all()), true),
        (STREAM, raw_of(&all()), true),
        (WATCH, raw_of(&creating(data::watch(&[0], &[0], 1))), false),
        (SNAPSHOT, raw_of(&pb::SnapshotRequest::default()), true),
        (RANGE, raw_of(&get(b"big")), true),
        (RANGE, raw_of(&get(b"big")), true),
    ]
}

pub(super) fn raw_of(message: &impl prost::Message) -> Vec<u8> {
    super::raw::framed(message).to_vec()
}

/// 100 snapshots, each taken as slowly as its client likes; some take nothing at all.
pub(super) async fn snapshots(target: &Target, scale: Scale, outcome: &mut Outcome) {
    let (keys, clients) = (scale.pick(10_000, 200_000), scale.pick(30, 100));
    load(target, keys, 256).await;
    let least = (keys * 256) as u64;
    let measure = Measure::begin(target, outcome);
    let address = target.address;
    let calls: Vec<_> = (0..clients)
        .map(|_| {
            tokio::spawn(async move {
                let mut raw = match Raw::connect(address, 64 << 10).await {
                    Ok(raw) => raw,
                    Err(text) => return Ended { text, ..Ended::default() },
                };
                let call = match raw.call(SNAPSHOT, &pb::SnapshotRequest::default(), true).await {
                    Ok(call) => call,
                    Err(text) => return Ended { text, ..Ended::default() },
                };
                tokio::time::sleep(Duration::from_millis(scale.pick(500, 3_000) as u64)).await;
                call.drain(|_| true).await
            })
        })
        .collect();
    for call in calls {
        let ended = call.await.expect("no panic");
        outcome.count(&ended, ended.seen.bytes > least);
    }
    let mut late = Raw::connect(target.address, 1 << 20).await.expect("connect");
    let ended = soon(late.run(SNAPSHOT, &pb::SnapshotRequest::default())).await;
    if !ended.is_ok() {
        outcome.wrong(format!("a snapshot after all: {} {}", ended.text, ended.code.unwrap_or(99)));
    }
    measure.end(target, outcome);
}
