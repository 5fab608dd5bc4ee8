//! What a member counts of the v2 API: the numbers of `/v2/stats/store`.
//!
//! They are this member's, since its start: every member applies all writes, and counts the reads it served.

use super::{Error, Operation, code};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Reads.
    GetSuccess,
    /// Reads that failed.
    GetFail,
    /// Sets.
    SetSuccess,
    /// Sets that failed.
    SetFail,
    /// Deletes.
    DeleteSuccess,
    /// Deletes that failed.
    DeleteFail,
    /// Updates.
    UpdateSuccess,
    /// Updates that failed.
    UpdateFail,
    /// Creations.
    CreateSuccess,
    /// Creations that failed.
    CreateFail,
    /// Compare-and-swaps.
    CompareAndSwapSuccess,
    /// Compare-and-swaps that failed.
    CompareAndSwapFail,
    /// Compare-and-deletes.
    CompareAndDeleteSuccess,
    /// Compare-and-deletes that failed.
    CompareAndDeleteFail,
    /// Nodes that expired.
    Expired,
}

impl Count {
    /// Each with its name in JSON, in etcd's order.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::GetSuccess, "getsSuccess"),
        (Self::GetFail, "getsFail"),
        (Self::SetSuccess, "setsSuccess"),
        (Self::SetFail, "setsFail"),
        (Self::DeleteSuccess, "deleteSuccess"),
        (Self::DeleteFail, "deleteFail"),
        (Self::UpdateSuccess, "updateSuccess"),
        (Self::UpdateFail, "updateFail"),
        (Self::CreateSuccess, "createSuccess"),
        (Self::CreateFail, "createFail"),
        (Self::CompareAndSwapSuccess, "compareAndSwapSuccess"),
        (Self::CompareAndSwapFail, "compareAndSwapFail"),
        (Self::CompareAndDeleteSuccess, "compareAndDeleteSuccess"),
        (Self::CompareAndDeleteFail, "compareAndDeleteFail"),
        (Self::Expired, "expireCount"),
    ];
}

/// Counters of one member.
#[derive(Debug, Default)]
pub struct Stats {
    counts: [AtomicU64; Count::NAMES.len()],
    /// Watchers that wait.
    pub watchers: AtomicU64,
}

impl Stats {
    /// Adds to one of them.
    pub fn add(&self, count: Count, more: u64) {
        self.counts[count as usize].fetch_add(more, Relaxed);
    }

    /// One of them.
    pub fn of(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Relaxed)
    }

    /// Counts a request that was applied. What counts as failed is etcd's: some refusals count as successes there.
    pub fn note(&self, operation: Operation, refused: Option<&Error>) {
        let missing = |error: &Error| matches!(error.code, code::KEY_NOT_FOUND | code::NOT_DIR);
        let not_root = |error: &Error| error.code != code::ROOT_READ_ONLY;
        let (success, fail, failed) = match operation {
            Operation::Set => (Count::SetSuccess, Count::SetFail, refused.is_some()),
            Operation::Create { .. } => {
                if refused.is_some_and(|error| error.code == code::NOT_DIR) {
                    self.add(Count::SetFail, 1);
                }
                (Count::CreateSuccess, Count::CreateFail, refused.is_some())
            }
            Operation::Update => (Count::UpdateSuccess, Count::UpdateFail, refused.is_some_and(missing)),
            Operation::CompareAndSwap => {
                (Count::CompareAndSwapSuccess, Count::CompareAndSwapFail, refused.is_some_and(not_root))
            }
            Operation::Delete => (Count::DeleteSuccess, Count::DeleteFail, refused.is_some_and(not_root)),
            Operation::CompareAndDelete => {
                (Count::CompareAndDeleteSuccess, Count::CompareAndDeleteFail, refused.is_some_and(missing))
            }
            Operation::Sync => return,
        };
        self.add(if failed { fail } else { success }, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_places() {
        for (at, (count, _)) in Count::NAMES.iter().enumerate() {
            assert_eq!(*count as usize, at);
        }
    }

    #[test]
    fn refusals_count_as_in_etcd() {
        let stats = Stats::default();
        let root = Error::new(code::ROOT_READ_ONLY, "/", 0);
        stats.note(Operation::Delete, Some(&root));
        stats.note(Operation::Set, Some(&root));
        stats.note(Operation::Create { unique: true }, Some(&Error::new(code::NOT_DIR, "/1/f", 0)));
        assert_eq!([stats.of(Count::DeleteSuccess), stats.of(Count::SetFail), stats.of(Count::CreateFail)], [1, 2, 1]);
    }
}
