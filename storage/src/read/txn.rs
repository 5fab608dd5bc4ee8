//! A read-only transaction: compares and ranges against one view.
//!
//! Such a transaction is not replicated, so it is evaluated here and not by the applier; the rules of a compare are the
//! applier's own. Must never see a write.

use super::at::At;
use super::overlay::{NoOverlay, walk_heads};
use super::point::get_at;
use super::range::{check_txn_revision, range};
use crate::apply::compare::{holds_for_head, holds_for_missing};
use crate::engine::Snapshot;
use crate::schema::{Damaged, Head};
use crate::view::View;
use model::request::{Compare, CompareTarget, RangeRequest, RequestOp, RequestUnion, TxnRequest};
use model::{KeyRange, KeyValue, OpOutcome, ReadError};
use prost::Message;
use std::ops::ControlFlow;

/// The ranges that a transaction without writes reads in this view: which branch it takes, and what is asked there.
///
/// # Errors
/// [`ReadError::Compacted`], [`ReadError::FutureRevision`] for a range in the past, [`ReadError::Store`].
///
/// # Panics
/// When an operation of the branch taken is no range: the door proposes such transactions.
pub fn branch<'t, S: Snapshot>(
    view: &View<S>,
    txn: &'t TxnRequest,
) -> Result<(bool, Vec<&'t RangeRequest>), ReadError> {
    let mut succeeded = true;
    for compare in &txn.compare {
        if !holds(view, compare)? {
            succeeded = false;
            break;
        }
    }
    let branch = if succeeded { &txn.success } else { &txn.failure };
    let ranges: Vec<&RangeRequest> = branch.iter().map(as_range).collect();
    for request in &ranges {
        check_txn_revision(request.revision, At::of(view))?;
    }
    Ok((succeeded, ranges))
}

/// Evaluates a transaction whose operations are all ranges; `None` when that is more than about `most` bytes.
///
/// # Errors
/// As [`branch`].
pub fn read_txn<S: Snapshot>(view: &View<S>, txn: &TxnRequest, most: usize) -> Result<Option<OpOutcome>, ReadError> {
    let (succeeded, ranges) = branch(view, txn)?;
    let mut responses = Vec::with_capacity(ranges.len());
    let mut bytes = 0;
    for request in ranges {
        let outcome = range(view, request)?;
        bytes += outcome.kvs.iter().map(bytes::Bytes::len).sum::<usize>();
        if bytes > most {
            return Ok(None);
        }
        responses.push(OpOutcome::Range(outcome));
    }
    Ok(Some(OpOutcome::Txn { succeeded, responses }))
}

fn as_range(op: &RequestOp) -> &RangeRequest {
    match &op.request {
        Some(RequestUnion::Range(request)) => request,
        _ => panic!("AI-READ-ONLY: a transaction that writes is proposed, not read"),
    }
}

fn holds<S: Snapshot>(view: &View<S>, compare: &Compare) -> Result<bool, ReadError> {
    if compare.range_end.is_empty() {
        return match get_at(&view.snapshot, &compare.key, view.status.revision)? {
            Some((head, kv)) => holds_for_head(compare, &head, || value(kv.clone())),
            None => Ok(holds_for_missing(compare)),
        };
    }
    let keys = KeyRange::new(compare.key.clone(), compare.range_end.clone());
    let by_value = compare.target == CompareTarget::Value as i32;
    let (mut any, mut all) = (false, Ok(true));
    walk_heads(&view.snapshot, &NoOverlay, &keys, &mut |key: &[u8], head: &Head| {
        any = true;
        all = holds_for_head(compare, head, || match by_value {
            true => match get_at(&view.snapshot, key, view.status.revision)? {
                Some((_, kv)) => value(kv),
                None => Err(damaged()),
            },
            false => Ok(bytes::Bytes::new()),
        });
        if matches!(all, Ok(true)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(all? && (any || holds_for_missing(compare)))
}

fn value(kv: bytes::Bytes) -> Result<bytes::Bytes, ReadError> {
    KeyValue::decode(kv).map(|kv| kv.value).map_err(|_| damaged())
}

fn damaged() -> ReadError {
    Damaged { family: "log", why: "a version holds no key-value" }.into()
}
