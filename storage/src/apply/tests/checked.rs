//! The check of a whole store: silent about what entries do (`replay` asks it after every history), and loud about damage.

use super::*;
use crate::check::{Report as Checked, check};
use crate::engine::Op;
use crate::schema::{Head, Kind, LogRow, hist_key, meta};
use ::model::Revision;

/// A store with all there is: living keys, history, a tombstone, a lease with keys, a compaction.
fn store() -> Node {
    let mut node = Node::new();
    node.put("a", "1");
    node.put("a", "2");
    node.put("b", "1");
    node.ok(delete("b", ""));
    node.run(grant(5));
    node.ok(Command::Put(PutRequest { lease: 5, ..put_request("c", "1") }));
    node.put("a", "3");
    node.run(compact(3));
    while node.applier.compaction_step(1 << 20).unwrap() != crate::apply::CompactionProgress::Idle {}
    node
}

fn found(node: &Node) -> Checked {
    check(&node.engine.snapshot(), &mut |_| ()).unwrap()
}

fn put_row(family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
    Op::Put { family, key: key.into(), value: value.into() }
}

fn gone(family: Family, key: impl Into<Bytes>) -> Op {
    Op::Delete { family, key: key.into() }
}

#[test]
fn a_sound_store_has_no_problem_and_is_counted() {
    let report = found(&store());
    assert_eq!(report.problems, []);
    // versions: a at 3 and 7, b at 4 and its tombstone at 5, c at 6
    assert_eq!((report.rows[..3].to_vec(), report.living, report.leases), (vec![5, 2, 3], 2, 1));
    assert_eq!(report.members.len(), 1);
}

#[test]
fn every_kind_of_damage_is_told() {
    let at = |main| Bytes::copy_from_slice(&Revision::new(main, 0).to_bytes());
    let hist = |key: &[u8], main| hist_key(key, Revision::new(main, 0));
    let tombstone = store().engine.snapshot().get(Family::Hist, &hist(b"b", 5)).unwrap().unwrap();
    let head = Head { create: 6, modified: Revision::new(6, 0), version: 9, lease: 5, len: 1 };
    let strange = LogRow { kind: Kind::Create, superseded: Revision::new(9, 0), superseded_len: 0, kv: Bytes::new() };
    let changes = |main| [&[2][..], &Revision::new(main, 0).to_bytes()].concat();
    let cases: Vec<(&str, Op)> = vec![
        ("neither its newest version nor in hist", gone(Family::Hist, hist(b"a", 3))),
        ("hist and log differ", put_row(Family::Hist, hist(b"a", 3), tombstone.clone())),
        ("key a at revision 3.0 is not in log", gone(Family::Log, at(3))),
        ("key z at revision 3.0 is not in log", put_row(Family::Hist, hist(b"z", 3), tombstone.clone())),
        ("damaged row in hist", put_row(Family::Hist, hist(b"a", 3), "short")),
        ("key a: its revision 7.0 is not in log", gone(Family::Log, at(7))),
        ("the store counts 2 living keys, there are 1", gone(Family::Cur, "a")),
        ("key c and its version in log differ", put_row(Family::Cur, "c", head.encode(b"x"))),
        ("key c: damaged row in cur", put_row(Family::Cur, "c", "short")),
        ("damaged row in log", put_row(Family::Log, at(6), "short")),
        ("is newer than the store", put_row(Family::Log, at(99), strange.encode())),
        ("cannot supersede", put_row(Family::Log, at(6), strange.encode())),
        ("is no revision", put_row(Family::Log, "x", "")),
        ("there are keys, from a on, and no block counts them", gone(Family::Cnt, vec![1])),
        (
            "are not those in `log`",
            put_row(Family::Cnt, changes(6), [&Revision::new(5, 9).to_bytes()[..], b"\x01\x02d"].concat()),
        ),
        (
            "a row of changes ends in a key",
            put_row(Family::Cnt, changes(6), [&Revision::new(5, 9).to_bytes()[..], b"\x01\x0ad"].concat()),
        ),
        ("which is not there", gone(Family::Meta, meta::lease(5))),
        ("which does not belong to it", put_row(Family::Meta, meta::attached(5, b"a"), "")),
        ("is not attached to it", gone(Family::Meta, meta::attached(5, b"c"))),
        ("bad applied index", put_row(Family::Meta, meta::APPLIED, "x")),
        ("the row identity is missing", gone(Family::Meta, meta::IDENTITY)),
        ("nothing is known of it", gone(Family::Meta, [&[meta::MEMBER][..], &1u64.to_be_bytes()].concat())),
        ("unknown row", put_row(Family::Meta, "mystery", "")),
    ];
    for (words, damage) in cases {
        let node = store();
        node.engine.write(vec![damage]).unwrap();
        let report = found(&node);
        let told = report.problems.iter().any(|problem| problem.what.contains(words));
        assert!(told && report.found > 0, "{words:?} is not among {:?}", report.problems);
    }
}

#[test]
fn what_is_no_store_is_not_checked() {
    assert!(matches!(check(&SimEngine::new().snapshot(), &mut |_| ()), Err(crate::apply::OpenError::Empty)));
}
