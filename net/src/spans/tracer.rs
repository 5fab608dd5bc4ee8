//! Which calls are traced, under which ids, and where their spans go.
//!
//! One for each connection thread: ids come from a generator that nobody else uses. Must never wait.

use super::call::{CallTrace, Called};
use super::parent::{self, Parent};
use super::queue::SpanQueue;
use http::HeaderMap;
use std::cell::Cell;

/// Calls out of a million, of those that come without a parent.
const MILLION: u64 = 1_000_000;

/// See the file header.
pub struct Tracer {
    out: SpanQueue,
    rate: u64,
    ids: Ids,
}

impl Tracer {
    /// `rate` calls of a million are traced, of those whose client does not say. `seed` must differ from thread to thread.
    pub(super) fn new(out: SpanQueue, rate: u64, seed: u64) -> Self {
        Self { out, rate, ids: Ids(Cell::new(seed)) }
    }

    /// The trace of a call that begins, if it is traced.
    pub fn begin(&self, called: Called<'_>, headers: &HeaderMap) -> Option<CallTrace> {
        let (trace, parent) = match parent::of(headers) {
            Some(Parent { sampled: false, .. }) => return None,
            Some(Parent { trace, span, .. }) => (trace, Some(span)),
            None => (self.sampled()?, None),
        };
        Some(CallTrace::new(self.out.clone(), trace, parent, self.ids.next(), called))
    }

    /// The id of a new trace, unless its number says that it is left out.
    fn sampled(&self) -> Option<[u8; 16]> {
        if self.rate == 0 {
            return None;
        }
        let (high, low) = (self.ids.next(), self.ids.next());
        // as OpenTelemetry does: all who see the same id come to the same decision
        let share = (u128::from(low >> 1) * u128::from(MILLION)) >> 63;
        if share as u64 >= self.rate {
            return None;
        }
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high.to_be_bytes());
        trace[8..].copy_from_slice(&low.to_be_bytes());
        Some(trace)
    }
}

/// Numbers that differ, none of them zero. Nobody relies on it that they cannot be guessed.
#[derive(Debug)]
struct Ids(Cell<u64>);

impl Ids {
    /// splitmix64.
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).max(1)
    }
}
