//! Compares of a transaction: which branch it takes.
//!
//! Source: etcd's `applyCompares`. A compare sees the state before the transaction, at every depth. Must never
//! have an effect.

use super::slot::Slot;
use super::{ApplyFatal, StateMachine};
use crate::engine::Engine;
use crate::schema::{Damaged, Head};
use bytes::Bytes;
use model::request::{Compare, CompareResult, CompareTarget, RequestUnion, TargetUnion, TxnRequest};
use model::{KeyRange, KeyValue};
use prost::Message;
use std::cmp::Ordering;

/// The operations of the branch taken.
pub(super) fn branch(txn: &TxnRequest, succeeded: bool) -> &[model::request::RequestOp] {
    if succeeded { &txn.success } else { &txn.failure }
}

/// True when a compare at any depth names more than one key.
pub(super) fn compares_ranges(txn: &TxnRequest) -> bool {
    let nested = |op: &model::request::RequestOp| match &op.request {
        Some(RequestUnion::Txn(txn)) => compares_ranges(txn),
        _ => false,
    };
    txn.compare.iter().any(|c| !c.range_end.is_empty())
        || txn.success.iter().any(nested)
        || txn.failure.iter().any(nested)
}

impl<E: Engine> StateMachine<E> {
    /// Appends the branches the transaction takes, nested ones in the order in which they are met.
    pub(super) fn path(&mut self, txn: &TxnRequest, path: &mut Vec<bool>) -> Result<(), ApplyFatal> {
        let mut succeeded = true;
        for compare in &txn.compare {
            if !self.holds(compare)? {
                succeeded = false;
                break;
            }
        }
        path.push(succeeded);
        for op in branch(txn, succeeded) {
            if let Some(RequestUnion::Txn(nested)) = &op.request {
                self.path(nested, path)?;
            }
        }
        Ok(())
    }

    fn holds(&mut self, compare: &Compare) -> Result<bool, ApplyFatal> {
        if compare.range_end.is_empty() {
            return match self.slot(&compare.key)? {
                Some(slot) => self.holds_for(compare, &slot),
                None => Ok(holds_for_missing(compare)),
            };
        }
        let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
        let upper = range.upper();
        let by_value = compare.target == CompareTarget::Value as i32;
        let mut from = range.lower().to_vec();
        let mut any = false;
        loop {
            let piece = self.living(&from, upper.as_deref(), by_value)?;
            any |= !piece.keys.is_empty();
            for (_, slot) in &piece.keys {
                if !self.holds_for(compare, slot)? {
                    return Ok(false);
                }
            }
            match piece.next {
                Some(next) => from = next,
                None => return Ok(any || holds_for_missing(compare)),
            }
        }
    }

    fn holds_for(&self, compare: &Compare, slot: &Slot) -> Result<bool, ApplyFatal> {
        holds_for_head(compare, &slot.head, || {
            let kv = KeyValue::decode(self.kv_of(slot)?)
                .map_err(|_| Damaged { family: "log", why: "a version holds no key-value" })?;
            Ok(kv.value)
        })
    }
}

/// Whether a living key passes. Its value is asked for only when the compare is about it.
pub(crate) fn holds_for_head<E>(
    compare: &Compare,
    head: &Head,
    value: impl FnOnce() -> Result<Bytes, E>,
) -> Result<bool, E> {
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => value()?.as_ref().cmp(value_of(compare)),
        Ok(CompareTarget::Create) => head.create.cmp(&int_of(compare)),
        Ok(CompareTarget::Mod) => head.modified.main.cmp(&int_of(compare)),
        Ok(CompareTarget::Version) => head.version.cmp(&int_of(compare)),
        Ok(CompareTarget::Lease) => head.lease.cmp(&int_of(compare)),
        Err(_) => Ordering::Equal,
    };
    Ok(accepts(compare, ordering))
}

/// A missing key compares as one with all numbers zero; its value compares with nothing.
pub(crate) fn holds_for_missing(compare: &Compare) -> bool {
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => false,
        Ok(_) => accepts(compare, 0.cmp(&int_of(compare))),
        Err(_) => accepts(compare, Ordering::Equal),
    }
}

fn accepts(compare: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}

/// The number to compare with; zero when the union holds that of another target.
fn int_of(compare: &Compare) -> i64 {
    match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(v)))
        | (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(v)))
        | (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(v)))
        | (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(v))) => *v,
        _ => 0,
    }
}

/// The bytes to compare with; none when the union holds a number.
fn value_of(compare: &Compare) -> &[u8] {
    match &compare.target_union {
        Some(TargetUnion::Value(v)) => v,
        _ => &[],
    }
}
