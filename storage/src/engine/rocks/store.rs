//! The open database with the handles of its families, and what its errors mean.
//!
//! Must never interpret a row.

use crate::engine::{EngineError, Family};
use rocksdb::{ColumnFamily, DB, ErrorKind};
use self_cell::self_cell;

/// Most bytes of files that one step of [`Engine::compact_files`] rewrites: a second or two of work.
pub(super) const SLICE_BYTES: usize = 256 << 20;

pub(super) const FILE_BYTES: &str = "rocksdb.total-sst-files-size";

/// By discriminant; behind them the default one.
type Families<'a> = [&'a ColumnFamily; Family::ALL.len() + 1];

self_cell!(
    /// The database with the handles of its families, so that no call looks one up by name.
    pub(super) struct Store {
        owner: DB,
        #[covariant]
        dependent: Families,
    }
);

impl Store {
    pub(super) fn db(&self) -> &DB {
        self.borrow_owner()
    }

    pub(super) fn family(&self, family: Family) -> &ColumnFamily {
        self.borrow_dependent()[family as usize]
    }

    pub(super) fn number(&self, family: &ColumnFamily, property: &str) -> u64 {
        self.db().property_int_value_cf(&family, property).ok().flatten().unwrap_or(0)
    }

    /// Bytes of files of the largest family.
    pub(super) fn largest(&self) -> u64 {
        self.borrow_dependent().iter().map(|family| self.number(family, FILE_BYTES)).max().unwrap_or(0)
    }
}

/// The family RocksDB cannot be without. It holds the flush marker alone.
pub(super) const DEFAULT: &str = "default";

pub(super) fn with_families(db: DB) -> Store {
    Store::new(db, |db| {
        let family = |name| db.cf_handle(name).expect("RocksDB opened every family asked for");
        let [log, cur, hist, cnt, meta] = Family::ALL.map(Family::name);
        [log, cur, hist, cnt, meta, DEFAULT].map(family)
    })
}

/// RocksDB's errors are text; the kinds that need another reaction of the operator are told apart.
pub(super) fn error(op: &'static str, error: &rocksdb::Error) -> EngineError {
    let why = error.as_ref();
    let text = || String::from(why);
    if why.contains("lock hold by current process") || why.contains("While lock file") {
        return EngineError::Locked(text());
    }
    if why.contains("No space left on device") {
        return EngineError::NoSpace { op, why: text() };
    }
    if op == "open" && why.contains("No such file or directory") {
        // a file that the others name: no disk check brings it back
        return EngineError::Corrupt(text());
    }
    match error.kind() {
        ErrorKind::Corruption => EngineError::Corrupt(text()),
        _ => EngineError::Io { op, why: text() },
    }
}
