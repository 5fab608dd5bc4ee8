//! Rules of puts, deletes, transactions and compaction; what stops the node.

use super::*;
use crate::apply::{ApplyFatal, CompactionProgress, ScheduledCompaction};
use crate::schema::Kind;

fn compare(key: &'static str, target: CompareTarget, result: CompareResult, union: TargetUnion) -> Compare {
    Compare {
        key: key.into(),
        target: target as i32,
        result: result as i32,
        target_union: Some(union),
        range_end: Bytes::new(),
    }
}

fn range(key: &'static str, end: &'static str, revision: i64) -> RequestUnion {
    RequestUnion::Range(RangeRequest { key: key.into(), range_end: end.into(), revision, ..Default::default() })
}

fn put_op(key: &'static str, value: &'static str) -> RequestUnion {
    RequestUnion::Put(put_request(key, value))
}

fn delete_op(key: &'static str, end: &'static str) -> RequestUnion {
    RequestUnion::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false })
}

fn responses(node: &mut Node, success: Vec<RequestUnion>) -> Vec<OpOutcome> {
    match node.ok(Command::Txn(txn(vec![], success, vec![]))).1 {
        OpOutcome::Txn { succeeded: true, responses } => responses,
        other => panic!("not a successful transaction: {other:?}"),
    }
}

fn values(outcome: &OpOutcome) -> Vec<String> {
    let OpOutcome::Range(range) = outcome else { panic!("not a range: {outcome:?}") };
    range.kvs.iter().map(|k| String::from_utf8(kv(k).value.to_vec()).unwrap()).collect()
}

#[test]
fn a_put_creates_then_updates_and_starts_anew_after_a_delete() {
    let mut node = Node::new();
    let (report, _) = node.report(put("a", "1"));
    let event = &report.events[0];
    assert_eq!((event.kind, event.superseded, &event.key[..]), (Kind::Create, Default::default(), &b"a"[..]));
    let (report, _) = node.report(put("a", "2"));
    assert_eq!((report.events[0].kind, report.events[0].superseded.main), (Kind::Update, 2));
    let a = node.get("a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (2, 3, 2));
    assert_eq!(node.ok(delete("a", "")).0, 4);
    node.put("a", "3");
    let a = node.get("a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (5, 5, 1));
}

#[test]
fn ignore_flags_keep_what_was_there_and_need_a_key() {
    let mut node = Node::new();
    let keep = |key: &'static str| PutRequest { ignore_value: true, prev_kv: true, ..put_request(key, "") };
    assert_eq!(node.refused(Command::Put(keep("a"))), ApplyError::KeyNotFound);
    node.put("a", "kept");
    let OpOutcome::Put { prev_kv: Some(prev) } = node.ok(Command::Put(keep("a"))).1 else { panic!("no previous") };
    assert_eq!((kv(&prev).version, kv(&prev).value), (1, "kept".into()));
    assert_eq!((node.get("a").unwrap().version, node.get("a").unwrap().value), (2, "kept".into()));
    // etcd panics here: the delete takes the key away that the put relies on.
    let success = vec![delete_op("a", "\0"), RequestUnion::Put(keep("a"))];
    assert_eq!(node.refused(Command::Txn(txn(vec![], success, vec![]))), ApplyError::KeyNotFound);
}

#[test]
fn deleting_nothing_leaves_the_revision() {
    let mut node = Node::new();
    node.put("b", "v");
    for nothing in [delete("a", ""), delete("c", "d"), delete("z", "a"), delete("bb", "\0")] {
        assert_eq!(node.ok(nothing), (2, OpOutcome::DeleteRange { deleted: 0, prev_kvs: vec![] }));
    }
    let only_reads = Command::Txn(txn(vec![], vec![range("a", "z", 0), delete_op("c", "d")], vec![]));
    assert_eq!(node.ok(only_reads).0, 2);
}

#[test]
fn previous_values_come_in_key_order_small_and_large() {
    let mut node = Node::new();
    let large: &'static str = Box::leak("x".repeat(2000).into_boxed_str());
    node.put("b", large);
    node.put("a", "small");
    let OpOutcome::DeleteRange { deleted: 2, prev_kvs } = node.ok(delete("a", "c")).1 else { panic!("not deleted") };
    assert_eq!(prev_kvs.iter().map(|p| kv(p).value).collect::<Vec<_>>(), ["small", large]);
}

#[test]
fn a_transaction_has_one_main_revision_and_sees_its_own_writes() {
    let mut node = Node::new();
    node.put("a", "0");
    let ops = vec![
        put_op("b", "1"),
        range("a", "z", 0),
        delete_op("a", "aa"),
        range("a", "z", 0),
        range("a", "z", 2),
        range("b", "", 0),
        RequestUnion::Txn(txn(vec![], vec![put_op("a", "2"), range("a", "z", 0)], vec![])),
    ];
    let answers = responses(&mut node, ops);
    assert_eq!(values(&answers[1]), ["0", "1"]);
    assert_eq!(values(&answers[3]), ["1"]);
    assert_eq!(values(&answers[4]), ["0"]);
    assert_eq!(values(&answers[5]), ["1"]);
    let OpOutcome::Txn { responses, .. } = &answers[6] else { panic!("not nested") };
    assert_eq!(values(&responses[1]), ["2", "1"]);
    assert_eq!(node.applier.revision(), 3);
    let a = node.get("a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (3, 3, 1));
}

#[test]
fn nested_compares_see_the_state_before_the_transaction() {
    let mut node = Node::new();
    let missing = compare("a", CompareTarget::Version, CompareResult::Equal, TargetUnion::Version(0));
    let nested = txn(vec![missing], vec![put_op("b", "was missing")], vec![put_op("b", "was there")]);
    responses(&mut node, vec![put_op("a", "1"), RequestUnion::Txn(nested)]);
    assert_eq!(node.get("b").unwrap().value, "was missing");
}

#[test]
fn compares_follow_etcds_rules_for_missing_keys_and_ranges() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let mut node = Node::new();
    node.put("a", "x");
    node.put("b", "y");
    let over = |c: Compare| Compare { range_end: "c".into(), ..c };
    let value = |key, result, v: &'static str| compare(key, CompareTarget::Value, result, TargetUnion::Value(v.into()));
    let rev = |key, result, v| compare(key, CompareTarget::Mod, result, TargetUnion::ModRevision(v));
    let cases = [
        (value("none", Equal, ""), false),
        (value("none", NotEqual, "z"), false),
        (rev("none", Equal, 0), true),
        (rev("none", Less, 1), true),
        (value("a", Less, "y"), true),
        (over(value("a", Less, "z")), true),
        (over(value("a", Equal, "x")), false),
        (over(rev("a", Greater, 1)), true),
        (over(rev("a", Greater, 2)), false),
        (over(rev("bb", Equal, 0)), true),
        // The union holds another target's number: it counts as zero.
        (compare("a", CompareTarget::Version, Greater, TargetUnion::ModRevision(9)), true),
        (Compare { result: 9, ..rev("a", Equal, 99) }, true),
        (Compare { target: 9, ..rev("a", Equal, 99) }, true),
    ];
    for (compare, expected) in cases {
        let (_, outcome) = node.ok(Command::Txn(txn(vec![compare.clone()], vec![], vec![])));
        assert_eq!(outcome, OpOutcome::Txn { succeeded: expected, responses: vec![] }, "{compare:?}");
    }
}

#[test]
fn a_refused_transaction_has_no_effect() {
    let mut node = Node::new();
    node.put("a", "1");
    node.put("a", "2");
    node.run(compact(3));
    let leased = RequestUnion::Put(PutRequest { lease: 9, ..put_request("a", "v") });
    let kept = RequestUnion::Put(PutRequest { ignore_value: true, ..put_request("none", "") });
    let cases = [
        (range("a", "", 2), ApplyError::Compacted),
        (range("a", "", -1), ApplyError::Compacted),
        (range("a", "", 4), ApplyError::FutureRevision),
        (leased, ApplyError::LeaseNotFound),
        (kept, ApplyError::KeyNotFound),
    ];
    for (bad, error) in cases {
        let nested = RequestUnion::Txn(txn(vec![], vec![bad], vec![]));
        let success = vec![put_op("b", "1"), delete_op("a", ""), nested];
        assert_eq!(node.refused(Command::Txn(txn(vec![], success, vec![]))), error);
    }
    let off_path = txn(vec![], vec![put_op("b", "1")], vec![range("a", "", 99)]);
    assert_eq!(node.ok(Command::Txn(off_path)).0, 4);
}

#[test]
fn minus_one_reads_the_present_until_the_first_compaction() {
    let mut node = Node::new();
    node.put("a", "1");
    assert_eq!(values(&responses(&mut node, vec![range("a", "", -1)])[0]), ["1"]);
    let minus_two = Command::Txn(txn(vec![], vec![range("a", "", -2)], vec![]));
    assert_eq!(node.refused(minus_two), ApplyError::Compacted);
}

#[test]
fn a_key_can_change_twice_in_one_revision() {
    let mut node = Node::new();
    let nested = |op| RequestUnion::Txn(txn(vec![], vec![op], vec![]));
    let (report, _) =
        node.report(Command::Txn(txn(vec![], vec![nested(put_op("a", "1")), nested(delete_op("a", ""))], vec![])));
    let events: Vec<_> =
        report.events.iter().map(|e| (e.revision.main, e.revision.sub, e.kind, e.superseded.sub)).collect();
    assert_eq!(events, [(2, 0, Kind::Create, 0), (2, 1, Kind::Delete, 0)]);
    assert!(node.get("a").is_none());
}

#[test]
fn compaction_is_settled_at_once_and_deletes_in_steps() {
    let mut node = Node::new();
    assert_eq!(node.refused(compact(-1)), ApplyError::Compacted);
    for value in ["1", "2", "3", "4"] {
        node.put("a", value);
    }
    let before = node.applier.view();
    assert_eq!(
        before.status.live_bytes, before.status.logical_bytes,
        "history is in use until a compaction gives it up"
    );
    assert_eq!(node.refused(compact(6)), ApplyError::FutureRevision);
    let (report, applied) = node.report(compact(5));
    assert_eq!(
        (applied.result, report.compactions),
        (Ok(Outcome::Compaction), vec![ScheduledCompaction { before: -1, target: 5 }])
    );
    assert_eq!(
        (report.view.status.compact_revision, report.view.status.logical_bytes),
        (5, before.status.logical_bytes)
    );
    assert!(report.view.status.live_bytes < before.status.live_bytes, "what will be deleted is not in use");
    assert_eq!(node.refused(compact(5)), ApplyError::Compacted);
    assert_eq!(node.applier.compaction_step(1).unwrap(), CompactionProgress::More);
    let mut node = Node::open(node.engine.clone(), 1 << 20);
    let mut steps = 0;
    while node.applier.compaction_step(1).unwrap() != CompactionProgress::Finished(5) {
        steps += 1;
    }
    assert!(steps < 8);
    assert_eq!(node.applier.compaction_step(1).unwrap(), CompactionProgress::Idle);
    let view = node.applier.view();
    assert_eq!(view.status.logical_bytes, view.status.live_bytes);
    assert_eq!(view.status.live_bytes, report.view.status.live_bytes);
    assert_eq!(node.get("a").unwrap().value, "4");
}

#[test]
fn a_compaction_drops_the_rows_of_changes_last_and_all_of_them() {
    let mut node = Node::new();
    // a row for every four: more than one step drops
    let keys: Vec<Command> =
        (0..1_100).map(|n| Command::Put(PutRequest { key: format!("k{n}").into(), ..put_request("", "v") })).collect();
    keys.into_iter().for_each(|put| drop(node.ok(put)));
    let rows = |node: &Node| {
        let snapshot = node.engine.snapshot();
        let (first, end) = (crate::count::changes_key(Default::default()), crate::count::behind_changes());
        let mut scan = snapshot.scan(Family::Cnt, &first, Some(&end), Direction::Forward);
        std::iter::from_fn(|| scan.next().unwrap().map(|_| ())).count()
    };
    assert_eq!(rows(&node), 275);
    node.run(compact(1_093));
    let mut left = vec![];
    loop {
        let progress = node.applier.compaction_step(500).unwrap();
        left.push(rows(&node));
        if progress == CompactionProgress::Finished(1_093) {
            break;
        }
        node = Node::open(node.engine.clone(), 1 << 20);
    }
    // the last step over `log` drops 256; the revisions behind the compaction keep theirs
    assert_eq!(left, [275, 275, 19, 2]);
    assert_eq!(crate::check::check(&node.engine.snapshot(), &mut |_| ()).unwrap().problems, []);
}

#[test]
fn compacting_revision_zero_succeeds_on_a_fresh_store() {
    let mut node = Node::new();
    assert_eq!(node.run(compact(0)).result, Ok(Outcome::Compaction));
    assert_eq!(node.applier.compaction_step(10).unwrap(), CompactionProgress::Finished(0));
}

#[test]
fn a_leaders_empty_entry_moves_the_applied_index_alone() {
    let mut node = Node::new();
    let empty = Committed { entry: Entry { term: 3, index: 1, kind: EntryKind::Normal, data: Bytes::new() } };
    let report = node.applier.apply(&[empty]).unwrap();
    assert_eq!((report.replies.len(), report.view.status.applied_index, report.view.status.applied_term), (1, 1, 3));
    assert!(report.replies[0].is_none() && report.view.status.revision == 1);
}

#[test]
#[should_panic(expected = "AI-APPLY-CONTIGUOUS")]
fn a_gap_in_the_log_stops_the_node() {
    let mut node = Node::new();
    let _ = node.applier.apply(&[entry(2, 1, put("a", "v"))]);
}

#[test]
fn entries_that_cannot_be_read_stop_the_node() {
    let mut node = Node::new();
    let mut bad = entry(1, 1, put("a", "v"));
    bad.entry.data = Bytes::from_static(b"x");
    assert!(matches!(node.applier.apply(&[bad]), Err(ApplyFatal::Envelope { index: 1, .. })));
    let mut node = Node::new();
    let mut bad = entry(1, 1, put("a", "v"));
    bad.entry.data = bad.entry.data.slice(..bad.entry.data.len() - 1);
    assert!(matches!(node.applier.apply(&[bad]), Err(ApplyFatal::Command { index: 1, .. })));
}
