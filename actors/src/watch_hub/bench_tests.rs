//! What the hub costs: memory with a reader that is slow, time per event with few and many watchers.

use super::config::{HubConfig, Position};
use super::hub::Hub;
use super::testing::{Change, Store, key, stream, watch};
use crate::wiring::events::{WatchEvent, WatchRevision};
use bytes::Bytes;
use messages::watch::{CreateWatch, ToHub, WatchFrame};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn put(revision: i64, value: usize) -> WatchRevision {
    let mut kv = vec![0x0a, 1, b'a', 0x2a, value as u8];
    kv.extend(vec![revision as u8; value]);
    let kv = Bytes::from(kv);
    let event = WatchEvent { delete: false, create: false, key: kv.slice(2..3), kv, superseded: (revision - 1, 0) };
    WatchRevision { revision, events: vec![event] }
}

fn at(revision: i64) -> Position {
    Position { revision, compact_revision: -1 }
}

#[test]
fn a_million_events_and_a_slow_reader_stay_within_the_ring_and_its_credit() {
    const RING: usize = 1 << 20;
    const CREDIT: usize = 4 << 10;
    let mut store = Store::default();
    let config = HubConfig { ring_bytes: RING, ..HubConfig::for_requests(1 << 20) };
    let mut hub = Hub::new(config, store.position());
    let slow = stream(1);
    hub.requests(vec![ToHub::OpenStream { stream: slow, credit: CREDIT }], store.position());
    hub.requests(vec![ToHub::Create { stream: slow, create: watch("a", "c") }], store.position());
    let mut granted = CREDIT;
    let mut sent = 0;
    let mut events = 0;
    let mut take = |hub: &mut Hub, store: &Store, granted: usize| {
        for work in hub.take_jobs() {
            hub.done(work.run(&store.source())).expect("the store works");
        }
        for frame in hub.take_frames().into_iter().flat_map(|(_, frames)| frames) {
            sent += frame.cost();
            if let WatchFrame::Events { events: list, .. } = frame {
                events += list.len();
            }
        }
        assert!(sent <= granted + config.frame_bytes + config.read_bytes, "sent {sent}, granted {granted}");
        events
    };
    const BATCH: i64 = 1_000;
    for n in 0..1_000 {
        let before = store.revision();
        (0..BATCH).for_each(|_| store.commit(&[Change::Put(0)], 20));
        hub.advanced(store.position(), Some(store.list_since(before)));
        take(&mut hub, &store, granted);
        let counts = hub.counts();
        assert!(counts.ring_bytes <= RING, "ring holds {}", counts.ring_bytes);
        assert!(n < 10 || counts.slow == 1);
        granted += 64;
        hub.requests(vec![ToHub::Credit { stream: slow, bytes: 64 }], store.position());
    }
    assert!(take(&mut hub, &store, granted) < 20_000, "it is slow");
    while hub.counts().slow > 0 {
        granted += 1 << 20;
        hub.requests(vec![ToHub::Credit { stream: slow, bytes: 1 << 20 }], store.position());
        take(&mut hub, &store, granted);
    }
    assert_eq!(take(&mut hub, &store, granted), 1_000_000, "and misses nothing");
}

fn cost_per_event(watchers: i64, create: &CreateWatch) -> Duration {
    const BATCH: i64 = 20;
    let mut hub = Hub::new(HubConfig::for_requests(1 << 20), at(1));
    hub.requests(vec![ToHub::OpenStream { stream: stream(1), credit: usize::MAX >> 1 }], at(1));
    for _ in 0..watchers {
        hub.requests(vec![ToHub::Create { stream: stream(1), create: create.clone() }], at(1));
    }
    let batches = (400_000 / watchers).clamp(50, 5_000);
    let lists: Vec<Arc<[WatchRevision]>> =
        (0..batches).map(|n| (0..BATCH).map(|i| put(2 + n * BATCH + i, 100)).collect::<Vec<_>>().into()).collect();
    let before = Instant::now();
    for (n, list) in lists.into_iter().enumerate() {
        hub.advanced(at(1 + (n as i64 + 1) * BATCH), Some(list));
        drop(hub.take_frames());
    }
    before.elapsed() / (batches * BATCH) as u32
}

#[test]
fn measure_cost_per_event() {
    assert_eq!(key(0), "a");
    let one = cost_per_event(1, &watch("a", ""));
    let prefix = cost_per_event(1, &watch("a", "b"));
    let many = cost_per_event(1_000, &watch("a", "b"));
    println!("per event: 1 watcher {one:?}, 1 of a prefix {prefix:?}, 1000 of a prefix {many:?}");
    assert!(one < Duration::from_micros(50) && many < Duration::from_millis(5));
}

#[test]
fn a_million_watchers_do_not_slow_an_event_down() {
    let mut hub = Hub::new(HubConfig::for_requests(1 << 20), at(1));
    hub.requests(vec![ToHub::OpenStream { stream: stream(1), credit: usize::MAX >> 1 }], at(1));
    let mut create = watch("a", "");
    let before = Instant::now();
    for n in 0..300_000 {
        create.range.key = Bytes::from(format!("key-{n}"));
        hub.requests(vec![ToHub::Create { stream: stream(1), create: create.clone() }], at(1));
    }
    let created = before.elapsed() / 300_000;
    hub.take_frames();
    let lists: Vec<Arc<[WatchRevision]>> = (0..1_000).map(|n| vec![put(2 + n, 100)].into()).collect();
    let before = Instant::now();
    for (n, list) in lists.into_iter().enumerate() {
        hub.advanced(at(2 + n as i64), Some(list));
    }
    let event = before.elapsed() / 1_000;
    println!("create {created:?}, event that nobody watches {event:?}");
    assert!(event < Duration::from_micros(200));
}
