//! Rights of a transaction: each operation and comparison is looked at, at every depth, in the branch that is not taken too.
//!
//! GHSA-x35m-3gp4-4fh5 and GHSA-rfx7-8w68-q57q. Must never let a case change the store unseen: a refused call moves no revision.

use super::auth::{auth, enable, login, with};
use api::authpb::Permission;
use api::etcdserverpb as pb;
use api::etcdserverpb::RequestUnion;
use harness::request::{compare, delete, delete_op, get, put, put_op, range, range_op, txn, txn_op};
use harness::server::on_server_with;
use harness::{Stubs, expect_status};
use tonic::Code;

const DENIED: &str = "etcdserver: permission denied";
/// A lease that holds a key which alice may not write.
const FOREIGN: i64 = 71;

fn op(operation: RequestUnion) -> pb::RequestOp {
    pb::RequestOp { request: Some(operation) }
}

fn put_with(request: pb::PutRequest) -> pb::TxnRequest {
    txn(vec![op(RequestUnion::Put(request))])
}

fn only_if(key: &str) -> pb::TxnRequest {
    let compare = vec![compare(key, pb::CompareResult::Equal, pb::TargetUnion::Version(99))];
    pb::TxnRequest { compare, ..Default::default() }
}

/// What alice may not do, who may read and write `a/` and only write `w/`.
fn refused() -> Vec<(&'static str, pb::TxnRequest)> {
    let delete_seen = pb::DeleteRangeRequest { prev_kv: true, ..delete("w/1", "") };
    vec![
        ("put", txn(vec![put_op("secret", "x")])),
        ("get", txn(vec![range_op(get("secret"))])),
        ("range that goes on behind her keys", txn(vec![range_op(range("a/", "b"))])),
        ("delete", txn(vec![delete_op("secret", "")])),
        ("delete of everything", txn(vec![delete_op("a/", "\0")])),
        ("get of what she may only write", txn(vec![range_op(get("w/1"))])),
        ("put that shows the previous value", put_with(pb::PutRequest { prev_kv: true, ..put("w/1", "x") })),
        ("delete that shows the previous value", txn(vec![op(RequestUnion::DeleteRange(delete_seen))])),
        ("put with a foreign lease", put_with(pb::PutRequest { lease: FOREIGN, ..put("a/1", "x") })),
        ("comparison", only_if("secret")),
        ("comparison of what she may only write", only_if("w/1")),
    ]
}

/// The transaction inside as many others; in the branch that is taken, or in the other one.
fn inside(request: pb::TxnRequest, depth: usize, taken: bool) -> pb::TxnRequest {
    (0..depth).fold(request, |inner, _| {
        let branch = vec![txn_op(inner)];
        if taken { txn(branch) } else { pb::TxnRequest { failure: branch, ..Default::default() } }
    })
}

async fn prepare(stubs: &Stubs) -> String {
    stubs.lease.clone().lease_grant(pb::LeaseGrantRequest { ttl: 600, id: FOREIGN }).await.expect("a lease");
    stubs.kv.clone().put(pb::PutRequest { lease: FOREIGN, ..put("secret", "s") }).await.expect("a put");
    stubs.put("w/1", "v").await;
    enable(stubs).await;
    let root = login(stubs, "root").await;
    let perm = Some(Permission { perm_type: 1, key: "w/".into(), range_end: "w0".into() });
    let grant = pb::AuthRoleGrantPermissionRequest { name: "a".into(), perm };
    auth(stubs).role_grant_permission(with(grant, &root)).await.expect("a permission");
    login(stubs, "alice").await
}

#[test]
fn every_operation_and_comparison_needs_its_right_at_every_depth() {
    on_server_with(
        |config| config.bcrypt_cost = 4,
        async |server| {
            let stubs = &server.stubs;
            let alice = prepare(stubs).await;
            let mut kv = stubs.kv.clone();
            let may = || txn(vec![put_op("a/1", "x"), put_op("w/1", "x"), range_op(get("a/1")), delete_op("a/2", "")]);
            for depth in 0..4 {
                for taken in [true, false] {
                    let before = kv.range(with(get("a/1"), &alice)).await.expect("her own").into_inner();
                    for (what, request) in refused() {
                        let what = format!("{what}, {depth} deep, {}", if taken { "taken" } else { "not taken" });
                        let answer = kv.txn(with(inside(request, depth, taken), &alice)).await;
                        expect_status(&what, answer, Code::PermissionDenied, DENIED);
                    }
                    let after = kv.range(with(get("a/1"), &alice)).await.expect("her own").into_inner();
                    assert_eq!(before.header.map(|h| h.revision), after.header.map(|h| h.revision), "nothing changed");
                    kv.txn(with(inside(may(), depth, taken), &alice)).await.expect("what she may do");
                }
            }
        },
    );
}
