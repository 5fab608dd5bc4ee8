//! HashKV of a real etcd 3.7.1 for one history, restarted before each group of questions.
//!
//! Recorded with `etcdctl` against a single member: put a 1; put b 2; put a 3; del a; put a 4; lease grant; put c five with
//! the lease; put big (700 times x); txn {put t1 x, put t2 y, del b}; txn {del t1, put u z}; put a 5; then compactions at 5
//! (a tombstone), 9 and 10 (a tombstone), lease revoke, delete of everything, compactions at 12 and 13, put z 1.

use super::*;
use crate::read::hash::{HashKv, hash_kv};
use ::model::request::*;

/// The lease's id: part of the hashed bytes.
const LEASE: i64 = 6_360_105_208_842_437_898;

fn put(key: &'static str, value: impl Into<Bytes>, lease: i64) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), lease, ..Default::default() }
}

fn delete(key: &'static str, end: &'static [u8]) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: Bytes::from_static(end), ..Default::default() }
}

fn txn(ops: Vec<RequestUnion>) -> Command {
    let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    Command::Txn(TxnRequest { success, ..Default::default() })
}

/// Asks for revisions; each answer is (revision asked for, hash, compact revision, hash revision).
fn check(store: &mut Store, phase: &str, expected: &[(i64, u32, i64, i64)]) {
    for finished in [false, true] {
        if finished {
            store.drop_garbage(None);
        }
        let view = store.view();
        for &(asked, hash, compact_revision, hash_revision) in expected {
            let expected = HashKv { hash, compact_revision, hash_revision };
            assert_eq!(hash_kv(&view, asked), Ok(expected), "{phase}, revision {asked}, finished {finished}");
        }
        if view.status.compact_revision > 1 {
            assert_eq!(hash_kv(&view, view.status.compact_revision - 1), Err(ReadError::Compacted));
        }
        assert_eq!(hash_kv(&view, view.status.revision + 1), Err(ReadError::FutureRevision));
    }
}

fn compact(store: &mut Store, revision: i64) {
    let command = Command::Compaction(CompactionRequest { revision, physical: true });
    store.run(command).result.expect("the revision can be compacted");
}

fn history(store: &mut Store) {
    store.run(Command::Put(put("a", "1", 0)));
    store.run(Command::Put(put("b", "2", 0)));
    store.run(Command::Put(put("a", "3", 0)));
    store.run(Command::DeleteRange(delete("a", b"")));
    store.run(Command::Put(put("a", "4", 0)));
    store.run(Command::LeaseGrant(LeaseGrantRequest { id: LEASE, ttl: 600 }));
    store.run(Command::Put(put("c", "five", LEASE)));
    store.run(Command::Put(put("big", vec![b'x'; 700], 0)));
    store.run(txn(vec![
        RequestUnion::Put(put("t1", "x", 0)),
        RequestUnion::Put(put("t2", "y", 0)),
        RequestUnion::DeleteRange(delete("b", b"")),
    ]));
    store.run(txn(vec![RequestUnion::DeleteRange(delete("t1", b"")), RequestUnion::Put(put("u", "z", 0))]));
    store.run(Command::Put(put("a", "5", 0)));
}

#[test]
fn hashes_are_those_of_etcd() {
    let mut store = Store::new();
    check(&mut store, "empty", &[(0, 0x40a4_756d, -1, 1)]);
    history(&mut store);
    let hashes = [
        0x40a4_756d,
        0x9a39_6dd7,
        0x6cee_d8d6,
        0x7b5c_bf9c,
        0x5048_7d20,
        0x0e7c_9c57,
        0xef15_25bb,
        0x3117_a388,
        0xaad5_8a41,
        0x9887_37f7,
        0x45a4_0c81,
    ];
    let asked: Vec<_> = (1..).zip(hashes).map(|(revision, hash)| (revision, hash, -1, revision)).collect();
    check(&mut store, "before compaction", &asked);
    check(&mut store, "before compaction", &[(0, 0x45a4_0c81, -1, 11)]);
    compact(&mut store, 5);
    let hashes = [0x2b66_9cb7, 0xb657_590f, 0x7970_a870, 0x47ad_fb47, 0x4be6_6cd2, 0x5418_d62e, 0xb767_b2fa];
    let asked: Vec<_> = (5..).zip(hashes).map(|(revision, hash)| (revision, hash, 5, revision)).collect();
    check(&mut store, "compacted at a tombstone", &asked);
    compact(&mut store, 9);
    check(&mut store, "at 9", &[(9, 0xd1b0_7972, 9, 9), (10, 0xda0a_fc92, 9, 10), (11, 0x66e0_61c1, 9, 11)]);
    compact(&mut store, 10);
    check(&mut store, "at 10", &[(10, 0x168e_335b, 10, 10), (11, 0x90b4_71a4, 10, 11)]);
    store.run(Command::LeaseRevoke(LeaseRevokeRequest { id: LEASE }));
    store.run(Command::DeleteRange(delete("\0", b"\0")));
    let asked =
        [(10, 0x168e_335b, 10, 10), (11, 0x90b4_71a4, 10, 11), (12, 0x8b4c_7c2d, 10, 12), (13, 0xbe3d_4e52, 10, 13)];
    check(&mut store, "nothing lives", &asked);
    compact(&mut store, 12);
    check(&mut store, "at 12", &[(12, 0x1c0c_beb8, 12, 12), (13, 0xff50_ebf7, 12, 13)]);
    compact(&mut store, 13);
    check(&mut store, "at 13", &[(0, 0x40a4_756d, 13, 13), (13, 0x40a4_756d, 13, 13)]);
    store.run(Command::Put(put("z", "1", 0)));
    check(&mut store, "again", &[(0, 0x2659_5767, 13, 14), (13, 0x40a4_756d, 13, 13), (14, 0x2659_5767, 13, 14)]);
}
