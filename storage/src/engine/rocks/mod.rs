//! The engine over RocksDB. Its own write-ahead log is off and all families flush as one: the raft log is the log.
//!
//! Must never acknowledge a row as durable: only [`Engine::get_persisted`] and a completed flush say so.

mod compaction_gate;
mod flush;
mod load;
mod options;
mod snapshot;
mod store;

pub use options::{RocksMemory, RocksOptions};
pub use snapshot::{RocksScan, RocksSnapshot};

use super::{Engine, EngineError, Family, Load, Op};
use bytes::Bytes;
use compaction_gate::CompactionGate;
use load::RocksLoad;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BottommostLevelCompaction, CompactOptions, DB, LiveFile, ReadOptions, ReadTier, WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::{Arc, Mutex};
use store::{DEFAULT, FILE_BYTES, SLICE_BYTES, Store, error, with_families};

/// Failures of flushes and compactions since the store was opened.
const FAILURES: &str = "rocksdb.background-errors";

/// A RocksDB store. The last handle or snapshot to go closes it.
pub struct RocksEngine {
    store: Arc<Store>,
    memory: RocksMemory,
    without_log: WriteOptions,
    persisted: ReadOptions,
    marker: Mutex<u64>,
    gate: CompactionGate,
    options: RocksOptions,
}

impl Drop for RocksEngine {
    fn drop(&mut self) {
        if self.options.flush_on_close
            && let Err(error) = self.flush()
        {
            tracing::warn!("closing the store: {error}");
        }
    }
}

impl RocksEngine {
    /// Opens the store in `dir` or creates it, with memory of its own. Its parent must exist.
    ///
    /// # Errors
    /// [`EngineError::Locked`] when it is open elsewhere, [`EngineError::Corrupt`], [`EngineError::NoSpace`] or
    /// [`EngineError::Io`].
    pub fn open(dir: &Path, options: &RocksOptions) -> Result<Self, EngineError> {
        Self::open_sharing(dir, options, &RocksMemory::new(options))
    }

    /// As [`RocksEngine::open`], with the cache and write buffers of another store.
    ///
    /// # Errors
    /// As [`RocksEngine::open`].
    pub fn open_sharing(dir: &Path, options: &RocksOptions, memory: &RocksMemory) -> Result<Self, EngineError> {
        refuse_headless(dir)?;
        let of_store = options::of_store(options, memory)?;
        let gate = CompactionGate::before_open(dir, memory);
        let db = DB::open_cf_descriptors(&of_store, dir, options::of_families(options, memory, gate.is_open()))
            .map_err(|e| error("open", &e))?;
        let store = with_families(db);
        let mut without_log = WriteOptions::default();
        without_log.disable_wal(true);
        let mut persisted = ReadOptions::default();
        persisted.set_read_tier(ReadTier::Persisted);
        let marker = Mutex::new(flush::marker(&store, &persisted)?);
        let engine = Self {
            store: Arc::new(store),
            memory: memory.clone(),
            without_log,
            persisted,
            marker,
            gate,
            options: options.clone(),
        };
        engine.gate.update(&engine.store, &engine.memory);
        Ok(engine)
    }

    /// The store in `dir` as its last flush left it, for reading alone. Changes no file and takes no lock: the caller sees to
    /// it that nobody has it open.
    ///
    /// # Errors
    /// [`EngineError::Io`] when there is no store, [`EngineError::Corrupt`].
    pub fn read_only(dir: &Path, options: &RocksOptions) -> Result<RocksSnapshot, EngineError> {
        if !dir.join("CURRENT").is_file() {
            // The crate below makes the folder before it looks into it.
            return Err(EngineError::Io { op: "open", why: format!("there is no store in {}", dir.display()) });
        }
        let memory = RocksMemory::new(options);
        let mut of_store = options::of_store(options, &memory)?;
        of_store.create_if_missing(false);
        of_store.create_missing_column_families(false);
        let db =
            DB::open_cf_descriptors_read_only(&of_store, dir, options::of_families(options, &memory, false), false);
        let db = db.map_err(|e| error("open", &e))?;
        Ok(RocksSnapshot::take(&Arc::new(with_families(db))))
    }

    /// RocksDB does not say how a compaction that it was asked for ended.
    fn failures(&self) -> u64 {
        self.store.borrow_dependent().iter().map(|family| self.store.number(family, FAILURES)).sum()
    }

    /// Its cache and write buffers.
    pub fn memory(&self) -> &RocksMemory {
        &self.memory
    }
}

/// RocksDB takes a folder without the file CURRENT for a new store, and removes the tables in it.
fn refuse_headless(dir: &Path) -> Result<(), EngineError> {
    let Ok(files) = std::fs::read_dir(dir) else { return Ok(()) };
    let names: Vec<_> = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    // a first start that was interrupted may leave anything but a table
    let is_part = |name: &String| name.ends_with(".sst");
    match names.iter().find(|name| is_part(name)) {
        Some(part) if !names.iter().any(|name| name == "CURRENT") => {
            let dir = dir.display();
            Err(EngineError::Corrupt(format!("{dir} holds {part} but no file CURRENT")))
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for RocksEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RocksEngine({})", self.store.db().path().display())
    }
}

impl Engine for RocksEngine {
    type Snapshot = RocksSnapshot;

    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError> {
        let bytes: usize = batch.iter().map(|op| 16 + op.key().len() + op.value_len()).sum();
        let mut to = WriteBatch::with_capacity_bytes(12 + bytes);
        for op in &batch {
            match op {
                Op::Put { family, key, value } => to.put_cf(&self.store.family(*family), key, value),
                Op::Delete { family, key } => to.delete_cf(&self.store.family(*family), key),
            }
        }
        self.store.db().write_opt(to, &self.without_log).map_err(|e| error("write", &e))?;
        self.gate.wrote(bytes as u64, &self.store, &self.memory);
        Ok(())
    }

    fn snapshot(&self) -> RocksSnapshot {
        RocksSnapshot::take(&self.store)
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut marker = self.marker.lock().expect("nothing panics while it flushes");
        *marker += 1;
        flush::up_to(&self.store, *marker, &self.without_log, &self.persisted)
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let row = self.store.db().get_pinned_cf_opt(&self.store.family(Family::Meta), key, &self.persisted);
        Ok(row.map_err(|e| error("read", &e))?.map(|row| Bytes::copy_from_slice(&row)))
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        self.flush()?; // RocksDB flushes here as well, but does not always wait for it: see `flush`
        Checkpoint::new(self.store.db())
            .and_then(|checkpoint| checkpoint.create_checkpoint(dir))
            .map_err(|e| error("checkpoint", &e))
    }

    fn disk_bytes(&self) -> u64 {
        self.store.borrow_dependent().iter().map(|family| self.store.number(family, FILE_BYTES)).sum()
    }

    fn compact_files(&self, go_on: &dyn Fn() -> bool) -> Result<(), EngineError> {
        let mut how = CompactOptions::default();
        how.set_exclusive_manual_compaction(false);
        how.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        self.flush()?;
        // half of what is free: the rest is the flush's, the log's, and that of files which lie across the slice's ends
        let slice = (SLICE_BYTES as u64).min((self.gate.free() / 2).max(self.options.file_bytes)) as usize;
        let failures = self.failures();
        let files = self.store.db().live_files().map_err(|e| error("list of files", &e))?;
        let names = Family::ALL.into_iter().map(Family::name).chain([DEFAULT]);
        for (family, name) in self.store.borrow_dependent().iter().zip(names) {
            let cuts = cuts(files.iter().filter(|f| f.column_family_name == name), slice);
            let mut from = None;
            for to in cuts.into_iter().map(Some).chain([None]) {
                if !go_on() {
                    return Ok(());
                }
                self.store.db().compact_range_cf_opt(family, from.as_deref(), to.as_deref(), &how);
                if self.failures() != failures {
                    // another failure, and RocksDB refuses flushes as well
                    let why = format!("{} bytes are free, the lines before this one say more", self.gate.free());
                    return Err(EngineError::NoSpace { op: "compaction", why });
                }
                from = to;
            }
        }
        self.gate.update(&self.store, &self.memory);
        Ok(())
    }

    fn load(&self) -> Result<Box<dyn Load>, EngineError> {
        Ok(Box::new(RocksLoad::begin(self.store.clone(), &self.options, &self.memory)?))
    }

    fn closed(&self) -> Box<dyn Fn() -> bool + Send> {
        let store = Arc::downgrade(&self.store);
        Box::new(move || store.strong_count() == 0)
    }
}

/// Keys that cut a family into slices of about `slice` bytes: a compaction cannot be ended, but the next one need not begin.
fn cuts<'f>(files: impl Iterator<Item = &'f LiveFile>, slice: usize) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = files.filter_map(|f| Some((f.start_key.as_deref()?, f.size))).collect();
    files.sort_unstable();
    let (mut cuts, mut bytes) = (Vec::new(), 0);
    for (start, size) in files {
        if bytes >= slice {
            cuts.push(start.to_vec());
            bytes = 0;
        }
        bytes += size;
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> RocksOptions {
        RocksOptions { cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..RocksOptions::default() }
    }

    #[test]
    fn a_second_opener_is_told_that_the_store_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let first = RocksEngine::open(folder.path(), &small()).unwrap();
        let second = RocksEngine::open_sharing(folder.path(), &small(), first.memory());
        assert!(matches!(second, Err(EngineError::Locked(_))), "{second:?}");
    }

    #[test]
    fn damaged_files_are_told_as_corruption() {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &small()).unwrap();
        let row =
            |n: u32| Op::Put { family: Family::Cur, key: n.to_be_bytes().to_vec().into(), value: vec![7; 100].into() };
        engine.write((0..1000).map(row).collect()).unwrap();
        engine.flush().unwrap();
        drop(engine);
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "sst") {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.iter_mut().step_by(64).for_each(|byte| *byte ^= 0x55);
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let read = RocksEngine::open(folder.path(), &small())
            .and_then(|engine| super::super::Snapshot::get(&engine.snapshot(), Family::Cur, &5u32.to_be_bytes()));
        assert!(matches!(read, Err(EngineError::Corrupt(_))), "{read:?}");
    }

    #[test]
    fn reading_alone_changes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let missing = RocksEngine::read_only(&folder.path().join("none"), &small());
        assert!(matches!(missing, Err(EngineError::Io { .. })), "{missing:?}");
        assert!(!folder.path().join("none").exists());
        let engine = RocksEngine::open(folder.path(), &small()).unwrap();
        engine.write(vec![Op::Put { family: Family::Cur, key: "a".into(), value: "1".into() }]).unwrap();
        drop(engine);
        let files = || {
            let entries = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
            let mut files: Vec<_> = entries.map(|e| (e.file_name(), std::fs::read(e.path()).unwrap())).collect();
            files.sort();
            files
        };
        let before = files();
        let snapshot = RocksEngine::read_only(folder.path(), &small()).unwrap();
        assert_eq!(super::super::Snapshot::get(&snapshot, Family::Cur, b"a").unwrap(), Some("1".into()));
        let rows = super::super::Snapshot::multi_get(&snapshot, Family::Cur, &[b"a", b"b"]).unwrap();
        assert_eq!(rows, [Some("1".into()), None]);
        drop(snapshot);
        assert_eq!(files(), before);
    }

    #[test]
    fn tables_without_their_head_are_not_taken_for_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        drop(RocksEngine::open(folder.path(), &small()).unwrap());
        std::fs::remove_file(folder.path().join("CURRENT")).unwrap();
        let before = std::fs::read_dir(folder.path()).unwrap().count();
        let refused = RocksEngine::open(folder.path(), &small());
        assert!(matches!(&refused, Err(EngineError::Corrupt(why)) if why.contains("no file CURRENT")), "{refused:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "a refusal removes nothing");
    }

    #[test]
    fn a_snapshot_outlives_the_engine_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &small()).unwrap();
        engine.write(vec![Op::Put { family: Family::Cur, key: "a".into(), value: "1".into() }]).unwrap();
        let snapshot = engine.snapshot();
        engine.write(vec![Op::Delete { family: Family::Cur, key: "a".into() }]).unwrap();
        drop(engine);
        assert_eq!(super::super::Snapshot::get(&snapshot, Family::Cur, b"a").unwrap(), Some("1".into()));
        assert!(matches!(RocksEngine::open(folder.path(), &small()), Err(EngineError::Locked(_))));
        drop(snapshot);
        RocksEngine::open(folder.path(), &small()).unwrap();
    }
}
