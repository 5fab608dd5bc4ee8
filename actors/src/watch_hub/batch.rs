//! A batch of events that a client pulls: what decides which events are in it, and how long it is.
//!
//! Must hold no event.

use super::source::LogReadError;
use crate::wiring::events::WatchEvent;
use messages::watch::CreateWatch;
use model::{KeyRange, ReadError};

/// Bytes of a part that is read at once.
pub(super) const PART: usize = 256 << 10;

/// What decides which events a watcher gets of a batch, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OversizedSpec {
    pub(super) range: KeyRange,
    no_put: bool,
    no_delete: bool,
    pub(super) prev_kv: bool,
    /// A batch may have several revisions.
    pub(super) fragment: bool,
}

impl OversizedSpec {
    /// The wishes of a watcher.
    pub(super) fn of(create: &CreateWatch) -> Self {
        let CreateWatch { range, no_put, no_delete, prev_kv, fragment, .. } = create;
        Self { range: range.clone(), no_put: *no_put, no_delete: *no_delete, prev_kv: *prev_kv, fragment: *fragment }
    }

    pub(super) fn wants(&self, event: &WatchEvent) -> bool {
        !(if event.delete { self.no_delete } else { self.no_put })
    }
}

/// Length of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchSize {
    /// Bytes of the `events` fields.
    pub(super) bytes: u64,
    /// The first revision behind the batch.
    pub(super) next: i64,
}

/// What a client is told when the log cannot be read for it.
pub(super) fn read_error(why: LogReadError) -> ReadError {
    match why {
        LogReadError::Compacted(_) => ReadError::Compacted,
        LogReadError::Failed(why) => ReadError::Store(why),
    }
}
