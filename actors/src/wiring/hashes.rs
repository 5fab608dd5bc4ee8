//! Applier → hasher. Must hold no logic.

use storage::view::View;

/// A compaction is decided, and no row was deleted for it yet.
pub struct CompactionScheduled<S> {
    /// The store as it is now.
    pub view: View<S>,
    /// The compacted revision before; -1 when there was none.
    pub before: i64,
    /// The compacted revision from now on.
    pub target: i64,
}
