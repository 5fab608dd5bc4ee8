//! Put, DeleteRange and Compact: revisions, versions, previous values, headers.

use api::etcdserverpb::{CompactionRequest, PutRequest};
use harness::request::{all, delete, get, put, range};
use harness::server::on_server;
use harness::{Stubs, expect_status};
use tonic::Code;

#[test]
fn a_new_store_is_at_revision_one() {
    on_server(async |server| {
        let answer = server.stubs.range(all()).await.expect("range");
        let header = answer.header.expect("a header");
        let status = server.stubs.status().await;
        assert_eq!(header.revision, 1);
        assert_eq!(answer.kvs, []);
        assert_eq!(header.member_id, status.leader, "the only member leads");
        assert_ne!(header.cluster_id, 0);
        assert!(header.raft_term >= 2);
        // revision 1 exists and is empty
        let first = server.stubs.range(api::etcdserverpb::RangeRequest { revision: 1, ..all() }).await.expect("at 1");
        assert_eq!(first.count, 0);
    });
}

#[test]
fn puts_count_versions_and_keep_the_create_revision() {
    on_server(async |server| {
        let stubs = &server.stubs;
        for round in 1..=3_i64 {
            let answer = stubs.put("a", format!("v{round}")).await;
            assert_eq!(answer.header.expect("a header").revision, round + 1);
            assert_eq!(answer.prev_kv, None);
        }
        let kv = stubs.range(get("a")).await.expect("get").kvs.remove(0);
        assert_eq!((kv.create_revision, kv.mod_revision, kv.version, &kv.value[..]), (2, 4, 3, &b"v3"[..]));
        assert_eq!(stubs.delete("a", "").await, (1, 5));
        assert_eq!(stubs.delete("a", "").await, (0, 5), "nothing deleted: no new revision");
        stubs.put("a", "again").await;
        let kv = stubs.range(get("a")).await.expect("get").kvs.remove(0);
        assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (6, 6, 1));
    });
}

#[test]
fn previous_values_are_told_on_request() {
    on_server(async |server| {
        let mut kv = server.stubs.kv.clone();
        let mut ask = async |value: &str| {
            let request = PutRequest { prev_kv: true, ..put("k", value) };
            kv.put(request).await.expect("put").into_inner().prev_kv
        };
        assert_eq!(ask("1").await, None);
        let before = ask("2").await.expect("it existed");
        assert_eq!(
            (&before.key[..], &before.value[..], before.mod_revision, before.version),
            (&b"k"[..], &b"1"[..], 2, 1)
        );
        server.stubs.put("l", "x").await;
        let request = api::etcdserverpb::DeleteRangeRequest { prev_kv: true, ..delete("k", "z") };
        let answer = server.stubs.kv.clone().delete_range(request).await.expect("delete").into_inner();
        let gone: Vec<_> = answer.prev_kvs.iter().map(|kv| (&kv.key[..], &kv.value[..])).collect();
        assert_eq!((answer.deleted, gone), (2, vec![(&b"k"[..], &b"2"[..]), (&b"l"[..], &b"x"[..])]));
    });
}

#[test]
fn a_put_may_keep_value_or_lease() {
    on_server(async |server| {
        let mut kv = server.stubs.kv.clone();
        server.stubs.put("k", "kept").await;
        let request = PutRequest { ignore_value: true, ..put("k", "") };
        kv.put(request).await.expect("ignore_value");
        let found = server.stubs.range(get("k")).await.expect("get").kvs.remove(0);
        assert_eq!((&found.value[..], found.version), (&b"kept"[..], 2));
        let request = PutRequest { ignore_lease: true, ..put("k", "new") };
        kv.put(request).await.expect("ignore_lease");
        assert_eq!(server.stubs.range(get("k")).await.expect("get").kvs[0].value, "new");
    });
}

#[test]
fn empty_and_binary_values_come_back_as_they_were() {
    on_server(async |server| {
        let binary: Vec<u8> = (0..=255).collect();
        server.stubs.put(&binary, &binary).await;
        server.stubs.put("empty", "").await;
        let found = server.stubs.range(get(&binary)).await.expect("get").kvs.remove(0);
        assert_eq!((&found.key[..], &found.value[..]), (&binary[..], &binary[..]));
        assert_eq!(server.stubs.range(get("empty")).await.expect("get").kvs[0].value, "");
    });
}

#[test]
fn deletes_take_ranges_and_everything() {
    on_server(async |server| {
        for key in ["a", "b", "c", "d"] {
            server.stubs.put(key, "x").await;
        }
        assert_eq!(server.stubs.delete("b", "d").await, (2, 6));
        assert_eq!(server.stubs.delete("d", "b").await, (0, 6), "an empty range deletes nothing");
        assert_eq!(server.stubs.delete([0], [0]).await, (2, 7));
        assert_eq!(server.stubs.range(all()).await.expect("range").count, 0);
    });
}

async fn compact(stubs: &Stubs, revision: i64, physical: bool) -> Result<i64, tonic::Status> {
    let answer = stubs.kv.clone().compact(CompactionRequest { revision, physical }).await?;
    Ok(answer.into_inner().header.expect("a header").revision)
}

#[test]
fn compaction_ends_the_past_and_nothing_else() {
    on_server(async |server| {
        let stubs = &server.stubs;
        for value in ["1", "2", "3"] {
            stubs.put("k", value).await;
        }
        stubs.delete("k", "").await;
        stubs.put("other", "x").await;
        assert_eq!(compact(stubs, 4, true).await.expect("compact"), 6);
        let at = |revision| api::etcdserverpb::RangeRequest { revision, ..get("k") };
        assert_eq!(stubs.range(at(4)).await.expect("the compacted revision is readable").kvs[0].value, "3");
        let text = "etcdserver: mvcc: required revision has been compacted";
        expect_status("read below", stubs.range(at(3)).await, Code::OutOfRange, text);
        expect_status("twice", compact(stubs, 4, false).await, Code::OutOfRange, text);
        expect_status("lower", compact(stubs, 2, true).await, Code::OutOfRange, text);
        let text = "etcdserver: mvcc: required revision is a future revision";
        expect_status("future", compact(stubs, 7, false).await, Code::OutOfRange, text);
        assert_eq!(compact(stubs, 6, true).await.expect("to the newest"), 6);
        assert_eq!(stubs.range(range("a", "z")).await.expect("range").kvs[0].value, "x");
    });
}

#[test]
fn compacting_a_new_store_to_zero_succeeds_as_in_etcd() {
    on_server(async |server| {
        assert_eq!(compact(&server.stubs, 0, true).await.expect("compact"), 1);
    });
}

#[test]
fn a_read_sees_every_write_that_was_acknowledged_before_it() {
    on_server(async |server| {
        let address = server.address().to_string();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4 {
            let writer = Stubs::connect(&address, harness::PATIENCE).await.expect("connect");
            let reader = Stubs::connect(&address, harness::PATIENCE).await.expect("connect");
            tasks.spawn(async move {
                let (key, mut newest) = (format!("k{}", task % 2), 0);
                for i in 0..200 {
                    let written = writer.put(&key, format!("{task}.{i}")).await.header.expect("a header").revision;
                    assert!(written > newest);
                    let answer = reader.range(get(&key)).await.expect("get");
                    newest = answer.header.expect("a header").revision;
                    let seen = answer.kvs[0].mod_revision;
                    assert!(seen >= written && newest >= seen, "wrote {written}, then read {seen} at {newest}");
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(server.stubs.revision().await, 801);
    });
}
