//! Snapshot: a stream with etcd's framing that becomes the same store again.

use api::etcdserverpb::{CompactionRequest, LeaseGrantRequest, PutRequest};
use harness::request::put;
use harness::server::{in_system, on_server};
use harness::{Stubs, expect_status};
use storage::apply::MemberIds;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::etcd::{Database, import};
use storage::snapshot::Hash;
use tonic::Code;

async fn fill(stubs: &Stubs) {
    for i in 0..600 {
        stubs.put(format!("k{:03}", i % 150), vec![i as u8; 1 + (i * 37) % 3000]).await;
    }
    stubs.lease.clone().lease_grant(LeaseGrantRequest { id: 7, ttl: 5000 }).await.expect("grant");
    stubs.kv.clone().put(PutRequest { lease: 7, ..put("leased", "x") }).await.expect("put");
    stubs.delete("k010", "k020").await;
    stubs.kv.clone().compact(CompactionRequest { revision: 300, physical: true }).await.expect("compact");
}

/// Formats that a client may ask for, or not.
const FORMATS: [Option<&str>; 3] = [None, Some("etcd"), Some("conclave")];

#[test]
fn the_stream_has_etcds_framing_and_a_true_hash() {
    on_server(async |server| {
        fill(&server.stubs).await;
        for format in FORMATS {
            let (bytes, remaining) = server.stubs.snapshot_as(format).await.expect("snapshot");
            let (body, hash) = bytes.split_at(bytes.len() - 32);
            assert_eq!(body.len() % 512, 0, "file size modulo 512 is 32");
            assert_eq!(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref(), hash);
            assert!(remaining.is_sorted_by(|a, b| a >= b), "what remains counts down");
            assert_eq!(remaining.last(), Some(&0));
            assert!(remaining.len() > 2, "in chunks");
        }
        let refused = server.stubs.snapshot_as(Some("zip")).await;
        let text = "conclave: unknown snapshot format; there are etcd and conclave";
        expect_status("an unknown format", refused, Code::InvalidArgument, text);
    });
}

/// A store out of a snapshot in a format; etcd's when none is named.
fn restored(bytes: &[u8], format: Option<&str>, engine: &RocksEngine) {
    if format == Some("conclave") {
        storage::snapshot::restore(bytes, engine, Hash::Check).expect("restore");
        return;
    }
    let database = Database::open(bytes).expect("a database of etcd's");
    let owner = MemberIds { cluster_id: 1, member_id: 2 };
    import(&database, engine, owner, &mut |_| ()).expect("restore");
}

#[test]
fn a_restored_store_has_the_same_history() {
    in_system(async {
        let server = harness::Server::start(|_| ()).await;
        fill(&server.stubs).await;
        let mut files = Vec::new();
        for format in FORMATS {
            files.push((format, server.stubs.snapshot_as(format).await.expect("snapshot").0));
        }
        // what comes later is not in it
        let then = server.stubs.hash_kv(0).await.expect("hash");
        let ranged = server.stubs.range(harness::request::all()).await.expect("range").kvs;
        server.stubs.put("later", "x").await;
        server.stop().await;

        for (format, bytes) in files {
            let dir = tempfile::TempDir::new().expect("a folder");
            let engine = RocksEngine::open(dir.path(), &RocksOptions::default()).expect("a new store");
            restored(&bytes, format, &engine);
            let store = storage::apply::StateMachine::open(std::sync::Arc::new(engine)).expect("a store");
            let hash = storage::read::hash::hash_kv(&store.view(), 0).expect("hash");
            assert_eq!((hash.hash, hash.compact_revision), (then.hash, then.compact_revision), "{format:?}");
        }
        assert!(ranged.len() > 100);
    });
}

#[test]
fn a_snapshot_is_one_moment_under_writes() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let stubs = &server.stubs;
        let writing = async {
            for i in 0..300 {
                stubs.put("moving", i.to_string()).await;
            }
        };
        let (ours, etcds, ()) = tokio::join!(stubs.snapshot_as(Some("conclave")), stubs.snapshot(), writing);
        storage::snapshot::verify(&ours.expect("snapshot").0[..], Hash::Check).expect("a good stream");
        let database = etcds.expect("snapshot").0;
        Database::open(&database[..]).expect("a database").check(&mut |_| ()).expect("a sound database");
    });
}
