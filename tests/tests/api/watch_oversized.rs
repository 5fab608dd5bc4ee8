//! A revision with more events than the hub holds in memory, through the door: whole for who wants it whole, in parts otherwise.

use api::etcdserverpb::watch_create_request::FilterType;
use api::etcdserverpb::{CompactionRequest, WatchCreateRequest, WatchResponse};
use api::mvccpb::Event;
use harness::request::{put_op, txn};
use harness::server::on_server;
use harness::watch::{create, create_all};
use harness::{Stubs, Watching};

const KEYS: usize = 4_000;
/// Long enough that the deletes alone are more than the hub holds (1 MiB).
const KEY_BYTES: usize = 400;

fn key(n: usize) -> String {
    format!("k{n:0width$}", width = KEY_BYTES - 1)
}

fn value(n: usize) -> String {
    format!("value {n}")
}

async fn write(stubs: &Stubs) {
    for first in (0..KEYS).step_by(100) {
        let puts = (first..first + 100).map(|n| put_op(key(n), value(n))).collect();
        stubs.txn(txn(puts)).await.expect("puts");
    }
}

/// Deletes them all in one revision, and writes one behind it.
async fn delete_all(stubs: &Stubs) -> i64 {
    let (deleted, revision) = stubs.delete("k", "l").await;
    assert_eq!(deleted, KEYS as i64);
    stubs.put("m", "behind").await;
    revision
}

/// Responses up to the one with the put behind the delete; those of the puts before are left out.
async fn responses(watching: &mut Watching, revision: i64) -> Vec<WatchResponse> {
    let mut out = Vec::new();
    loop {
        let response = watching.next().await;
        let Some(last) = response.events.last().and_then(|e| e.kv.as_ref()) else { continue };
        let done = last.mod_revision > revision;
        if last.mod_revision >= revision {
            out.push(response);
        }
        if done {
            return out;
        }
    }
}

fn check(events: &[Event], revision: i64, with_prev: bool) {
    let (last, deletes) = events.split_last().expect("events");
    assert_eq!(last.kv.as_ref().expect("a key-value").key, "m");
    assert_eq!(deletes.len(), KEYS);
    for (n, event) in deletes.iter().enumerate() {
        let kv = event.kv.as_ref().expect("a key-value");
        assert_eq!((event.r#type, kv.mod_revision, &kv.key[..]), (1, revision, key(n).as_bytes()));
        let before = event.prev_kv.as_ref().map(|kv| (&kv.key[..], &kv.value[..]));
        let (key, value) = (key(n), value(n));
        assert_eq!(before, with_prev.then_some((key.as_bytes(), value.as_bytes())));
    }
}

fn joined(responses: &[WatchResponse]) -> Vec<Event> {
    responses.iter().flat_map(|r| r.events.clone()).collect()
}

/// The delete came in one response, with nothing else in it.
fn whole(responses: &[WatchResponse], revision: i64, with_prev: bool) {
    assert!(responses.iter().all(|r| !r.fragment));
    let of_it = responses.iter().filter(|r| r.events.iter().any(|e| e.kv.as_ref().unwrap().mod_revision == revision));
    assert_eq!(of_it.count(), 1);
    check(&joined(responses), revision, with_prev);
}

#[test]
fn a_delete_of_thousands_of_long_keys_reaches_every_kind_of_watcher() {
    on_server(async |server| {
        let stubs = &server.stubs;
        // a connection each: what is not read on one holds up nothing but that
        let address = server.address().to_string();
        let watch = async |request| {
            let stubs = Stubs::connect(&address, harness::PATIENCE).await.expect("connect");
            Watching::open(&stubs, request).await
        };
        let mut plain = watch(create_all(0)).await;
        let mut prev = watch(WatchCreateRequest { prev_kv: true, ..create_all(0) }).await;
        let mut parts = watch(WatchCreateRequest { prev_kv: true, fragment: true, ..create_all(0) }).await;
        let puts = vec![FilterType::Nodelete as i32];
        let mut without = watch(WatchCreateRequest { filters: puts, ..create_all(0) }).await;
        let mut one = watch(create(key(7), "", 0)).await;
        write(stubs).await;
        let revision = delete_all(stubs).await;

        whole(&responses(&mut plain, revision).await, revision, false);
        whole(&responses(&mut prev, revision).await, revision, true);
        let list = responses(&mut parts, revision).await;
        let (cut, ends) = (list.iter().filter(|r| r.fragment).count(), list.iter().filter(|r| !r.fragment).count());
        assert!(cut > 5 && ends == 2, "{cut} parts, {ends} ends");
        check(&joined(&list), revision, true);
        assert_eq!(joined(&responses(&mut without, revision).await).len(), 1);
        let events = one.events(2).await;
        assert_eq!((events[1].r#type, events[1].kv.as_ref().unwrap().mod_revision), (1, revision));

        // from the past, and behind a compaction at the revision itself: what was before is gone then
        let mut late = watch(WatchCreateRequest { prev_kv: true, ..create_all(revision) }).await;
        whole(&responses(&mut late, revision).await, revision, true);
        plain.progress();
        assert_eq!(plain.next().await.header.expect("a header").revision, revision + 1);
        let compact = CompactionRequest { revision, physical: true };
        stubs.kv.clone().compact(compact).await.expect("a compaction");
        let mut bare = watch(WatchCreateRequest { prev_kv: true, ..create_all(revision) }).await;
        whole(&responses(&mut bare, revision).await, revision, false);
    });
}
