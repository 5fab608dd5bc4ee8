//! Watchers that catch up and take responses in fragments: how many revisions one response carries, and how it is cut.

use api::etcdserverpb::{WatchCreateRequest, WatchResponse};
use api::mvccpb::Event;
use harness::server::{on_server, on_server_with};
use harness::watch::{create, create_all};
use harness::{Stubs, Watching};
use prost::Message as _;
use std::collections::BTreeSet;

const MIB: usize = 1 << 20;

fn in_fragments(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { fragment: true, ..create_all(start_revision) }
}

/// The fragments of the next response, as a client takes them: nothing comes between them.
async fn response(watching: &mut Watching) -> Vec<WatchResponse> {
    let mut out = vec![watching.next().await];
    while out.last().is_some_and(|part| part.fragment) {
        let part = watching.next().await;
        assert_eq!((part.watch_id, &part.header), (out[0].watch_id, &out[0].header), "between two fragments");
        assert!(!part.created && !part.canceled, "between two fragments: {part:?}");
        out.push(part);
    }
    out
}

fn joined(parts: Vec<WatchResponse>) -> Vec<Event> {
    parts.into_iter().flat_map(|part| part.events).collect()
}

fn revisions(events: &[Event]) -> Vec<i64> {
    let all: BTreeSet<i64> = events.iter().map(|e| e.kv.as_ref().expect("a key-value").mod_revision).collect();
    all.into_iter().collect()
}

/// Waits until the member's watchers know of everything that was written.
async fn settled(stubs: &Stubs) {
    let written = stubs.revision().await;
    let mut watching = Watching::open(stubs, create("nothing", "", 0)).await;
    watching.progress();
    while watching.next().await.header.is_none_or(|header| header.revision < written) {
        watching.progress();
    }
}

async fn put_large(stubs: &Stubs, count: u8) {
    for n in 0..count {
        stubs.put(format!("k{n}"), vec![n; MIB]).await;
    }
}

#[test]
fn large_revisions_come_in_one_response_whose_fragments_a_small_client_can_take() {
    on_server(async |server| {
        put_large(&server.stubs, 10).await;
        settled(&server.stubs).await;
        let mut watching = Watching::open(&server.stubs, in_fragments(1)).await;
        let parts = response(&mut watching).await;
        // max-request-bytes and 512 KiB
        let largest = parts.iter().map(WatchResponse::encoded_len).max().expect("a part");
        assert!(parts.len() > 4 && largest < 2 * MIB, "{} parts of at most {largest} bytes", parts.len());
        assert!(parts.iter().all(|part| !part.events.is_empty()), "a part without events looks like progress");
        assert_eq!(parts[0].header.as_ref().expect("a header").revision, 11);
        let events = joined(parts);
        assert_eq!(revisions(&events), (2..=11).collect::<Vec<_>>());
        assert!(events.iter().all(|e| e.kv.as_ref().expect("a key-value").value.len() == MIB));
        // it goes on behind them
        server.stubs.put("behind", "").await;
        assert_eq!(revisions(&joined(response(&mut watching).await)), [12]);
    });
}

#[test]
fn what_lies_in_memory_is_sent_as_what_lies_in_the_store() {
    on_server(async |server| {
        // somebody who is at the head keeps the events in memory
        let mut head = Watching::open(&server.stubs, create_all(0)).await;
        put_large(&server.stubs, 6).await;
        assert_eq!(head.events(6).await.len(), 6);
        settled(&server.stubs).await;
        let mut watching = Watching::open(&server.stubs, in_fragments(1)).await;
        assert_eq!(revisions(&joined(response(&mut watching).await)), (2..=7).collect::<Vec<_>>());
    });
}

#[test]
fn a_response_carries_a_thousand_revisions_at_most() {
    on_server(async |server| {
        for n in 0..1_200 {
            server.stubs.put(format!("k{n:04}"), vec![b'v'; 1024]).await;
        }
        settled(&server.stubs).await;
        let mut fragments = Watching::open(&server.stubs, in_fragments(2)).await;
        let mut sizes = Vec::new();
        while sizes.iter().sum::<usize>() < 1_200 {
            sizes.push(revisions(&joined(response(&mut fragments).await)).len());
        }
        assert_eq!(sizes, [1000, 200], "as etcd's");
        // a client that did not ask for fragments gets none, and what it can take
        let mut whole = Watching::open(&server.stubs, create_all(2)).await;
        let mut seen = 0;
        while seen < 1_200 {
            let part = whole.next().await;
            assert!(!part.fragment && part.encoded_len() < MIB && part.events.len() <= 1000);
            seen += part.events.len();
        }
        assert_eq!(seen, 1_200);
    });
}

#[test]
fn small_events_do_not_exceed_a_thousand_revisions_either() {
    on_server(async |server| {
        for _ in 0..1_100 {
            server.stubs.put("k", "").await;
        }
        for request in [create_all(2), in_fragments(2)] {
            let mut watching = Watching::open(&server.stubs, request).await;
            let first = revisions(&joined(response(&mut watching).await)).len();
            assert!(first <= 1000, "{first} revisions in one response");
        }
    });
}

#[test]
fn nothing_of_another_watcher_comes_between_two_fragments() {
    on_server(async |server| {
        put_large(&server.stubs, 8).await;
        let mut watching = Watching::open(&server.stubs, in_fragments(2)).await;
        for id in 1..6 {
            watching.create(WatchCreateRequest { watch_id: id, ..in_fragments(2) });
            watching.create(WatchCreateRequest { watch_id: id + 10, ..create("k0", "", 1) });
            watching.progress();
        }
        server.stubs.put("more", "").await;
        let mut events = 0;
        // six watchers of everything, five of one key
        while events < 6 * 9 + 5 {
            // each response is checked for what comes between its parts
            events += joined(response(&mut watching).await).len();
        }
        assert_eq!(events, 6 * 9 + 5);
    });
}

#[test]
fn fragments_together_are_what_a_client_without_them_gets() {
    on_server_with(
        |config| config.max_request_bytes = 256 << 10,
        async |server| {
            for n in 0..60u8 {
                server.stubs.put(format!("k{}", n % 7), vec![n; 100_000]).await;
                if n % 9 == 0 {
                    server.stubs.delete("k", "k3").await;
                }
            }
            let last = server.stubs.put("behind", "").await.header.expect("a header").revision;
            for prev_kv in [false, true] {
                let whole = WatchCreateRequest { prev_kv, ..create_all(2) };
                let mut parts =
                    Watching::open(&server.stubs, WatchCreateRequest { fragment: true, ..whole.clone() }).await;
                let mut wanted = Vec::new();
                let mut plain = Watching::open(&server.stubs, whole).await;
                while revisions(&wanted).last() != Some(&last) {
                    wanted.extend(plain.next().await.events);
                }
                let (mut events, mut cut) = (Vec::new(), 0);
                while revisions(&events).last() != Some(&last) {
                    let response = response(&mut parts).await;
                    let largest = response.iter().map(WatchResponse::encoded_len).max().expect("a part");
                    assert!(largest < 768 << 10, "a fragment of {largest} bytes");
                    cut += response.len();
                    events.extend(joined(response));
                }
                assert!(cut > 10 && events == wanted, "{cut} parts, with previous values: {prev_kv}");
            }
        },
    );
}
