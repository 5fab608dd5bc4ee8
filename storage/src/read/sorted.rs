//! Answers in another order than that of the keys: collect what is sorted by, sort, cut, then fetch chunk by chunk.
//!
//! Collects a rank and the name of a version per key, no value (unless values are what is sorted by), and with a limit never
//! more than about twice the limit; what it holds comes out of a [`MemoryBudget`](super::memory_budget). Equal ranks stay in key order.

use super::kv_bytes::{field_len, put_keys_only};
use super::memory_budget::Reservation;
use super::overlay::Overlay;
use super::plan::{Order, Plan, Shape};
use super::source::{Budget, Source};
use super::values::{UNKNOWN, fetch, fields_len, full, shaped, value_of};
use super::walk::{Bounds, Found, Kv};
use crate::engine::{Direction, Snapshot};
use bytes::Bytes;
use model::request::SortTarget;
use model::{ReadError, Revision};
use std::ops::ControlFlow;

/// What a key is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Number(i64),
    Value(Bytes),
}

#[derive(Clone, Debug)]
enum StoredKv {
    Log(Revision),
    Ready(Bytes),
}

#[derive(Clone, Debug)]
struct Item {
    rank: Rank,
    kv: StoredKv,
    /// Zero when unknown.
    len: usize,
}

/// Bytes an item takes besides its values. A number of its own, because what is refused for want of memory must not depend on how
/// a compiler lays out memory.
const ITEM_BYTES: usize = 72;
const _: () = assert!(size_of::<Item>() <= ITEM_BYTES);

impl Item {
    /// Bytes it keeps in memory. A value that is sorted by shares the buffer of its key-value, unless only keys are wanted.
    fn memory(&self) -> usize {
        let value = if let Rank::Value(value) = &self.rank { value.len() } else { 0 };
        let ready = if let StoredKv::Ready(kv) = &self.kv { kv.len() } else { 0 };
        ITEM_BYTES + value.max(ready)
    }
}

/// An answer whose order is settled.
#[derive(Debug)]
pub(super) struct Sorted {
    items: Vec<Item>,
    next: usize,
    pub(super) more: bool,
    /// The memory of the items, given back with them.
    _reservation: Reservation,
}

impl Sorted {
    pub(super) fn is_done(&self) -> bool {
        self.next == self.items.len()
    }

    /// Number of key-values of the whole answer and the length of their fields.
    pub(super) fn measure<S: Snapshot>(&mut self, snapshot: &S) -> Result<(usize, u64), ReadError> {
        let (mut bytes, mut unknown) = (0, Vec::new());
        for item in &self.items {
            match &item.kv {
                StoredKv::Log(revision) if item.len == 0 => unknown.push(*revision),
                _ => bytes += field_len(item.len),
            }
            if unknown.len() >= UNKNOWN {
                bytes += fields_len(snapshot, &mut unknown)?;
            }
        }
        bytes += fields_len(snapshot, &mut unknown)?;
        Ok((self.items.len(), bytes))
    }

    /// The next key-values.
    pub(super) fn next<S: Snapshot>(&mut self, snapshot: &S, budget: Budget) -> Result<Vec<Bytes>, ReadError> {
        let mut kvs: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        while !self.is_done() && kvs.len() < budget.keys.max(1) && (kvs.is_empty() || bytes < budget.bytes) {
            let keys = budget.keys.max(1) - kvs.len();
            let run = self.run(keys, budget.bytes.saturating_sub(bytes));
            let part = &self.items[self.next..self.next + run];
            let places = part.iter().filter_map(|item| match item.kv {
                StoredKv::Log(revision) => Some(revision),
                StoredKv::Ready(_) => None,
            });
            let mut fetched = fetch(snapshot, &places.collect::<Vec<_>>())?.into_iter();
            let taken = part.iter().map(|item| match &item.kv {
                StoredKv::Ready(kv) => kv.clone(),
                StoredKv::Log(_) => fetched.next().expect("one row was fetched for each item in `log`"),
            });
            let from = kvs.len();
            kvs.extend(taken);
            bytes += kvs[from..].iter().map(Bytes::len).sum::<usize>();
            self.next += run;
        }
        Ok(kvs)
    }

    /// How many of the next items to fetch together: at least one.
    fn run(&self, keys: usize, bytes: usize) -> usize {
        let (mut run, mut sum, mut unknown) = (0, 0, 0);
        for item in self.items[self.next..].iter().take(keys) {
            if run > 0 && (sum >= bytes || unknown >= UNKNOWN) {
                break;
            }
            run += 1;
            sum += item.len;
            unknown += usize::from(item.len == 0);
        }
        run
    }
}

/// Collects and sorts. The second result is the number of keys in the range, if all were walked over.
pub(super) fn collect<S: Snapshot, O: Overlay>(
    source: &Source<'_, S, O>,
    plan: &Plan,
    mut reservation: Reservation,
) -> Result<(Sorted, Option<i64>), ReadError> {
    let Order::By { target, descending } = plan.order else {
        return Err(ReadError::Store("an answer in key order is not collected".into()));
    };
    let sort = |items: &mut Vec<Item>| match descending {
        false => items.sort_by(|a, b| a.rank.cmp(&b.rank)),
        true => items.sort_by(|a, b| b.rank.cmp(&a.rank)),
    };
    let kept = plan.limit.saturating_add(1);
    let crowded = kept.saturating_mul(2).saturating_add(64);
    let (mut items, mut passed, mut walked, mut whole) = (Vec::new(), 0, 0, true);
    let upper = plan.range.upper();
    let bounds = Bounds { lower: plan.range.lower(), upper: upper.as_deref(), direction: Direction::Forward };
    source.walk(bounds, |found| {
        if plan.read_at_most == Some(walked) {
            whole = false;
            return Ok(ControlFlow::Break(()));
        }
        walked += 1;
        if plan.passes(&found) {
            passed += 1;
            let item = item(source.snapshot, &found, target, plan.shape)?;
            reservation.reserve(item.memory())?;
            items.push(item);
            if items.len() >= crowded {
                sort(&mut items);
                reservation.release(items.drain(kept..).map(|item| item.memory()).sum());
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    sort(&mut items);
    items.truncate(plan.limit);
    Ok((
        Sorted { items, next: 0, more: passed > plan.limit, _reservation: reservation },
        whole.then_some(walked as i64),
    ))
}

fn item<S: Snapshot>(snapshot: &S, found: &Found<'_>, target: SortTarget, shape: Shape) -> Result<Item, ReadError> {
    let head = &found.head;
    let rank = match target {
        SortTarget::Version => head.version,
        SortTarget::Create => head.create,
        SortTarget::Mod => head.modified.main,
        SortTarget::Key | SortTarget::Value => {
            let kv = full(snapshot, found)?;
            let rank = Rank::Value(value_of(kv.clone())?);
            let kv = shaped(kv, head, shape)?;
            return Ok(Item { rank, len: kv.len(), kv: StoredKv::Ready(kv) });
        }
    };
    let (kv, len) = match (shape, found.kv) {
        (Shape::KeysOnly { lease }, _) => {
            let mut out = Vec::new();
            put_keys_only(&mut out, found.key, head, lease);
            let len = out.len();
            (StoredKv::Ready(out.into()), len)
        }
        (Shape::Full, Kv::Shared(kv)) => (StoredKv::Ready(kv.clone()), kv.len()),
        (Shape::Full, Kv::Here(_) | Kv::Log) => (StoredKv::Log(head.modified), head.len as usize),
    };
    Ok(Item { rank: Rank::Number(rank), kv, len })
}
