//! The gate in front of RocksDB's own compactions: it is open while the disk has room for what one of them writes, the old files
//! and the new ones side by side.
//!
//! Without it a compaction on a nearly full disk takes the last bytes from the flush and from the log, gives them back when it fails,
//! and begins again; after the second failure RocksDB refuses every flush, and the member ends. Must never be asked by an apply for
//! anything but this: a store works the same with and without.

use super::options::RocksMemory;
use super::store::{SLICE_BYTES, Store};
use crate::disk::space::Space;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes written between two measurements of the disk.
const STEP: u64 = 1 << 20;
/// Most that one compaction is taken to write, whatever the size of the store.
const MOST: u64 = SLICE_BYTES as u64;

pub(super) struct CompactionGate {
    dir: PathBuf,
    /// Bytes since the last measurement.
    written: AtomicU64,
    /// RocksDB may compact by itself.
    open: Mutex<bool>,
}

impl CompactionGate {
    /// Of the store in `dir` before it is opened: to tell RocksDB afterwards makes it write a file for each family. The files are
    /// taken together here, their families are not known yet; the first update corrects it.
    pub(super) fn before_open(dir: &Path, memory: &RocksMemory) -> Self {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let tables = entries.filter(|entry| entry.path().extension().is_some_and(|name| name == "sst"));
        let bytes = tables.filter_map(|table| table.metadata().ok()).map(|about| about.len()).sum();
        let open = Mutex::new(has_room(dir, bytes, memory));
        Self { dir: dir.to_owned(), written: AtomicU64::new(0), open }
    }

    /// RocksDB may compact by itself.
    pub(super) fn is_open(&self) -> bool {
        *self.open.lock().expect("nothing panics while it measures")
    }

    /// Counts a batch, and measures the disk after every megabyte.
    pub(super) fn wrote(&self, bytes: u64, store: &Store, memory: &RocksMemory) {
        if self.written.fetch_add(bytes, Relaxed) + bytes >= STEP {
            self.update(store, memory);
        }
    }

    /// Lets RocksDB compact, or stops it before its next compaction.
    pub(super) fn update(&self, store: &Store, memory: &RocksMemory) {
        self.written.store(0, Relaxed);
        let mut open = self.open.lock().expect("nothing panics while it measures");
        let wanted = has_room(&self.dir, store.largest(), memory);
        if wanted == *open {
            return;
        }
        let value = if wanted { "false" } else { "true" };
        for family in store.borrow_dependent() {
            if let Err(why) = store.db().set_options_cf(family, &[("disable_auto_compactions", value)]) {
                tracing::warn!(error = %why, "cannot tell the store whether there is room to compact");
                return;
            }
        }
        *open = wanted;
        tracing::debug!(open = wanted, "compactions of the store by itself");
    }

    /// Free bytes, for the size of a step; nothing is known where they cannot be measured.
    pub(super) fn free(&self) -> u64 {
        Space::of(&self.dir).map_or(u64::MAX, |disk| disk.free)
    }
}

/// A compaction of files of so many bytes fits. What cannot be measured is not in the way.
fn has_room(dir: &Path, bytes: u64, memory: &RocksMemory) -> bool {
    Space::of(dir).map_or(true, |disk| disk.can_rewrite(bytes.min(MOST), memory.write_buffer_usage() as u64))
}
