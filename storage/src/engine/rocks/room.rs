//! Room for RocksDB's own compactions: they go on only while what one of them writes fits, old files and new ones side by side.
//!
//! Without it a compaction on a nearly full disk takes the last bytes from the flush and from the log, gives them back when it fails,
//! and begins again; after the second failure RocksDB refuses every flush, and the member ends. Must never be asked by an apply for
//! anything but this: a store works the same with and without.

use super::Store;
use crate::disk::space::Space;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes written between two looks.
const STEP: u64 = 1 << 20;
/// Most that one compaction is taken to write, whatever the size of the store.
const MOST: u64 = 256 << 20;

pub(super) struct Room {
    dir: PathBuf,
    /// Since the last look.
    written: AtomicU64,
    /// RocksDB may compact by itself.
    on: Mutex<bool>,
}

impl Room {
    /// Of a store in `dir` whose own compactions are off.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), written: AtomicU64::new(0), on: Mutex::new(false) }
    }

    /// Counts a batch, and looks every megabyte.
    pub(super) fn wrote(&self, bytes: u64, store: &Store, unflushed: u64) {
        if self.written.fetch_add(bytes, Relaxed) + bytes >= STEP {
            self.look(store, unflushed);
        }
    }

    /// Lets RocksDB compact, or stops it before its next compaction.
    pub(super) fn look(&self, store: &Store, unflushed: u64) {
        self.written.store(0, Relaxed);
        let mut on = self.on.lock().expect("nothing panics while it looks");
        // what cannot be measured is not in the way
        let wanted = Space::of(&self.dir).map_or(true, |disk| disk.can_rewrite(store.largest().min(MOST), unflushed));
        if wanted == *on {
            return;
        }
        let value = if wanted { "false" } else { "true" };
        for family in store.borrow_dependent() {
            if let Err(why) = store.db().set_options_cf(family, &[("disable_auto_compactions", value)]) {
                tracing::warn!(error = %why, "cannot tell the store whether there is room to compact");
                return;
            }
        }
        *on = wanted;
        tracing::debug!(on = wanted, "compactions of the store by itself");
    }

    /// Free bytes, for the size of a step; nothing is known where they cannot be measured.
    pub(super) fn free(&self) -> u64 {
        Space::of(&self.dir).map_or(u64::MAX, |disk| disk.free)
    }
}
