//! Revisions against the clock: whoever begins after another one was answered is not before it.
//!
//! The store numbers its writes, so a history of writes and reads is linearizable exactly when this holds and each read shows the state at
//! its revision. Must never be given what was not answered.

use std::time::Instant;

/// An operation that was answered: between which moments, at which revision.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it was called.
    pub start: Instant,
    /// When it was answered.
    pub end: Instant,
    /// The revision in its answer.
    pub revision: i64,
    /// It made a revision of its own.
    pub is_write: bool,
}

/// The first operation that began after a revision was acknowledged and is not behind it, with that revision.
pub fn first_stale(spans: &[Span]) -> Option<(Span, i64)> {
    let mut by_end: Vec<&Span> = spans.iter().collect();
    by_end.sort_by_key(|span| span.end);
    let mut by_start = by_end.clone();
    by_start.sort_by_key(|span| span.start);
    let mut ended = by_end.into_iter().peekable();
    let mut newest = 0;
    for span in by_start {
        while let Some(before) = ended.next_if(|before| before.end < span.start) {
            newest = newest.max(before.revision);
        }
        let least = if span.is_write { newest + 1 } else { newest };
        if span.revision < least {
            return Some((*span, newest));
        }
    }
    None
}
