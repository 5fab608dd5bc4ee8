//! The revisions a read may ask for.
//!
//! Must never look at data.

use crate::view::View;
use model::ReadError;

/// The revisions that belong to a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Newest revision a read may ask for.
    pub revision: i64,
    /// Revision up to which history is forgotten; -1 before any compaction.
    pub compact_revision: i64,
}

impl At {
    /// Those of a view.
    pub fn of<S>(view: &View<S>) -> Self {
        Self { revision: view.status.revision, compact_revision: view.status.compact_revision }
    }

    /// The revision a read is about: the newest one when `requested` is zero or negative.
    ///
    /// # Errors
    /// [`ReadError::FutureRevision`], [`ReadError::Compacted`]; the compacted revision itself is readable.
    pub fn resolve(self, requested: i64) -> Result<i64, ReadError> {
        if requested > self.revision {
            return Err(ReadError::FutureRevision);
        }
        let revision = if requested <= 0 { self.revision } else { requested };
        if revision < self.compact_revision {
            return Err(ReadError::Compacted);
        }
        Ok(revision)
    }
}
