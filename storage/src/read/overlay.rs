//! The seam for transactions: the same reads over a snapshot and the heads a transaction has changed but not yet written.
//!
//! The writer implements [`Overlay`]; must never learn more of the writer than that.

use super::walk::{self, Bounds, Found, Kv, Visited, found};
use crate::count::AroundScan;
use crate::engine::{Direction, Snapshot};
use crate::schema::Head;
use bytes::Bytes;
use model::{KeyRange, ReadError};
use std::ops::ControlFlow;

/// A key that the transaction has changed.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// Its head now; `None` when it is deleted.
    pub head: Option<Head>,
    /// Its encoded key-value; not looked at when it is deleted.
    pub kv: &'a Bytes,
    /// It was alive in the snapshot.
    pub existed: bool,
}

/// The changed keys of an overlay in key order; asked from either end.
pub type Touched<'a> = Box<dyn DoubleEndedIterator<Item = (&'a [u8], Pending<'a>)> + 'a>;

/// Heads that hide those of the snapshot.
pub trait Overlay {
    /// The changed key, or `None` when the transaction has not touched it.
    fn get(&self, key: &[u8]) -> Option<Pending<'_>>;

    /// Changed keys with `lower <= key < upper` (`None` is no bound), ascending.
    fn touched<'a>(&'a self, lower: &[u8], upper: Option<&[u8]>) -> Touched<'a>;

    /// True for a key that is deleted without being among the touched ones. It is asked about none of those.
    fn hides(&self, _key: &[u8]) -> bool {
        false
    }

    /// Nothing changed.
    fn is_empty(&self) -> bool;
}

/// Outside of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct NoOverlay;

impl Overlay for NoOverlay {
    fn get(&self, _key: &[u8]) -> Option<Pending<'_>> {
        None
    }

    fn touched<'a>(&'a self, _lower: &[u8], _upper: Option<&[u8]>) -> Touched<'a> {
        Box::new(std::iter::empty())
    }

    fn is_empty(&self) -> bool {
        true
    }
}

/// Visits the living keys of a range in the present, changed ones included, ascending, with their heads.
///
/// # Errors
/// [`ReadError::Store`].
pub fn walk_heads<S: Snapshot, O: Overlay>(
    snapshot: &S,
    overlay: &O,
    range: &KeyRange,
    mut visit: impl FnMut(&[u8], &Head) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    let upper = range.upper();
    let bounds = Bounds { lower: range.lower(), upper: upper.as_deref(), direction: Direction::Forward };
    present(snapshot, overlay, bounds, |found| Ok(visit(found.key, &found.head)))
}

/// Visits the keys of the present with the overlay in front.
pub(super) fn present<S: Snapshot, O: Overlay>(
    snapshot: &S,
    overlay: &O,
    bounds: Bounds<'_>,
    mut visit: impl FnMut(Found<'_>) -> Visited,
) -> Result<(), ReadError> {
    if overlay.is_empty() || bounds.is_empty() {
        return walk::present(snapshot, bounds, visit);
    }
    let touched = overlay.touched(bounds.lower, bounds.upper);
    let touched: Touched<'_> = match bounds.direction {
        Direction::Forward => touched,
        Direction::Backward => Box::new(touched.rev()),
    };
    let mut touched = touched.peekable();
    let precedes = |a: &[u8], b: &[u8]| if bounds.direction == Direction::Forward { a < b } else { a > b };
    let mut scan = AroundScan::living(snapshot, bounds);
    while let Some((key, row)) = scan.next()? {
        while let Some((changed, pending)) = touched.next_if(|(changed, _)| precedes(changed, key)) {
            if visit_pending(changed, pending, &mut visit)?.is_break() {
                return Ok(());
            }
        }
        let answer = match touched.next_if(|(changed, _)| *changed == key) {
            Some((changed, pending)) => visit_pending(changed, pending, &mut visit)?,
            None if overlay.hides(key) => ControlFlow::Continue(()),
            None => visit(found(key, row)?)?,
        };
        if answer.is_break() {
            return Ok(());
        }
    }
    for (changed, pending) in touched {
        if visit_pending(changed, pending, &mut visit)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn visit_pending(key: &[u8], pending: Pending<'_>, visit: &mut impl FnMut(Found<'_>) -> Visited) -> Visited {
    match pending.head {
        Some(head) => visit(Found { key, head, kv: Kv::Shared(pending.kv) }),
        None => Ok(ControlFlow::Continue(())),
    }
}

/// Keys that the overlay adds to a range less those it takes away.
pub(super) fn count_delta<O: Overlay>(overlay: &O, range: &KeyRange) -> i64 {
    if overlay.is_empty() || range.is_empty() {
        return 0;
    }
    let delta = |pending: Pending<'_>| i64::from(pending.head.is_some()) - i64::from(pending.existed);
    if range.is_single() {
        return overlay.get(range.lower()).map_or(0, delta);
    }
    let upper = range.upper();
    overlay.touched(range.lower(), upper.as_deref()).map(|(_, pending)| delta(pending)).sum()
}
