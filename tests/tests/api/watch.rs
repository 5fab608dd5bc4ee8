//! Watch: ids, starts, filters, previous values, fragments, progress, cancels. Many watchers stand in `watch_many`.

use api::etcdserverpb::watch_create_request::FilterType;
use api::etcdserverpb::{CompactionRequest, WatchCreateRequest};
use harness::request::{delete_op, put_op, txn};
use harness::server::{on_server, on_server_with};
use harness::watch::{create, create_all, short};
use harness::{Stubs, Watching};
use std::time::{Duration, Instant};

async fn compact(stubs: &Stubs, revision: i64) {
    stubs.kv.clone().compact(CompactionRequest { revision, physical: true }).await.expect("compact");
}

#[test]
fn ids_are_chosen_per_stream_or_given_and_never_taken_twice() {
    on_server(async |server| {
        let mut watching = Watching::open_unread(&server.stubs, create_all(0)).await;
        let created = watching.next().await;
        assert_eq!((created.watch_id, created.created, created.canceled), (0, true, false));
        assert_eq!(created.header.expect("a header").revision, 1);
        watching.create(WatchCreateRequest { watch_id: 2, ..create_all(0) });
        assert_eq!(watching.next().await.watch_id, 2);
        for wanted in [1, 3] {
            watching.create(create_all(0));
            assert_eq!(watching.next().await.watch_id, wanted);
        }
        watching.create(WatchCreateRequest { watch_id: 2, ..create_all(0) });
        let twice = watching.next().await;
        assert_eq!((twice.watch_id, twice.created, twice.canceled), (-1, true, true));
        assert_eq!(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
        let mut other = Watching::open_unread(&server.stubs, create_all(0)).await;
        assert_eq!(other.next().await.watch_id, 0, "each stream counts for itself");
    });
}

#[test]
fn starts_lie_in_past_present_and_future() {
    on_server(async |server| {
        for value in ["2", "3", "4"] {
            server.stubs.put("k", value).await;
        }
        let mut past = Watching::open(&server.stubs, create("k", "", 3)).await;
        let mut present = Watching::open(&server.stubs, create("k", "", 0)).await;
        let mut future = Watching::open(&server.stubs, create("k", "", 6)).await;
        for value in ["5", "6", "7"] {
            server.stubs.put("k", value).await;
        }
        for (watching, wanted) in [(&mut past, 3..=7_i64), (&mut present, 5..=7), (&mut future, 6..=7)] {
            let events = watching.events(wanted.clone().count()).await;
            let seen: Vec<_> = events.iter().map(short).map(|(_, _, value, revision)| (value, revision)).collect();
            let wanted: Vec<_> = wanted.map(|r| (r.to_string().into(), r)).collect();
            assert_eq!(seen, wanted);
        }
    });
}

#[test]
fn bad_starts_and_ranges_are_created_and_canceled() {
    on_server(async |server| {
        server.stubs.put("k", "v").await;
        let mut watching = Watching::open(&server.stubs, create_all(0)).await;
        watching.create(create_all(-1));
        let negative = watching.next().await;
        assert_eq!((negative.watch_id, negative.created, negative.canceled), (-1, true, true));
        assert_eq!(negative.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
        assert_eq!(negative.compact_revision, 0);
        watching.create(create("z", "a", -1));
        assert_eq!(watching.next().await.cancel_reason, negative.cancel_reason, "the start is looked at first");
        watching.create(create("z", "a", 0));
        let empty = watching.next().await;
        assert_eq!((empty.watch_id, empty.created, empty.canceled), (-1, true, true));
        assert_eq!(empty.cancel_reason, "mvcc: watcher range is empty");
        server.stubs.put("k", "w").await;
        assert_eq!(watching.events(1).await.len(), 1, "the stream and its first watcher go on");
    });
}

#[test]
fn an_empty_key_with_an_open_end_watches_everything() {
    on_server(async |server| {
        let mut watching = Watching::open(&server.stubs, create("", [0], 0)).await;
        server.stubs.put("a", "1").await;
        server.stubs.put([255, 255], "2").await;
        assert_eq!(watching.events(2).await.len(), 2);
    });
}

#[test]
fn filters_drop_puts_or_deletes() {
    on_server(async |server| {
        let filter = |f: FilterType| WatchCreateRequest { filters: vec![f as i32], ..create_all(0) };
        let mut deletes = Watching::open(&server.stubs, filter(FilterType::Noput)).await;
        let mut puts = Watching::open(&server.stubs, filter(FilterType::Nodelete)).await;
        server.stubs.put("k", "1").await;
        server.stubs.delete("k", "").await;
        server.stubs.put("k", "2").await;
        server.stubs.delete("k", "").await;
        let seen: Vec<_> = deletes.events(2).await.iter().map(short).map(|(put, _, _, rev)| (put, rev)).collect();
        assert_eq!(seen, [(false, 3), (false, 5)]);
        let seen: Vec<_> = puts.events(2).await.iter().map(short).map(|(put, _, _, rev)| (put, rev)).collect();
        assert_eq!(seen, [(true, 2), (true, 4)]);
    });
}

#[test]
fn previous_values_come_where_asked_for_and_kept() {
    on_server(async |server| {
        let with = |start| WatchCreateRequest { prev_kv: true, ..create("k", "", start) };
        let mut live = Watching::open(&server.stubs, with(0)).await;
        server.stubs.put("k", "1").await;
        server.stubs.put("k", "2").await;
        server.stubs.delete("k", "").await;
        server.stubs.put("k", "3").await;
        let before = |events: Vec<api::mvccpb::Event>| -> Vec<_> {
            events.into_iter().map(|e| e.prev_kv.map(|kv| (kv.value, kv.mod_revision))).collect()
        };
        let wanted = [None, Some(("1".into(), 2)), Some(("2".into(), 3)), None];
        assert_eq!(before(live.events(4).await), wanted);
        let mut replayed = Watching::open(&server.stubs, with(2)).await;
        assert_eq!(before(replayed.events(4).await), wanted, "from the log as from memory");
        let mut plain = Watching::open(&server.stubs, create("k", "", 2)).await;
        let events = plain.events(4).await;
        assert!(events.iter().all(|e| e.prev_kv.is_none()));
        let gone = events[2].kv.clone().expect("a key");
        assert_eq!(
            (&gone.key[..], &gone.value[..], gone.mod_revision, gone.create_revision),
            (&b"k"[..], &b""[..], 4, 0)
        );
        compact(&server.stubs, 3).await;
        let mut compacted = Watching::open(&server.stubs, with(3)).await;
        let first = before(compacted.events(3).await).remove(0);
        assert!(first.is_none(), "what was before a compaction is gone, also from memory");
    });
}

#[test]
fn the_events_of_a_revision_come_together_in_order() {
    on_server(async |server| {
        let mut live = Watching::open(&server.stubs, create_all(0)).await;
        server.stubs.put("b", "old").await;
        let ops = vec![put_op("z", "1"), delete_op("b", ""), put_op("a", "2"), put_op("m", "3")];
        server.stubs.txn(txn(ops)).await.expect("txn");
        live.next().await;
        let mut replayed = Watching::open(&server.stubs, create_all(3)).await;
        for watching in [&mut live, &mut replayed] {
            let answer = watching.next().await;
            assert_eq!(answer.header.as_ref().expect("a header").revision, 3);
            let keys: Vec<_> = answer.events.iter().map(short).map(|(put, key, _, rev)| (put, key, rev)).collect();
            let wanted = [(true, "z".into(), 3), (false, "b".into(), 3), (true, "a".into(), 3), (true, "m".into(), 3)];
            assert_eq!(keys, wanted);
        }
    });
}

#[test]
fn a_large_revision_is_fragmented_only_on_request() {
    // fragments are cut at max-request-bytes + 512 KiB
    on_server_with(
        |config| config.max_request_bytes = 256 << 10,
        async |server| {
            let mut whole = Watching::open(&server.stubs, create_all(0)).await;
            let mut cut = Watching::open(&server.stubs, WatchCreateRequest { fragment: true, ..create_all(0) }).await;
            // one revision of 5 MB: a delete with previous values
            for i in 0..25 {
                server.stubs.put(format!("k{i:02}"), vec![i; 200_000]).await;
            }
            assert_eq!((whole.events(25).await.len(), cut.events(25).await.len()), (25, 25));
            let with_values = WatchCreateRequest { prev_kv: true, fragment: true, ..create_all(27) };
            let mut fragments = Watching::open(&server.stubs, with_values.clone()).await;
            let mut together =
                Watching::open(&server.stubs, WatchCreateRequest { fragment: false, ..with_values }).await;
            server.stubs.delete("k", "l").await;
            let answer = together.next().await;
            assert_eq!((answer.events.len(), answer.fragment), (25, false));
            let mut events = Vec::new();
            let mut parts = 0;
            loop {
                let part = fragments.next().await;
                parts += 1;
                events.extend(part.events);
                if !part.fragment {
                    break;
                }
            }
            assert!(parts > 3, "{parts} parts");
            assert!(events == answer.events, "fragments together are the whole");
        },
    );
}

#[test]
fn progress_is_told_on_request_and_promises_all_before() {
    on_server(async |server| {
        let mut watching = Watching::open(&server.stubs, create_all(0)).await;
        for i in 0..50 {
            server.stubs.put("k", i.to_string()).await;
        }
        watching.progress();
        let mut seen = 1;
        loop {
            let answer = watching.next().await;
            if let Some(last) = answer.events.last() {
                seen = last.kv.as_ref().expect("a key").mod_revision;
                continue;
            }
            assert_eq!(answer.watch_id, -1);
            let revision = answer.header.expect("a header").revision;
            assert!(seen >= revision, "progress {revision} before the event, seen {seen}");
            assert_eq!(revision, 51, "nothing was written meanwhile");
            break;
        }
    });
}

#[test]
fn idle_watchers_are_told_progress_when_they_asked() {
    on_server_with(
        |config| config.watch_progress = Duration::from_millis(100),
        async |server| {
            server.stubs.put("other", "x").await;
            let asked = WatchCreateRequest { progress_notify: true, ..create("k", "", 0) };
            let mut watching = Watching::open(&server.stubs, asked).await;
            let begun = Instant::now();
            for _ in 0..20 {
                let answer = watching.next().await;
                assert_eq!((answer.watch_id, answer.events.len(), answer.created), (0, 0, false));
                assert_eq!(answer.header.expect("a header").revision, 2);
            }
            // two seconds of it; a look at the clock once a second would take twenty
            assert!(begun.elapsed() < Duration::from_secs(10), "as often as asked: {:?}", begun.elapsed());
        },
    );
}

#[test]
fn a_start_in_the_future_withholds_progress() {
    on_server(async |server| {
        // revision one is the present: two is as much in the future as a hundred
        for start in [100, 2] {
            let mut watching = Watching::open(&server.stubs, create_all(start)).await;
            watching.progress();
            // answers come in order: the next one belongs to the second watcher, no progress came before it
            watching.create(create("none", "", 0));
            let next = watching.next().await;
            assert!(next.created, "{next:?}");
        }
    });
}

#[test]
fn cancels_end_one_watcher() {
    on_server(async |server| {
        let mut watching = Watching::open(&server.stubs, create("a", "", 0)).await;
        watching.create(create("b", "", 0));
        assert_eq!(watching.next().await.watch_id, 1);
        watching.cancel(0);
        let canceled = watching.next().await;
        assert_eq!((canceled.watch_id, canceled.canceled, canceled.created), (0, true, false));
        assert_eq!((canceled.cancel_reason.as_str(), canceled.compact_revision), ("", 0));
        watching.cancel(77);
        server.stubs.put("a", "1").await;
        server.stubs.put("b", "2").await;
        let answer = watching.next().await;
        assert_eq!((answer.watch_id, short(&answer.events[0]).1), (1, "b".into()));
    });
}

#[test]
fn a_compacted_start_cancels_and_keeps_its_id_until_canceled() {
    on_server(async |server| {
        for value in ["2", "3", "4", "5"] {
            server.stubs.put("k", value).await;
        }
        compact(&server.stubs, 4).await;
        let mut watching = Watching::open(&server.stubs, create_all(2)).await;
        let canceled = watching.next().await;
        assert_eq!((canceled.watch_id, canceled.canceled, canceled.compact_revision), (0, true, 4));
        assert_eq!(canceled.cancel_reason, "");
        assert_eq!(canceled.header.expect("a header").revision, 0);
        watching.create(WatchCreateRequest { watch_id: 0, ..create_all(0) });
        assert_eq!(watching.next().await.watch_id, 1, "the id stays taken");
        watching.cancel(0);
        let again = watching.next().await;
        assert_eq!((again.watch_id, again.canceled), (0, true));
        // the compacted revision itself may be a start
        let mut legal = Watching::open(&server.stubs, create_all(4)).await;
        let seen: Vec<_> = legal.events(2).await.iter().map(short).map(|(_, _, _, rev)| rev).collect();
        assert_eq!(seen, [4, 5]);
    });
}
