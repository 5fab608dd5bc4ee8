//! A second server that is given the same history without any crash: it must end with the same HashKV.
//!
//! Must never be given anything but the events of the first.

use crate::log::Log;
use api::etcdserverpb::{CompactionRequest, LeaseGrantRequest, PutRequest, RequestOp, RequestUnion, TxnRequest};
use api::mvccpb::Event;
use harness::daemon::Settings;
use harness::request::{delete_op, put};
use harness::{Daemon, Stubs};
use std::collections::HashSet;
use tempfile::TempDir;

/// Compacts both at the same revision and compares their hashes.
pub async fn compare(stubs: &Stubs, log: &Log, compact: i64) {
    let dir = TempDir::new().expect("a folder");
    let (_daemon, twin) = Daemon::start(Settings::new(dir.path().join("twin"))).await;
    let mut leases = HashSet::new();
    for revision in 2..=log.revision() {
        let success = log.at(revision).iter().map(operation).collect();
        for lease in log.at(revision).iter().filter_map(lease).filter(|l| leases.insert(*l)).collect::<Vec<_>>() {
            let grant = LeaseGrantRequest { id: lease, ttl: 100_000 };
            twin.lease.clone().lease_grant(grant).await.expect("grant");
        }
        let answer = twin.txn(TxnRequest { success, ..TxnRequest::default() }).await.expect("replay");
        assert_eq!(answer.header.expect("a header").revision, revision);
    }
    for server in [stubs, &twin] {
        server.kv.clone().compact(CompactionRequest { revision: compact, physical: true }).await.expect("compact");
    }
    let (crashed, clean) = (stubs.hash_kv(0).await.expect("hash"), twin.hash_kv(0).await.expect("hash"));
    assert_eq!(crashed.hash_revision, clean.hash_revision);
    assert_eq!((crashed.compact_revision, crashed.hash), (clean.compact_revision, clean.hash), "the histories differ");
}

fn lease(event: &Event) -> Option<i64> {
    event.kv.as_ref().map(|kv| kv.lease).filter(|lease| *lease != 0)
}

fn operation(event: &Event) -> RequestOp {
    let kv = event.kv.clone().expect("a key");
    if event.r#type != 0 {
        return delete_op(kv.key, "");
    }
    let put = PutRequest { lease: kv.lease, ..put(kv.key, kv.value) };
    RequestOp { request: Some(RequestUnion::Put(put)) }
}
