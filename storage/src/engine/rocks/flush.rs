//! Flushing all families and knowing when it is done.
//!
//! RocksDB's manual flush of several families can return too early (11.8, `DBImpl::AtomicFlushMemTables`: it pairs the families
//! it waits for with memtable numbers taken from a hash map, in another order), which happens when a flush by itself is under
//! way: measured, the rows of the last batches were lost by a crash right after. So every flush writes a marker before, and
//! waits until that is persisted; flushes are atomic and in order, hence so is everything before it. Must never report a
//! flush as done on RocksDB's word alone.

use super::store::{Store, error};
use crate::engine::EngineError;
use rocksdb::{ColumnFamily, FlushOptions, ReadOptions, WriteOptions};
use std::time::Duration;

/// Row of the default family.
const MARKER: &[u8] = b"flush";
/// Pause between two looks; a flush takes some milliseconds at least.
const PAUSE: Duration = Duration::from_micros(500);
/// Looks before RocksDB is asked again, which tells a background error.
const LOOKS: u32 = 400;

fn family(store: &Store) -> &ColumnFamily {
    store.borrow_dependent()[crate::engine::Family::ALL.len()]
}

/// The last marker that is persisted; zero in a new store.
pub(super) fn marker(store: &Store, persisted: &ReadOptions) -> Result<u64, EngineError> {
    let row = store.db().get_pinned_cf_opt(&family(store), MARKER, persisted).map_err(|e| error("read", &e))?;
    let Some(row) = row else { return Ok(0) };
    let bytes = row[..].try_into().map_err(|_| EngineError::Corrupt("the flush marker has the wrong length".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Writes marker `number`, larger than any before, flushes, and returns when it is persisted.
pub(super) fn up_to(
    store: &Store,
    number: u64,
    without_log: &WriteOptions,
    persisted: &ReadOptions,
) -> Result<(), EngineError> {
    let families: Vec<_> = store.borrow_dependent().iter().collect();
    let put = store.db().put_cf_opt(&family(store), MARKER, number.to_be_bytes(), without_log);
    put.map_err(|e| error("flush", &e))?;
    loop {
        store.db().flush_cfs_opt(&families, &FlushOptions::default()).map_err(|e| error("flush", &e))?;
        for _ in 0..LOOKS {
            if marker(store, persisted)? >= number {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
