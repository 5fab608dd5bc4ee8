//! What a read looks at, and how much it takes at once.
//!
//! Must never hold a view: it borrows one for the length of a call.

use super::at::At;
use super::overlay::{self, Overlay};
use super::walk::{self, Bounds, Found, Visited};
use crate::engine::Snapshot;
use model::ReadError;

/// Where a read looks: a snapshot, an overlay over it, and the revision the read is about.
#[derive(Debug)]
pub(super) struct Source<'s, S, O> {
    pub(super) snapshot: &'s S,
    pub(super) overlay: &'s O,
    pub(super) at: At,
    pub(super) revision: i64,
}

impl<S: Snapshot, O: Overlay> Source<'_, S, O> {
    /// Visits the living keys of the revision.
    pub(super) fn walk(&self, bounds: Bounds<'_>, visit: impl FnMut(Found<'_>) -> Visited) -> Result<(), ReadError> {
        if self.revision < self.at.revision {
            return walk::past(self.snapshot, bounds, self.revision, visit);
        }
        overlay::present(self.snapshot, self.overlay, bounds, visit)
    }
}

/// How large a chunk may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most key-values.
    pub keys: usize,
    /// Bytes of key-values after which no further one is added.
    pub bytes: usize,
}

impl Budget {
    /// No bound but the number of bytes.
    pub const fn bytes(bytes: usize) -> Self {
        Self { keys: usize::MAX, bytes }
    }
}
