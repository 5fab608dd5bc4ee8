//! Watch under load: many watchers, many streams, and a reader that does not read.

use api::etcdserverpb::watch_request::RequestUnion;
use api::etcdserverpb::{WatchCreateRequest, WatchRequest};
use harness::request::get;
use harness::server::on_server;
use harness::watch::{create, create_all, short};
use harness::{Stubs, Watching};
use tokio::task::JoinSet;

#[test]
fn a_thousand_watchers_each_see_their_own_keys() {
    on_server(async |server| {
        let mut watching = Watching::open(&server.stubs, create("k0000", "", 0)).await;
        for i in 1..1000 {
            watching.create(create(format!("k{:04}", i / 2), "", 0));
        }
        for _ in 1..1000 {
            assert!(watching.next().await.created);
        }
        for i in 0..500 {
            server.stubs.put(format!("k{i:04}"), "v").await;
        }
        let mut seen = vec![0; 1000];
        // watcher 0 and 1 watch k0000, watcher i watches i / 2
        for _ in 0..1000 {
            let answer = watching.next().await;
            assert_eq!(answer.events.len(), 1);
            let id = answer.watch_id as usize;
            let wanted = if id == 0 { "k0000".to_owned() } else { format!("k{:04}", id / 2) };
            assert_eq!(short(&answer.events[0]).1, wanted);
            seen[id] += 1;
        }
        assert!(seen.iter().all(|n| *n == 1));
    });
}

#[test]
fn two_hundred_streams_see_the_same_order() {
    on_server(async |server| {
        let mut readers = JoinSet::new();
        for i in 0..200 {
            // some from the past, some from now on
            let mut watching = Watching::open(&server.stubs, create_all(i % 2)).await;
            readers.spawn(async move { watching.events(100).await.iter().map(|e| short(e).3).collect::<Vec<_>>() });
        }
        for i in 0..100 {
            server.stubs.put(format!("k{}", i % 9), i.to_string()).await;
        }
        while let Some(revisions) = readers.join_next().await {
            assert_eq!(revisions.expect("a reader"), (2..102).collect::<Vec<_>>());
        }
    });
}

#[test]
fn sixteen_thousand_half_closed_streams_leave_room_for_a_range() {
    const STREAMS: usize = 16_384;
    on_server(async |server| {
        let mut opening = JoinSet::new();
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let mut watch = server.stubs.watch.clone();
            let union = RequestUnion::CreateRequest(create("k", "", 0));
            let requests = futures_util::stream::iter([WatchRequest { request_union: Some(union) }]);
            opening.spawn(async move {
                let mut answers = watch.watch(requests).await.expect("open a watch").into_inner();
                assert!(answers.message().await.expect("open").expect("an answer").created);
                answers
            });
            if opening.len() == 64 {
                open.push(opening.join_next().await.expect("one").expect("its task"));
            }
        }
        while let Some(answers) = opening.join_next().await {
            open.push(answers.expect("its task"));
        }
        assert_eq!(open.len(), STREAMS);
        let range = tokio::time::timeout(harness::PATIENCE, server.stubs.range(get("k"))).await;
        range.expect("an answer in time").expect("range");
    });
}

/// Writes `events` revisions from sixteen tasks at once.
async fn write(stubs: &Stubs, events: usize, size: usize) {
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let stubs = stubs.clone();
        tasks.spawn(async move {
            for i in (task..events).step_by(16) {
                stubs.put(format!("key-{i:06}"), vec![b'x'; size]).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a writer");
    }
}

#[test]
fn a_slow_reader_loses_nothing_and_holds_nobody_up() {
    const EVENTS: usize = 20_000;
    on_server(async |server| {
        // on connections of their own: a full window must be the slow one's alone
        let address = server.address().to_string();
        let patience = std::time::Duration::from_secs(5);
        let slow_stubs = Stubs::connect(&address, patience).await.expect("connect");
        let mut slow = Watching::open(&slow_stubs, create_all(0)).await;
        let mut quick = Watching::open(&server.stubs, create_all(0)).await;
        let reading = async { quick.events(EVENTS).await.len() };
        let (seen, ()) = tokio::join!(reading, write(&server.stubs, EVENTS, 512));
        assert_eq!(seen, EVENTS, "the quick one is not held up by the slow one");
        // 10 MB wait for it, more than any window: it gets them from the store
        let revisions: Vec<_> = slow.events(EVENTS).await.iter().map(|e| short(e).3).collect();
        assert_eq!(revisions.len(), EVENTS);
        assert!(revisions.windows(2).all(|w| w[1] == w[0] + 1), "a gap or a repetition");
        slow.progress();
        let progress = slow.next().await;
        assert_eq!((progress.watch_id, progress.header.expect("a header").revision), (-1, EVENTS as i64 + 1));
    });
}

#[test]
fn a_watcher_from_the_start_catches_up_while_writes_go_on() {
    on_server(async |server| {
        write(&server.stubs, 3_000, 100).await;
        let mut behind = Watching::open(&server.stubs, WatchCreateRequest { prev_kv: true, ..create_all(1) }).await;
        let (events, ()) = tokio::join!(behind.events(6_000), write(&server.stubs, 3_000, 90));
        let revisions: Vec<_> = events.iter().map(|e| short(e).3).collect();
        assert_eq!(revisions, (2..6_002).collect::<Vec<_>>());
        for event in &events[3_000..] {
            assert_eq!(event.prev_kv.as_ref().map(|kv| kv.value.len()), Some(100));
        }
    });
}
