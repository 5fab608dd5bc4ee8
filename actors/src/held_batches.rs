//! What the applier holds, or passes over, while the store is rebuilt. Plain data.
//!
//! Must never hold more than what is handed out to be applied at once.

use crate::wiring::apply::ApplyBatch;
use storage::apply::{ConfVerdict, Membership};

/// What waits for another store, or was passed over because that has it.
#[derive(Debug, Default)]
pub(crate) struct Rebuilding {
    /// Batches that are held.
    pub(crate) held: Option<Vec<ApplyBatch>>,
    /// Entries up to here are in the new store already, and the membership before the next of them.
    pub(crate) passing: Option<(u64, Membership)>,
    /// Changes of the membership in the first part of a batch whose second part is applied.
    pub(crate) passed: Vec<ConfVerdict>,
}

impl Rebuilding {
    /// Verdicts of a batch, with those of its part that was passed over.
    pub(crate) fn with_passed(&mut self, verdicts: Vec<ConfVerdict>) -> Vec<ConfVerdict> {
        let mut all = std::mem::take(&mut self.passed);
        all.extend(verdicts);
        all
    }
}
