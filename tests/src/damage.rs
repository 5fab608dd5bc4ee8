//! Damage of a store's rows that RocksDB cannot see, made while no process has it open. Must never touch a file of RocksDB itself.

use std::path::Path;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::engine::{Direction, Engine, Family, Op, Scan, Snapshot};

/// A count of keys in the store at `store` says another number than there are.
///
/// # Panics
/// When the store does not open or has no counts.
pub fn wrong_count(store: &Path) {
    let engine = RocksEngine::open(store, &RocksOptions::default()).expect("the store opens");
    let (key, mut value) = {
        let snapshot = engine.snapshot();
        let mut rows = snapshot.scan(Family::Cnt, &[], None, Direction::Backward);
        let (key, row) = rows.next().expect("it reads").expect("there are counts");
        (key.to_vec(), row.to_vec())
    };
    *value.last_mut().expect("a row is not empty") ^= 1;
    engine.write(vec![Op::Put { family: Family::Cnt, key: key.into(), value: value.into() }]).expect("written");
    engine.flush().expect("flushed");
}
