//! Snapshots: whole, resumed, refused, and never in the way of heartbeats.

use super::harness::{Member, config, introduce, lock, pair, pair_of, run, until};
use crate::peer::port::{BulkError, BulkHeader, BulkSink, BulkSource, Parcel, Peers, Transport};
use bytes::Bytes;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

/// Bytes that are different everywhere.
fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

struct Source(Arc<Vec<u8>>);

impl BulkSource for Source {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, most: usize) -> io::Result<Bytes> {
        let rest = &self.0[offset as usize..];
        Ok(Bytes::copy_from_slice(&rest[..rest.len().min(most)]))
    }
}

/// What a receiver keeps over connections and runs.
#[derive(Default)]
struct Store {
    kept: Vec<u8>,
    written: usize,
    restarts: usize,
    finished: Vec<BulkHeader>,
    fail_at: Option<usize>,
}

struct Sink(Arc<Mutex<Store>>, BulkHeader);

impl BulkSink for Sink {
    fn progress(&mut self) -> io::Result<(u64, u32)> {
        let store = lock(&self.0);
        Ok((store.kept.len() as u64, crc32c::crc32c(&store.kept)))
    }

    fn restart(&mut self) -> io::Result<()> {
        let mut store = lock(&self.0);
        store.kept.clear();
        store.restarts += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut store = lock(&self.0);
        store.kept.extend_from_slice(bytes);
        store.written += bytes.len();
        match store.fail_at {
            Some(at) if store.kept.len() >= at => Err(io::Error::other("no space left on device")),
            _ => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        lock(&self.0).finished.push(self.1);
        Ok(())
    }
}

fn receives_into(member: &Member, store: &Arc<Mutex<Store>>) {
    let store = store.clone();
    *lock(&member.recorder.on_bulk) =
        Some(Box::new(move |header| Ok(Box::new(Sink(store.clone(), header.clone())) as Box<dyn BulkSink>)));
}

type Outcome = Arc<Mutex<Vec<Result<(), BulkError>>>>;

fn send(from: &Member, to: u64, transfer: u64, bytes: &Arc<Vec<u8>>) -> Outcome {
    let outcome: Outcome = Arc::default();
    let told = outcome.clone();
    let done = Box::new(move |result| lock(&told).push(result));
    let about = Bytes::from_static(b"term 3, index 9");
    from.transport.bulk(to, Parcel { transfer, about, source: Box::new(Source(bytes.clone())), done });
    outcome
}

#[test]
fn a_snapshot_arrives_whole() {
    run(async {
        let (one, two) = pair().await;
        let store: Arc<Mutex<Store>> = Arc::default();
        receives_into(&two, &store);
        for length in [0, 1, 256 << 10, (20 << 20) + 77] {
            lock(&store).kept.clear();
            let bytes = Arc::new(content(length));
            let outcome = send(&one, 2, length as u64, &bytes);
            until("delivered", || !lock(&outcome).is_empty()).await;
            assert_eq!(*lock(&outcome), [Ok(())]);
            assert!(lock(&store).kept == *bytes, "{length} bytes");
            let header = lock(&store).finished.last().cloned().expect("finished");
            assert_eq!((header.from, header.length, &header.about[..]), (1, length as u64, &b"term 3, index 9"[..]));
        }
        assert_eq!(one.counters(&two).bulk_sent.load(Relaxed), 4);
        assert_eq!(two.counters(&one).bulk_received.load(Relaxed), 4);
    });
}

#[test]
fn a_broken_transfer_goes_on_where_it_was() {
    run(async {
        let mut slow = config(1);
        slow.limits.bulk_rate = 8 << 20;
        let (one, mut two) = pair_of(slow, config(2)).await;
        let store: Arc<Mutex<Store>> = Arc::default();
        receives_into(&two, &store);
        let bytes = Arc::new(content(24 << 20));
        let outcome = send(&one, 2, 5, &bytes);
        for part in 1..=3 {
            until("some of it", || lock(&store).kept.len() > part * (4 << 20)).await;
            one.heartbeat(&two, part as u64);
            until("heartbeats pass", || two.recorder.heartbeats().contains(&(part as u64))).await;
            assert!(lock(&outcome).is_empty());
            two.transport.kill();
            two.restart();
            two.transport.set_peers(Peers { members: vec![one.peer(), two.peer()], removed: Vec::new() });
            one.reaches(&two).await;
        }
        until("delivered", || !lock(&outcome).is_empty()).await;
        assert_eq!(*lock(&outcome), [Ok(())]);
        let store = lock(&store);
        assert!(store.kept == *bytes && store.restarts == 0);
        assert_eq!(store.written, bytes.len(), "no byte was sent twice that was kept");
    });
}

#[test]
fn what_the_receiver_has_of_something_else_is_not_built_upon() {
    run(async {
        let (one, two) = pair().await;
        let store: Arc<Mutex<Store>> = Arc::default();
        lock(&store).kept = vec![1; 300_000];
        receives_into(&two, &store);
        let bytes = Arc::new(content(1 << 20));
        let outcome = send(&one, 2, 5, &bytes);
        until("delivered", || !lock(&outcome).is_empty()).await;
        let store = lock(&store);
        assert!(store.kept == *bytes && store.restarts == 1);
    });
}

#[test]
fn refusals_and_failures_reach_the_sender_in_words() {
    run(async {
        let (one, two) = pair().await;
        let bytes = Arc::new(content(4 << 20));
        let refused = send(&one, 2, 1, &bytes);
        until("refused", || !lock(&refused).is_empty()).await;
        assert_eq!(*lock(&refused), [Err(BulkError::Refused("nobody wants it".into()))]);
        let store: Arc<Mutex<Store>> = Arc::default();
        lock(&store).fail_at = Some(1 << 20);
        receives_into(&two, &store);
        let failed = send(&one, 2, 2, &bytes);
        until("failed", || !lock(&failed).is_empty()).await;
        assert_eq!(*lock(&failed), [Err(BulkError::Refused("no space left on device".into()))]);
        let unknown = send(&one, 9, 3, &bytes);
        until("no such peer", || !lock(&unknown).is_empty()).await;
        assert_eq!(*lock(&unknown), [Err(BulkError::Unreachable)]);
        assert!(one.transport.active_since(2).is_some());
    });
}

#[test]
fn a_stop_ends_transfers() {
    run(async {
        let mut slow = config(1);
        slow.limits.bulk_rate = 1 << 20;
        let (one, two) = pair_of(slow, config(2)).await;
        let store: Arc<Mutex<Store>> = Arc::default();
        receives_into(&two, &store);
        let bytes = Arc::new(content(64 << 20));
        let under_way = send(&one, 2, 1, &bytes);
        let waiting = send(&one, 2, 2, &bytes);
        until("begun", || !lock(&store).kept.is_empty()).await;
        one.transport.join();
        let late = send(&one, 2, 3, &bytes);
        for outcome in [under_way, waiting, late] {
            assert_eq!(*lock(&outcome), [Err(BulkError::Stopped)]);
        }
    });
}

#[test]
fn snapshots_go_over_tcp_where_udp_does_not_pass() {
    run(async {
        let mut tcp_only = config(2);
        tcp_only.path.udp = false;
        let one = Member::start(config(1));
        let two = Member::start(tcp_only);
        introduce(&[&one, &two]);
        one.reaches(&two).await;
        let store: Arc<Mutex<Store>> = Arc::default();
        receives_into(&two, &store);
        let bytes = Arc::new(content(3 << 20));
        let outcome = send(&one, 2, 5, &bytes);
        until("delivered", || !lock(&outcome).is_empty()).await;
        assert_eq!(*lock(&outcome), [Ok(())]);
        assert!(lock(&store).kept == *bytes);
    });
}
