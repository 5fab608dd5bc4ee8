//! Txn: branches, comparisons, nesting, one revision for all, reads of its own writes.

use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    CompactionRequest, Compare, CompareResult, CompareTarget, RangeRequest, TargetUnion, TxnRequest, TxnResponse,
};
use harness::request::{all, bytes, compare, delete_op, get, put_op, range, range_op, txn, txn_op};
use harness::server::on_server;
use harness::{Stubs, expect_status};
use tonic::Code;

fn revision(answer: &TxnResponse) -> i64 {
    answer.header.as_ref().expect("a header").revision
}

#[test]
fn all_writes_share_a_revision_and_reads_see_them() {
    on_server(async |server| {
        let ops =
            vec![put_op("a", "1"), range_op(get("a")), put_op("b", "2"), delete_op("c", ""), range_op(range("a", "z"))];
        server.stubs.put("c", "old").await;
        let answer = server.stubs.txn(txn(ops)).await.expect("txn");
        assert!(answer.succeeded);
        assert_eq!((revision(&answer), answer.responses.len()), (3, 5));
        let responses: Vec<_> = answer.responses.into_iter().map(|r| r.response.expect("an answer")).collect();
        let Response::ResponseRange(own) = &responses[1] else { panic!("not a range: {responses:?}") };
        assert_eq!((&own.kvs[0].value[..], own.kvs[0].mod_revision), (&b"1"[..], 3));
        let Response::ResponseDeleteRange(gone) = &responses[3] else { panic!("not a delete: {responses:?}") };
        assert_eq!(gone.deleted, 1);
        let Response::ResponseRange(end) = &responses[4] else { panic!("not a range: {responses:?}") };
        let keys: Vec<_> = end.kvs.iter().map(|kv| (&kv.key[..], kv.mod_revision)).collect();
        assert_eq!(keys, [(&b"a"[..], 3), (&b"b"[..], 3)]);
        assert_eq!(server.stubs.range(all()).await.expect("range").kvs, end.kvs);
    });
}

#[test]
fn a_txn_without_effect_makes_no_revision() {
    on_server(async |server| {
        server.stubs.put("a", "1").await;
        for request in [txn(vec![]), txn(vec![delete_op("none", "")]), txn(vec![range_op(all())])] {
            assert_eq!(revision(&server.stubs.txn(request).await.expect("txn")), 2);
        }
    });
}

async fn holds(stubs: &Stubs, compare: Compare) -> bool {
    let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
    stubs.txn(request).await.expect("txn").succeeded
}

#[test]
fn comparisons_know_every_target_and_result() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    on_server(async |server| {
        server.stubs.put("filler", "x").await;
        server.stubs.put("k", "m").await;
        server.stubs.put("k", "m").await;
        // create 3, mod 4, version 2, value "m", lease 0
        type Target = fn(i64) -> TargetUnion;
        let numbers: [(Target, i64); 4] = [
            (TargetUnion::Version, 2),
            (TargetUnion::CreateRevision, 3),
            (TargetUnion::ModRevision, 4),
            (TargetUnion::Lease, 0),
        ];
        for (union, value) in numbers {
            for (result, at) in [(Equal, [false, true, false]), (NotEqual, [true, false, true])] {
                for (step, wanted) in (-1..).zip(at) {
                    let name = format!("{:?} {result:?}", union(value + step));
                    assert_eq!(holds(&server.stubs, compare("k", result, union(value + step))).await, wanted, "{name}");
                }
            }
            for (result, at) in [(Greater, [true, false, false]), (Less, [false, false, true])] {
                for (step, wanted) in (-1..).zip(at) {
                    let name = format!("{:?} {result:?}", union(value + step));
                    assert_eq!(holds(&server.stubs, compare("k", result, union(value + step))).await, wanted, "{name}");
                }
            }
        }
        let value = |v: &str| TargetUnion::Value(bytes(v));
        for (result, other, wanted) in
            [(Equal, "m", true), (NotEqual, "m", false), (Greater, "a", true), (Less, "z", true)]
        {
            assert_eq!(holds(&server.stubs, compare("k", result, value(other))).await, wanted, "{result:?} {other}");
        }
        // a missing key is zero for numbers, and no value at all compares
        assert!(holds(&server.stubs, compare("none", Equal, TargetUnion::Version(0))).await);
        assert!(holds(&server.stubs, compare("none", Equal, TargetUnion::CreateRevision(0))).await);
        assert!(!holds(&server.stubs, compare("none", Equal, value(""))).await);
        assert!(!holds(&server.stubs, compare("none", NotEqual, value("x"))).await);
    });
}

#[test]
fn comparisons_over_a_range_must_hold_for_every_key() {
    on_server(async |server| {
        for key in ["r1", "r2", "r3"] {
            server.stubs.put(key, "same").await;
        }
        let over = |union| Compare { range_end: bytes("s"), ..compare("r", CompareResult::Equal, union) };
        assert!(holds(&server.stubs, over(TargetUnion::Value(bytes("same")))).await);
        assert!(holds(&server.stubs, over(TargetUnion::Version(1))).await);
        server.stubs.put("r2", "other").await;
        assert!(!holds(&server.stubs, over(TargetUnion::Value(bytes("same")))).await);
        assert!(!holds(&server.stubs, over(TargetUnion::Version(1))).await);
    });
}

#[test]
fn a_comparison_without_a_value_takes_zero() {
    on_server(async |server| {
        let bare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key: bytes("none"),
            ..Compare::default()
        };
        assert!(holds(&server.stubs, bare).await);
    });
}

#[test]
fn nested_transactions_choose_their_own_branch() {
    on_server(async |server| {
        let exists = |key: &str| compare(key, CompareResult::Greater, TargetUnion::Version(0));
        let inner = |key: &str, then: &str, otherwise: &str| {
            txn_op(TxnRequest {
                compare: vec![exists(key)],
                success: vec![put_op(then, "then")],
                failure: vec![put_op(otherwise, "else")],
            })
        };
        server.stubs.put("there", "x").await;
        // every comparison, nested ones too, sees the store before the transaction: `p` does not exist yet
        let request = TxnRequest {
            compare: vec![exists("there")],
            success: vec![
                inner("there", "p", "q"),
                inner("missing", "r", "s"),
                txn_op(txn(vec![inner("p", "t", "u")])),
            ],
            failure: vec![put_op("never", "x")],
        };
        let answer = server.stubs.txn(request).await.expect("txn");
        assert!(answer.succeeded);
        assert_eq!(revision(&answer), 3);
        let Some(Response::ResponseTxn(second)) = &answer.responses[1].response else { panic!("{answer:?}") };
        assert!(!second.succeeded);
        let found = server.stubs.range(all()).await.expect("range").kvs;
        let keys: Vec<_> =
            found.iter().map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv.mod_revision)).collect();
        let wanted = [("p", 3), ("s", 3), ("there", 2), ("u", 3)].map(|(k, r)| (k.to_owned(), r));
        assert_eq!(keys, wanted);
    });
}

#[test]
fn one_bad_operation_undoes_the_whole() {
    on_server(async |server| {
        server.stubs.put("k", "before").await;
        let lost_lease = api::etcdserverpb::PutRequest { lease: 77, ..harness::request::put("l", "x") };
        let lost_lease =
            api::etcdserverpb::RequestOp { request: Some(api::etcdserverpb::RequestUnion::Put(lost_lease)) };
        let future = range_op(RangeRequest { revision: 99, ..all() });
        let cases = [
            (lost_lease, Code::NotFound, "etcdserver: requested lease not found"),
            (future, Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision"),
        ];
        for (op, code, text) in cases {
            let request = txn(vec![put_op("k", "after"), op]);
            expect_status("txn", server.stubs.txn(request).await, code, text);
        }
        let kv = server.stubs.range(get("k")).await.expect("get").kvs.remove(0);
        assert_eq!((&kv.value[..], server.stubs.revision().await), (&b"before"[..], 2));
    });
}

#[test]
fn a_transaction_that_only_reads_sees_one_revision() {
    on_server(async |server| {
        server.stubs.put("a", "1").await;
        server.stubs.put("b", "1").await;
        let writer = async {
            for i in 2..200 {
                let both = txn(vec![put_op("a", i.to_string()), put_op("b", i.to_string())]);
                server.stubs.txn(both).await.expect("write both");
            }
        };
        let reader = async {
            for _ in 0..200 {
                let answer = server.stubs.txn(txn(vec![range_op(get("a")), range_op(get("b"))])).await.expect("read");
                let values: Vec<_> = answer
                    .responses
                    .iter()
                    .map(|r| match &r.response {
                        Some(Response::ResponseRange(range)) => range.kvs[0].value.clone(),
                        other => panic!("not a range: {other:?}"),
                    })
                    .collect();
                assert_eq!(values[0], values[1]);
            }
        };
        tokio::join!(writer, reader);
    });
}

#[test]
fn a_put_behind_a_delete_of_its_key_outlives_a_compaction_at_its_revision() {
    // etcd 3.7.1 takes such a transaction, loses the put at the compaction, and ends itself when the key is read
    on_server(async |server| {
        server.stubs.put("a", "old").await;
        server.stubs.txn(txn(vec![delete_op("a", [0]), put_op("a", "new")])).await.expect("txn");
        let compaction = CompactionRequest { revision: 3, physical: true };
        server.stubs.kv.clone().compact(compaction).await.expect("compact");
        let found = server.stubs.range(get("a")).await.expect("range").kvs;
        assert_eq!((found[0].create_revision, &found[0].value[..]), (3, &b"new"[..]));
    });
}

#[test]
fn ranges_that_are_too_much_for_one_answer_refuse_the_transaction_whole() {
    on_server(async |server| {
        let value = "v".repeat(16 << 10);
        for n in 0..100 {
            server.stubs.put(format!("k{n:02}"), &value).await;
        }
        let before = server.stubs.revision().await;
        // 1.6 MiB, 127 times
        let with = |first, range: RangeRequest| {
            let ranges = std::iter::repeat_with(|| range_op(range.clone())).take(127);
            txn(std::iter::once(first).chain(ranges).collect())
        };
        let nested = || txn_op(txn(vec![]));
        for first in [put_op("x", "1"), delete_op("k00", ""), nested()] {
            let answer = server.stubs.txn(with(first, all())).await;
            expect_status("ranges", answer, Code::InvalidArgument, "etcdserver: request is too large");
        }
        assert!(server.stubs.range(get("x")).await.expect("get").kvs.is_empty());
        assert_eq!(
            (server.stubs.range(all()).await.expect("all").kvs.len(), server.stubs.revision().await),
            (100, before)
        );
        let fitting = [RangeRequest { limit: 2, ..all() }, RangeRequest { keys_only: true, ..all() }, get("k00")];
        for range in fitting {
            let answer = server.stubs.txn(with(put_op("x", "1"), range.clone())).await.expect("txn");
            assert_eq!(answer.responses.len(), 128, "{range:?}");
        }
        let reads = std::iter::repeat_with(|| range_op(all())).take(100).collect();
        let answer = server.stubs.txn(txn(reads)).await.expect("without a write it is sent while it is read");
        assert_eq!(answer.responses.len(), 100);
        // what is deleted before is not read
        server.stubs.txn(with(delete_op([0], [0]), all())).await.expect("nothing is left");
    });
}
