//! The engine: ordered bytes in five families, written in atomic batches, read through snapshots.
//!
//! Two implementations, [`rocks`] and [`sim`] (deterministic, in memory), are held to the same contract by one property test.
//! An engine must never interpret a row: what the bytes mean is written in `schema`.
//!
//! Contract. A batch is atomic and visible as a whole. Durability comes by [`Engine::flush`] or in the background, always for
//! all families together and in batch order: a crash returns the state after some prefix of the batches that includes every
//! batch before the last completed flush. There is no other log below: the raft log is the log.

pub mod rocks;
mod rows;
pub mod sim;
mod stretches;

pub use stretches::{EmptyStretch, EmptyStretches};

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// A family of rows. The discriminants are stored in snapshots: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// Every version, once, in revision order.
    Log = 0,
    /// The present, by key.
    Cur = 1,
    /// Superseded versions, by key.
    Hist = 2,
    /// Key counts.
    Cnt = 3,
    /// Everything else of the state machine.
    Meta = 4,
}

impl Family {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Log, Self::Cur, Self::Hist, Self::Cnt, Self::Meta];

    /// Name of the column family.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Cur => "cur",
            Self::Hist => "hist",
            Self::Cnt => "cnt",
            Self::Meta => "meta",
        }
    }
}

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write a row.
    Put {
        /// Where.
        family: Family,
        /// Row key.
        key: Bytes,
        /// Row value.
        value: Bytes,
    },
    /// Remove a row; removing what is not there is fine.
    Delete {
        /// Where.
        family: Family,
        /// Row key.
        key: Bytes,
    },
}

impl Op {
    /// Key of the row.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// Bytes of the value; zero for a removal.
    pub fn value_len(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            Self::Delete { .. } => 0,
        }
    }
}

/// Why an engine call failed. Every one of them stops the node: none is retried.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system said no.
    #[error(
        "store {op} failed: {why}; the node stops, nothing acknowledged is lost: check the disk, then start it again"
    )]
    Io {
        /// What was being done.
        op: &'static str,
        /// In the engine's words.
        why: String,
    },
    /// No space left on the device.
    #[error(
        "store {op} failed, the disk is full: {why}; free space under the data folder, then start the member again"
    )]
    NoSpace {
        /// What was being done.
        op: &'static str,
        /// In the engine's words.
        why: String,
    },
    /// Stored bytes are damaged.
    #[error(
        "store is corrupt: {0}; start this member with --rebuild-from-leader, restore it from a snapshot, or remove it and add it again"
    )]
    Corrupt(String),
    /// Another live process holds the store.
    #[error("store is locked by another process: {0}; is another member running on this data folder?")]
    Locked(String),
}

/// Key and value.
pub type Row<'r> = (&'r [u8], &'r [u8]);

/// Where one step of a scan has led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To a row: [`Scan::row`] has it.
    Row,
    /// Behind the last row.
    End,
    /// Nowhere: many deleted rows lie ahead. Only a scan of [`Snapshot::scan_sparse`] says so; it must be made to
    /// [`seek`](Scan::seek) before it goes on.
    Sparse,
}

/// Rows of a snapshot in key order.
pub trait Scan {
    /// Goes to the next row.
    ///
    /// # Errors
    /// [`EngineError`] when the engine cannot read.
    fn step(&mut self) -> Result<Step, EngineError>;

    /// The row that the last step has led to.
    ///
    /// # Panics
    /// When it has led to none.
    fn row(&self) -> Row<'_>;

    /// The next row, or `None` behind the last one. Not for scans of [`Snapshot::scan_sparse`].
    ///
    /// # Errors
    /// [`EngineError`] when the engine cannot read.
    fn next(&mut self) -> Result<Option<Row<'_>>, EngineError> {
        match self.step()? {
            Step::Row => Ok(Some(self.row())),
            Step::End => Ok(None),
            Step::Sparse => unreachable!("only a scan that was asked to ends where rows are sparse"),
        }
    }

    /// Jumps (in either direction) so that the next row is the first, in scan direction, at or past `key`. Bounds stay in force.
    fn seek(&mut self, key: &[u8]);
}

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// An immutable state of all families. Cheap to clone and to drop, may outlive the handle it came from.
pub trait Snapshot: Clone + Send + Sync + 'static {
    /// A scan over this snapshot.
    type Scan<'a>: Scan
    where
        Self: 'a;

    /// One row.
    ///
    /// # Errors
    /// [`EngineError`] when the engine cannot read.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Several rows, in the order asked.
    ///
    /// # Errors
    /// [`EngineError`] when the engine cannot read.
    fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// Rows with `lower <= key < upper`; `None` is no bound.
    fn scan<'a>(&'a self, family: Family, lower: &[u8], upper: Option<&[u8]>, direction: Direction) -> Self::Scan<'a>;

    /// What the writer knew of this state when it took it: nothing, unless it was told.
    fn empty_stretches(&self) -> &EmptyStretches {
        EmptyStretches::none()
    }

    /// Tells it; an engine without dear scans need not listen. What is said must hold for this state.
    #[must_use]
    fn with_empty_stretches(self, _stretches: Arc<EmptyStretches>) -> Self {
        self
    }

    /// As [`Snapshot::scan`], for long walks over rows that will not be read again soon: they do not displace what the cache
    /// holds.
    fn scan_once<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> Self::Scan<'a> {
        self.scan(family, lower, upper, direction)
    }

    /// As [`Snapshot::scan`], but a step that would have to pass over many deleted rows says [`Step::Sparse`] instead: for
    /// callers who know a way around them. A seek to a row that is there always finds it.
    fn scan_sparse<'a>(
        &'a self,
        family: Family,
        lower: &[u8],
        upper: Option<&[u8]>,
        direction: Direction,
    ) -> Self::Scan<'a> {
        self.scan(family, lower, upper, direction)
    }
}

/// A store of rows. Calls are thread safe; there is one writer.
pub trait Engine: Send + Sync + 'static {
    /// Its snapshots.
    type Snapshot: Snapshot;

    /// Applies a batch atomically.
    ///
    /// # Errors
    /// [`EngineError`]; after one the engine must not be written again.
    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError>;

    /// The state after the last batch.
    fn snapshot(&self) -> Self::Snapshot;

    /// Makes everything written so far durable, all families at one point.
    ///
    /// # Errors
    /// [`EngineError`].
    fn flush(&self) -> Result<(), EngineError>;

    /// One row of `meta` as a crash now would leave it.
    ///
    /// # Errors
    /// [`EngineError`].
    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Writes a complete copy, openable as a store of its own, into `dir` (which must not exist yet).
    ///
    /// # Errors
    /// [`EngineError`].
    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError>;

    /// Bytes the engine occupies on disk, for metrics only: never for a decision about an entry.
    fn disk_bytes(&self) -> u64;

    /// Rewrites what garbage can be dropped (defragmentation); readers and the writer go on meanwhile. Ends early, in good
    /// order, when `go_on` says false: it is asked every few seconds.
    ///
    /// # Errors
    /// [`EngineError`].
    fn compact_files(&self, go_on: &dyn Fn() -> bool) -> Result<(), EngineError>;

    /// Begins to fill this engine, which must be empty, with many rows that come in order. No batch may be written before
    /// [`Load::finish`].
    ///
    /// # Errors
    /// [`EngineError`].
    fn load(&self) -> Result<Box<dyn Load>, EngineError>;

    /// Asks, whenever it is called, whether nobody has the store open any more: neither a handle nor a snapshot. Its files may be
    /// removed then.
    fn closed(&self) -> Box<dyn Fn() -> bool + Send>;
}

/// Rows on their way into an empty engine, past its batches: they go into sorted files that are built aside, so that they pass
/// through no memtable and nothing is rewritten. Dropped unfinished, it leaves no row behind.
pub trait Load: Send {
    /// Adds a row. The rows of a family ascend, or form a few ascending runs that do not overlap.
    ///
    /// # Errors
    /// [`EngineError`]; the load is of no more use after one.
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), EngineError>;

    /// Makes all rows visible and durable. Not atomic: whoever could look meanwhile must know by a row that is written afterwards
    /// whether all of them are there.
    ///
    /// # Errors
    /// [`EngineError`].
    fn finish(self: Box<Self>) -> Result<(), EngineError>;
}
