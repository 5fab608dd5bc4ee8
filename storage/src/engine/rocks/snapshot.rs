//! Snapshots of a RocksDB store that own what they read from, and their scans.
//!
//! Must never block the writer: a snapshot only keeps RocksDB from dropping versions it can still see.

use super::store::{Store, error};
use crate::engine::{Direction, EmptyStretches, EngineError, Family, Row, Scan, Snapshot, Step};
use bytes::Bytes;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ErrorKind, ReadOptions, SnapshotWithThreadMode};
use self_cell::self_cell;
use std::sync::Arc;

/// Bytes read at once by a scan that leaves the cache alone.
const READ_AHEAD: usize = 256 << 10;
/// Deleted rows that one step of a sparse scan passes over. Finding the way around them costs about as much as two hundred.
const SPARSE: u64 = 64;

struct Pinned<'a> {
    store: &'a Store,
    /// Names the snapshot below; made once, because a point read is not much dearer than making one.
    options: ReadOptions,
    snapshot: SnapshotWithThreadMode<'a, DB>,
}

self_cell!(
    struct Cell {
        owner: Arc<Store>,
        #[covariant]
        dependent: Pinned,
    }
);

/// An immutable state of a RocksDB store; keeps the store open.
#[derive(Clone)]
pub struct RocksSnapshot {
    cell: Arc<Cell>,
    stretches: Option<Arc<EmptyStretches>>,
}

impl RocksSnapshot {
    pub(super) fn take(store: &Arc<Store>) -> Self {
        let cell = Arc::new(Cell::new(Arc::clone(store), |store| {
            let snapshot = store.db().snapshot();
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            Pinned { store, options, snapshot }
        }));
        Self { cell, stretches: None }
    }
}

impl std::fmt::Debug for RocksSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RocksSnapshot({})", self.cell.borrow_dependent().snapshot.sequence_number())
    }
}

impl Snapshot for RocksSnapshot {
    type Scan<'a> = RocksScan<'a>;

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let Pinned { store, options, .. } = self.cell.borrow_dependent();
        let row = store.db().get_pinned_cf_opt(&store.family(family), key, options);
        Ok(row.map_err(|e| error("read", &e))?.map(|row| Bytes::copy_from_slice(&row)))
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let Pinned { store, options, .. } = self.cell.borrow_dependent();
        let rows = store.db().batched_multi_get_cf_opt(&store.family(family), keys.iter().copied(), false, options);
        let row = |row: Option<rocksdb::DBPinnableSlice<'_>>| row.map(|row| Bytes::copy_from_slice(&row));
        rows.into_iter().map(|result| result.map(row).map_err(|e| error("read", &e))).collect()
    }

    fn scan<'a>(&'a self, family: Family, lower: &[u8], upper: Option<&[u8]>, direction: Direction) -> RocksScan<'a> {
        self.scan_with(ReadOptions::default(), family, (lower, upper), direction)
    }

    fn empty_stretches(&self) -> &EmptyStretches {
        self.stretches.as_deref().unwrap_or(EmptyStretches::none())
    }

    fn with_empty_stretches(self, stretches: Arc<EmptyStretches>) -> Self {
        Self { stretches: Some(stretches), ..self }
    }

    fn scan_once<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> RocksScan<'a> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        self.scan_with(options, family, (lower, upper), direction)
    }

    fn scan_sparse<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> RocksScan<'a> {
        let mut options = ReadOptions::default();
        options.set_max_skippable_internal_keys(SPARSE);
        self.scan_with(options, family, (lower, upper), direction)
    }
}

impl RocksSnapshot {
    fn scan_with<'a>(
        &'a self,
        mut options: ReadOptions,
        family: Family,
        (lower, upper): (&[u8], Option<&[u8]>),
        direction: Direction,
    ) -> RocksScan<'a> {
        let Pinned { store, snapshot, .. } = self.cell.borrow_dependent();
        if !lower.is_empty() {
            options.set_iterate_lower_bound(lower);
        }
        if let Some(upper) = upper {
            options.set_iterate_upper_bound(upper);
        }
        let nothing = upper.is_some_and(|upper| upper <= lower);
        let rows = snapshot.raw_iterator_cf_opt(&store.family(family), options);
        RocksScan { rows, direction, at: if nothing { ScanPosition::End } else { ScanPosition::Start } }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanPosition {
    /// Nowhere yet.
    Start,
    /// On a row not yet handed out.
    Fresh,
    /// On a row already handed out.
    Taken,
    /// Behind the last row, or in front of many deleted ones: only a seek leads anywhere.
    Exhausted,
    /// The bounds leave room for nothing; RocksDB does not define a scan over that.
    End,
}

/// A scan over a [`RocksSnapshot`].
pub struct RocksScan<'a> {
    rows: DBRawIteratorWithThreadMode<'a, DB>,
    direction: Direction,
    at: ScanPosition,
}

impl Scan for RocksScan<'_> {
    fn step(&mut self) -> Result<Step, EngineError> {
        match (self.at, self.direction) {
            (ScanPosition::End | ScanPosition::Exhausted, _) => return Ok(Step::End),
            (ScanPosition::Fresh, _) => {}
            (ScanPosition::Start, Direction::Forward) => self.rows.seek_to_first(),
            (ScanPosition::Start, Direction::Backward) => self.rows.seek_to_last(),
            (ScanPosition::Taken, Direction::Forward) => self.rows.next(),
            (ScanPosition::Taken, Direction::Backward) => self.rows.prev(),
        }
        if self.rows.valid() {
            self.at = ScanPosition::Taken;
            return Ok(Step::Row);
        }
        self.at = ScanPosition::Exhausted;
        // Behind the last row, unable to read, or too many deleted ones: only the status tells.
        match self.rows.status() {
            Ok(()) => Ok(Step::End),
            Err(why) if why.kind() == ErrorKind::Incomplete => Ok(Step::Sparse),
            Err(why) => Err(error("scan", &why)),
        }
    }

    fn row(&self) -> Row<'_> {
        self.rows.item().expect("the last step has led to a row")
    }

    fn seek(&mut self, key: &[u8]) {
        match (self.at, self.direction) {
            (ScanPosition::End, _) => return,
            (_, Direction::Forward) => self.rows.seek(key),
            (_, Direction::Backward) => self.rows.seek_for_prev(key),
        }
        self.at = ScanPosition::Fresh;
    }
}
