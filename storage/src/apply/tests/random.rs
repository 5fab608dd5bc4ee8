//! Random commands over few keys, so that they meet each other.
//!
//! Transactions may break the rule against duplicate keys: the state machine must be right, or at least the same everywhere,
//! whatever stands in the log.

use ::model::Command;
use ::model::request::*;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

const KEYS: [&[u8]; 9] = [b"a", b"a\0", b"a\0b", b"ab", b"b", b"b\xff", b"\xff\xff", b"c", b"\0"];

fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(&KEYS[..]).prop_map(Bytes::from_static)
}

fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just(Bytes::new()), 2 => key(), 1 => Just(Bytes::from_static(b"\0")), 1 => Just(Bytes::from_static(b"d"))]
}

fn value() -> impl Strategy<Value = Bytes> {
    // Short ones to compare with, one that stands in `cur` and one that does not.
    prop_oneof![
        4 => prop::sample::select(vec!["", "x", "y"]).prop_map(Bytes::from),
        1 => Just(Bytes::from(vec![b'v'; 100])),
        1 => Just(Bytes::from(vec![b'w'; 700])),
    ]
}

fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(2), 1 => Just(-5)]
}

fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 1 => -2i64..2, 2 => 0i64..30]
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 2 => 0i64..4, 1 => 0i64..25]
}

fn put() -> impl Strategy<Value = PutRequest> {
    let flags = (any::<bool>(), prop::bool::weighted(0.15), prop::bool::weighted(0.15));
    (key(), value(), lease(), flags).prop_map(|(key, value, lease, (prev_kv, ignore_value, ignore_lease))| PutRequest {
        key,
        value: if ignore_value { Bytes::new() } else { value },
        lease: if ignore_lease { 0 } else { lease },
        prev_kv,
        ignore_value,
        ignore_lease,
    })
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest { key, range_end, prev_kv })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let shape = (0i64..4, 0i32..3, 0i32..5, prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let bound = || prop_oneof![6 => Just(0i64), 1 => 0i64..25];
    (key(), end(), revision(), shape, (bound(), bound(), bound(), bound())).prop_map(
        |(key, range_end, revision, (limit, sort_order, sort_target, keys_only, count_only), bounds)| RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            serializable: false,
            keys_only,
            count_only,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    (key(), end(), 0i32..4, 0i32..5, number(), value(), 0u8..6).prop_map(
        |(key, range_end, result, target, n, value, other)| {
            let union = [
                Some(TargetUnion::Version(n)),
                Some(TargetUnion::CreateRevision(n)),
                Some(TargetUnion::ModRevision(n)),
                Some(TargetUnion::Value(value)),
                Some(TargetUnion::Lease(n)),
                None,
            ];
            // Mostly the union that belongs to the target.
            let at = if other < 5 { target as usize } else { (target as usize + 1) % 6 };
            Compare { result, target, key, target_union: union[at].clone(), range_end }
        },
    )
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let op = || {
        prop_oneof![
            3 => put().prop_map(RequestUnion::Put),
            2 => delete().prop_map(RequestUnion::DeleteRange),
            2 => range().prop_map(RequestUnion::Range),
        ]
    };
    let ops = |list: Vec<RequestUnion>| list.into_iter().map(|r| RequestOp { request: Some(r) }).collect::<Vec<_>>();
    let leaf = (vec(compare(), 0..3), vec(op(), 0..4), vec(op(), 0..4)).prop_map(move |(compare, success, failure)| {
        TxnRequest { compare, success: ops(success), failure: ops(failure) }
    });
    leaf.prop_recursive(2, 8, 3, move |inner| {
        let op = prop_oneof![2 => op(), 1 => inner.prop_map(RequestUnion::Txn)];
        (vec(compare(), 0..2), vec(op.clone(), 0..4), vec(op, 0..3)).prop_map(move |(compare, success, failure)| {
            TxnRequest { compare, success: ops(success), failure: ops(failure) }
        })
    })
}

fn alarm() -> impl Strategy<Value = Command> {
    (0i32..3, 1u64..3, 0i32..3)
        .prop_map(|(action, member_id, alarm)| Command::Alarm(AlarmRequest { action, member_id, alarm }))
}

/// Any command. Alarms are rare: while one stands little happens.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let id = || prop::sample::select(vec![1i64, 2, -5]);
    prop_oneof![
        8 => put().prop_map(Command::Put),
        3 => delete().prop_map(Command::DeleteRange),
        6 => txn().prop_map(Command::Txn),
        2 => (-1i64..30).prop_map(|revision| Command::Compaction(CompactionRequest { revision, physical: false })),
        4 => (id(), 2i64..9).prop_map(|(id, ttl)| Command::LeaseGrant(LeaseGrantRequest { ttl, id })),
        2 => id().prop_map(|id| Command::LeaseRevoke(LeaseRevokeRequest { id })),
        1 => (id(), 0i64..9).prop_map(|(id, remaining_ttl)| {
            Command::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints: vec![LeaseCheckpoint { id, remaining_ttl }] })
        }),
        1 => prop_oneof![9 => Just(put_marker()), 1 => alarm()],
    ]
}

fn put_marker() -> Command {
    Command::Put(PutRequest { key: "c".into(), value: "marker".into(), ..Default::default() })
}
