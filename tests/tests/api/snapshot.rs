//! Snapshot: a stream with etcd's framing that becomes the same store again.

use api::etcdserverpb::{CompactionRequest, LeaseGrantRequest, PutRequest};
use harness::Stubs;
use harness::request::put;
use harness::server::{in_system, on_server};
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::snapshot::Hash;

async fn fill(stubs: &Stubs) {
    for i in 0..600 {
        stubs.put(format!("k{:03}", i % 150), vec![i as u8; 1 + (i * 37) % 3000]).await;
    }
    stubs.lease.clone().lease_grant(LeaseGrantRequest { id: 7, ttl: 5000 }).await.expect("grant");
    stubs.kv.clone().put(PutRequest { lease: 7, ..put("leased", "x") }).await.expect("put");
    stubs.delete("k010", "k020").await;
    stubs.kv.clone().compact(CompactionRequest { revision: 300, physical: true }).await.expect("compact");
}

#[test]
fn the_stream_has_etcds_framing_and_a_true_hash() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let (bytes, remaining) = server.stubs.snapshot().await.expect("snapshot");
        let (body, hash) = bytes.split_at(bytes.len() - 32);
        assert_eq!(body.len() % 512, 0, "file size modulo 512 is 32");
        assert_eq!(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body).as_ref(), hash);
        assert!(remaining.is_sorted_by(|a, b| a >= b), "what remains counts down");
        assert_eq!(remaining.last(), Some(&0));
        assert!(remaining.len() > 3, "in chunks");
    });
}

#[test]
fn a_restored_store_has_the_same_history() {
    in_system(async {
        let server = harness::Server::start(|_| ()).await;
        fill(&server.stubs).await;
        let (bytes, _) = server.stubs.snapshot().await.expect("snapshot");
        // what comes later is not in it
        let then = server.stubs.hash_kv(0).await.expect("hash");
        let ranged = server.stubs.range(harness::request::all()).await.expect("range").kvs;
        server.stubs.put("later", "x").await;
        server.stop().await;

        let dir = tempfile::TempDir::new().expect("a folder");
        let engine = RocksEngine::open(dir.path(), &RocksOptions::default()).expect("a new store");
        storage::snapshot::restore(&bytes[..], &engine, Hash::Check).expect("restore");
        let store = storage::apply::StateMachine::open(std::sync::Arc::new(engine)).expect("a store");
        let hash = storage::read::hash::hash_kv(&store.view(), 0).expect("hash");
        assert_eq!((hash.hash, hash.compact_revision), (then.hash, then.compact_revision));
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
        let (snapshot, ()) = tokio::join!(stubs.snapshot(), writing);
        let (bytes, _) = snapshot.expect("snapshot");
        storage::snapshot::verify(&bytes[..], Hash::Check).expect("a good stream");
    });
}
