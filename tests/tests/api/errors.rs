//! Refusals to the letter: clients match codes and texts.

use api::etcdserverpb::{
    CompactionRequest, Compare, LeaseGrantRequest, LeaseRevokeRequest, MoveLeaderRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};
use harness::request::{all, delete, delete_op, get, put, put_op, txn, txn_op};
use harness::server::on_server;
use harness::wire::{END_HEADERS, END_STREAM, Wire, call_headers, frame, header_block, kind};
use harness::{Server, expect_status};
use tonic::{Code, Status};

const EMPTY_KEY: &str = "etcdserver: key is not provided";
const KEY_NOT_FOUND: &str = "etcdserver: key not found";
const DUPLICATE: &str = "etcdserver: duplicate key given in txn request";
const TOO_MANY_OPS: &str = "etcdserver: too many operations in txn request";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const NO_LEASE: &str = "etcdserver: requested lease not found";

#[test]
fn ranges() {
    on_server(async |server| {
        for _ in 0..5 {
            server.stubs.put("k", "v").await;
        }
        server.stubs.kv.clone().compact(CompactionRequest { revision: 4, physical: true }).await.expect("compact");
        let cases = [
            ("empty key", RangeRequest::default(), Code::InvalidArgument, EMPTY_KEY),
            (
                "sort order",
                RangeRequest { sort_order: 3, ..all() },
                Code::InvalidArgument,
                "etcdserver: invalid sort option",
            ),
            (
                "sort target",
                RangeRequest { sort_target: 5, ..all() },
                Code::InvalidArgument,
                "etcdserver: invalid sort option",
            ),
            ("compacted", RangeRequest { revision: 3, ..get("k") }, Code::OutOfRange, COMPACTED),
            ("future", RangeRequest { revision: 7, ..get("k") }, Code::OutOfRange, FUTURE),
            ("future count", RangeRequest { revision: 7, count_only: true, ..all() }, Code::OutOfRange, FUTURE),
            ("serializable", RangeRequest { revision: 7, serializable: true, ..all() }, Code::OutOfRange, FUTURE),
        ];
        for (name, request, code, text) in cases {
            expect_status(name, server.stubs.range(request).await, code, text);
        }
    });
}

#[test]
fn writes() {
    on_server(async |server| {
        server.stubs.put("k", "v").await;
        let cases = [
            ("empty key", put("", "v"), Code::InvalidArgument, EMPTY_KEY),
            (
                "value given",
                PutRequest { ignore_value: true, ..put("k", "v") },
                Code::InvalidArgument,
                "etcdserver: value is provided",
            ),
            (
                "lease given",
                PutRequest { ignore_lease: true, lease: 1, ..put("k", "v") },
                Code::InvalidArgument,
                "etcdserver: lease is provided",
            ),
            (
                "nothing to keep",
                PutRequest { ignore_value: true, ..put("none", "") },
                Code::InvalidArgument,
                KEY_NOT_FOUND,
            ),
            (
                "no lease to keep",
                PutRequest { ignore_lease: true, ..put("none", "v") },
                Code::InvalidArgument,
                KEY_NOT_FOUND,
            ),
            ("unknown lease", PutRequest { lease: 4711, ..put("k", "v") }, Code::NotFound, NO_LEASE),
        ];
        for (name, request, code, text) in cases {
            expect_status(name, server.stubs.kv.clone().put(request).await, code, text);
        }
        let answer = server.stubs.kv.clone().delete_range(delete("", "z")).await;
        expect_status("delete", answer, Code::InvalidArgument, EMPTY_KEY);
        let answer = server.stubs.kv.clone().compact(CompactionRequest { revision: 3, physical: false }).await;
        expect_status("compact", answer, Code::OutOfRange, FUTURE);
        assert_eq!(server.stubs.revision().await, 2, "refusals leave no trace");
    });
}

#[test]
fn transactions() {
    on_server(async |server| {
        let many = |n: usize| (0..n).map(|i| put_op(format!("k{i}"), "v")).collect::<Vec<_>>();
        let empty_compare = TxnRequest { compare: vec![Compare::default()], ..TxnRequest::default() };
        let failure = |ops| TxnRequest { failure: ops, ..TxnRequest::default() };
        let cases = [
            ("129 operations", txn(many(129)), TOO_MANY_OPS),
            ("129 in the other branch", failure(many(129)), TOO_MANY_OPS),
            ("129 over two levels", txn(vec![txn_op(txn(many(128)))]), TOO_MANY_OPS),
            ("twice", txn(vec![put_op("a", "1"), put_op("a", "2")]), DUPLICATE),
            ("twice, not chosen", failure(vec![put_op("a", "1"), put_op("a", "2")]), DUPLICATE),
            ("put in a delete", txn(vec![delete_op("a", "c"), put_op("b", "2")]), DUPLICATE),
            ("across levels", txn(vec![put_op("a", "1"), txn_op(txn(vec![put_op("a", "2")]))]), DUPLICATE),
            ("empty key", txn(vec![put_op("", "1")]), EMPTY_KEY),
            ("empty compare", empty_compare, EMPTY_KEY),
            ("empty operation", txn(vec![RequestOp::default()]), KEY_NOT_FOUND),
        ];
        for (name, request, text) in cases {
            expect_status(name, server.stubs.txn(request).await, Code::InvalidArgument, text);
        }
        server.stubs.txn(txn(many(128))).await.expect("128 operations are allowed");
        let branches = TxnRequest { success: vec![put_op("a", "1")], ..failure(vec![put_op("a", "2")]) };
        server.stubs.txn(branches).await.expect("branches exclude each other");
    });
}

#[test]
fn oversized_requests_of_both_kinds() {
    on_server(async |server| {
        // the entry would exceed --max-request-bytes
        let answer = server.stubs.kv.clone().put(put("k", vec![0; 1536 << 10])).await;
        expect_status("too large", answer, Code::InvalidArgument, "etcdserver: request is too large");
        // the message exceeds what is received at all
        let request = put("k", vec![0; 2 << 20]);
        let length = prost::Message::encoded_len(&request);
        let text = format!("grpc: received message larger than max ({length} vs. {})", 2 << 20);
        let answer = server.stubs.kv.clone().put(request).await;
        expect_status("not received", answer, Code::ResourceExhausted, &text);
        let fits = put("k", vec![7; (1536 << 10) - 512]);
        server.stubs.kv.clone().put(fits.clone()).await.expect("just small enough");
        assert!(server.stubs.range(get("k")).await.expect("get").kvs[0].value == fits.value);
    });
}

#[test]
fn leases() {
    on_server(async |server| {
        let mut lease = server.stubs.lease.clone();
        let grant = |id, ttl| LeaseGrantRequest { ttl, id };
        let answer = lease.lease_grant(grant(0, 9_000_000_001)).await;
        expect_status("ttl", answer, Code::OutOfRange, "etcdserver: too large lease TTL");
        lease.lease_grant(grant(5, 100)).await.expect("grant");
        let answer = lease.lease_grant(grant(5, 100)).await;
        expect_status("exists", answer, Code::FailedPrecondition, "etcdserver: lease already exists");
        expect_status("revoke", lease.lease_revoke(LeaseRevokeRequest { id: 6 }).await, Code::NotFound, NO_LEASE);
    });
}

#[test]
fn maintenance() {
    on_server(async |server| {
        expect_status("hash of the future", server.stubs.hash_kv(9).await, Code::OutOfRange, FUTURE);
        let mut maintenance = server.stubs.maintenance.clone();
        let answer = maintenance.move_leader(MoveLeaderRequest { target_id: 77 }).await;
        expect_status("transferee", answer, Code::FailedPrecondition, "etcdserver: bad leader transferee");
    });
}

/// Calls a path that no stub knows.
async fn call(server: &Server, path: &'static str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(server.stubs.channel.clone());
    grpc.ready().await.expect("ready");
    let codec = tonic_prost::ProstCodec::<RangeRequest, RangeRequest>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    grpc.unary(tonic::Request::new(all()), path, codec).await.map(|_| ())
}

#[test]
fn unknown_methods() {
    on_server(async |server| {
        let cases = [
            ("/etcdserverpb.KV/Steal", "unknown method Steal for service etcdserverpb.KV"),
            ("/etcdserverpb.Nothing/Range", "unknown service etcdserverpb.Nothing"),
        ];
        for (path, text) in cases {
            expect_status(path, call(server, path).await, Code::Unimplemented, text);
        }
    });
}

#[test]
fn deadlines_of_the_client_end_its_calls() {
    on_server(async |server| {
        // by hand: tonic's client ends such calls itself
        let mut headers = call_headers("/etcdserverpb.Watch/Watch");
        headers.extend(header_block(&[("grpc-timeout", "50m")]));
        let mut wire = Wire::open(server.address(), &[]).await;
        wire.send(&frame(kind::HEADERS, END_HEADERS, 1, &headers)).await;
        let end = wire.receive_until(|f| f.kind == kind::HEADERS && f.flags & END_STREAM != 0).await;
        assert_eq!(end.map(|f| f.stream), Some(1), "trailers end the stream");
    });
}

#[test]
fn metadata() {
    on_server(async |server| {
        let mut request = tonic::Request::new(get("k"));
        request.metadata_mut().insert("hasleader", "true".parse().expect("ascii"));
        request.metadata_mut().insert("client-api-version", "3.7.1".parse().expect("ascii"));
        server.stubs.kv.clone().range(request).await.expect("there is a leader");
    });
}
