//! What one entry may answer with: refused before anything is written, and exactly when the answer would be larger.

use super::model::Model;
use super::random::command;
use super::*;
use crate::apply::answer::KV_BYTES;
use crate::read::field_len;
use proptest::collection::vec;
use proptest::prelude::*;

/// Keys from a on, below `end`.
fn upto(end: &'static str) -> RangeRequest {
    RangeRequest { key: "a".into(), range_end: end.into(), ..Default::default() }
}

fn put_op(key: &'static str) -> RequestUnion {
    RequestUnion::Put(put_request(key, "1"))
}

fn delete_op(end: &'static str, prev_kv: bool) -> RequestUnion {
    RequestUnion::DeleteRange(DeleteRangeRequest { key: "a".into(), range_end: end.into(), prev_kv })
}

fn all_of(ops: Vec<RequestUnion>) -> Command {
    Command::Txn(txn(vec![], ops, vec![]))
}

/// Five keys with a thousand bytes each, where an entry may answer with four thousand.
fn small_answers() -> Node {
    let mut node = Node::new();
    let value: &'static str = "v".repeat(1_000).leak();
    for key in ["a", "b", "c", "d", "e"] {
        node.put(key, value);
    }
    node.applier.answer_bytes = 4 << 10;
    node
}

#[test]
fn previous_key_values_that_do_not_fit_into_an_answer_are_refused_and_nothing_is_deleted() {
    let mut node = small_answers();
    let before = node.get("e");
    assert_eq!(node.refused(delete("a", "z")), ApplyError::TooLarge);
    // several deletes of one transaction are one answer
    let both = all_of(vec![put_op("x"), delete_op("d", true), delete_op("d", true)]);
    assert_eq!(node.refused(both), ApplyError::TooLarge);
    assert_eq!((node.get("e"), node.get("x")), (before, None), "nothing happened");
    assert!(
        matches!(node.ok(delete("a", "d")).1, OpOutcome::DeleteRange { deleted: 3, prev_kvs } if prev_kvs.len() == 3)
    );
    let all = DeleteRangeRequest { key: "a".into(), range_end: "z".into(), prev_kv: false };
    assert!(matches!(node.ok(Command::DeleteRange(all)).1, OpOutcome::DeleteRange { deleted: 2, .. }));
}

#[test]
fn ranges_that_do_not_fit_into_an_answer_are_refused_and_nothing_is_written() {
    let range = RequestUnion::Range;
    let refused = [
        vec![put_op("x"), range(upto("z"))],
        vec![range(upto("z")), put_op("x")],
        // several ranges are one answer, single keys and the past count too
        vec![put_op("x"), range(upto("d")), range(upto("d"))],
        vec![put_op("x"), range(upto("d")), range(RangeRequest { key: "e".into(), ..Default::default() })],
        vec![put_op("x"), range(RangeRequest { revision: 5, ..upto("z") })],
        // previous key-values and ranges are one answer
        vec![delete_op("c", true), range(RangeRequest { key: "c".into(), ..upto("f") })],
        vec![delete_op("c", false), put_op("x"), range(RangeRequest { revision: 6, ..upto("z") })],
        // a nested transaction belongs to its outer one
        vec![put_op("x"), range(upto("d")), RequestUnion::Txn(txn(vec![], vec![range(upto("d"))], vec![]))],
        // also where nothing is written: nested transactions are carried out here
        vec![RequestUnion::Txn(txn(vec![], vec![range(upto("z"))], vec![]))],
    ];
    for ops in refused {
        let mut node = small_answers();
        assert_eq!(node.refused(all_of(ops.clone())), ApplyError::TooLarge, "{ops:?}");
    }
    let fitting = [
        vec![put_op("x"), range(upto("d"))],
        // what is not answered does not count
        vec![put_op("x"), range(RangeRequest { count_only: true, ..upto("z") }), range(upto("d"))],
        vec![put_op("x"), range(RangeRequest { keys_only: true, ..upto("z") }), range(upto("c"))],
        vec![put_op("x"), range(RangeRequest { limit: 3, ..upto("z") })],
        vec![put_op("x"), range(RangeRequest { limit: 3, sort_target: SortTarget::Mod as i32, ..upto("z") })],
        vec![put_op("x"), range(RangeRequest { min_mod_revision: 4, ..upto("z") })],
        // ranges see the writes before them
        vec![delete_op("c", false), range(upto("z"))],
        vec![delete_op("z", false), put_op("x"), range(upto("z")), range(upto("z"))],
        vec![put_op("a"), put_op("b"), range(upto("z"))],
    ];
    for ops in fitting {
        let mut node = small_answers();
        node.ok(all_of(ops));
    }
}

#[test]
fn errors_of_operations_come_before_the_size_of_the_answer() {
    let mut node = small_answers();
    let future = RequestUnion::Range(RangeRequest { key: "a".into(), revision: 99, ..Default::default() });
    let ops = vec![put_op("x"), RequestUnion::Range(upto("z")), delete_op("z", true), future];
    assert_eq!(node.refused(all_of(ops)), ApplyError::FutureRevision);
}

/// What the ranges of an answer cost.
fn cost(outcome: &OpOutcome) -> u64 {
    match outcome {
        OpOutcome::Range(range) => range.kvs.iter().map(|kv| field_len(kv.len()) + KV_BYTES).sum(),
        OpOutcome::Txn { responses, .. } => responses.iter().map(cost).sum(),
        OpOutcome::Put { .. } | OpOutcome::DeleteRange { .. } => 0,
    }
}

/// Previous key-values are counted as of the state before the transaction, so they are left out here.
fn without_prevs(mut txn: TxnRequest) -> TxnRequest {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op.request.take() {
            Some(RequestUnion::DeleteRange(delete)) => {
                op.request = Some(RequestUnion::DeleteRange(DeleteRangeRequest { prev_kv: false, ..delete }));
            }
            Some(RequestUnion::Txn(nested)) => op.request = Some(RequestUnion::Txn(without_prevs(nested))),
            other => op.request = other,
        }
    }
    txn
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The size that is known before anything is written is that of the answer, to the byte.
    #[test]
    fn a_transaction_is_refused_exactly_when_its_answer_is_too_large(commands in vec(command(), 1..40)) {
        let mut node = Node::new();
        let mut model = Model::new();
        for command in commands {
            let command = match command {
                Command::Txn(txn) => Command::Txn(without_prevs(txn)),
                other => other,
            };
            let expected = model.apply(&command);
            if let Ok(Outcome::Op(outcome @ OpOutcome::Txn { .. })) = &expected
                && cost(outcome) > 0
            {
                node.applier.answer_bytes = cost(outcome) - 1;
                prop_assert_eq!(node.refused(command.clone()), ApplyError::TooLarge, "{:?}", command);
                node.applier.answer_bytes = cost(outcome);
            }
            prop_assert_eq!(&node.run(command.clone()).result, &expected, "{:?}", command);
            node.applier.answer_bytes = u64::MAX;
        }
    }
}
