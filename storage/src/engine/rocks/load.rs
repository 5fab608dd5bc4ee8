//! Filling an empty RocksDB store with sorted files that are written beside it and then taken in as they are.
//!
//! The rows of a large store pass through no memtable, and are compacted by nobody afterwards. Must never be used on a store
//! that holds rows: the files would lie above them.

use super::options::{self, RocksMemory, RocksOptions};
use super::store::{Store, error};
use crate::engine::{EngineError, Family, Load};
use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter};
use self_cell::self_cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folder of the files until they are taken in, inside that of the store.
const FOLDER: &str = "load";
/// Ascending runs of one family. Key counts have two; more would mean that rows come in no order.
const RUNS: usize = 4;

self_cell!(
    /// A file being written, with the options that it must not outlive.
    struct Table {
        owner: Options,
        #[covariant]
        dependent: SstFileWriter,
    }
);

/// Rows of one family in ascending order, cut into files.
struct Run {
    family: Family,
    last: Vec<u8>,
    table: Option<Table>,
    files: Vec<PathBuf>,
}

/// See the file header.
pub(super) struct RocksLoad {
    store: Arc<Store>,
    options: RocksOptions,
    memory: RocksMemory,
    folder: PathBuf,
    runs: Vec<Run>,
    made: u64,
}

impl RocksLoad {
    /// For the store, in its own folder: files can then be moved instead of copied.
    pub(super) fn begin(store: Arc<Store>, options: &RocksOptions, memory: &RocksMemory) -> Result<Self, EngineError> {
        let folder = store.db().path().join(FOLDER);
        remove(&folder).and_then(|()| std::fs::create_dir(&folder)).map_err(|why| failed(&why))?;
        let (options, memory) = (options.clone(), memory.clone());
        Ok(Self { store, options, memory, folder, runs: Vec::new(), made: 0 })
    }

    /// The run that goes on with `key`; a new one when there is none.
    fn run(&mut self, family: Family, key: &[u8]) -> Result<&mut Run, EngineError> {
        let fits = |run: &Run| run.family == family && key > &run.last[..];
        let at = match self.runs.iter().position(fits) {
            Some(at) => at,
            None if self.runs.iter().filter(|run| run.family == family).count() == RUNS => {
                return Err(EngineError::Corrupt(format!("rows of family {} come out of order", family.name())));
            }
            None => {
                self.runs.push(Run { family, last: Vec::new(), table: None, files: Vec::new() });
                self.runs.len() - 1
            }
        };
        let run = &mut self.runs[at];
        if run.table.is_none() {
            self.made += 1;
            let path = self.folder.join(format!("{:08}", self.made));
            run.table = Some(create(family, &path, &self.options, &self.memory)?);
            run.files.push(path);
        }
        Ok(run)
    }
}

fn create(family: Family, path: &Path, options: &RocksOptions, memory: &RocksMemory) -> Result<Table, EngineError> {
    let table = Table::new(options::of_family(family, options, memory), |options| SstFileWriter::create(options));
    table.borrow_dependent().open(path).map_err(|e| error("load", &e))?;
    Ok(table)
}

impl Run {
    fn close(&mut self) -> Result<(), EngineError> {
        let Some(mut table) = self.table.take() else { return Ok(()) };
        table.with_dependent_mut(|_, writer| writer.finish()).map_err(|e| error("load", &e))
    }
}

impl Load for RocksLoad {
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let most = self.options.file_bytes;
        let run = self.run(family, key)?;
        let table = run.table.as_mut().expect("a run has one when a row is added");
        let length = table.with_dependent_mut(|_, writer| writer.put(key, value).map(|()| writer.file_size()));
        run.last.clear();
        run.last.extend_from_slice(key);
        if length.map_err(|e| error("load", &e))? >= most { run.close() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        let mut how = IngestExternalFileOptions::default();
        how.set_move_files(true);
        for family in Family::ALL {
            let mut files = Vec::new();
            for run in self.runs.iter_mut().filter(|run| run.family == family) {
                run.close()?;
                files.append(&mut run.files);
            }
            if !files.is_empty() {
                let taken = self.store.db().ingest_external_file_cf_opts(&self.store.family(family), &how, files);
                taken.map_err(|e| error("load", &e))?;
            }
        }
        Ok(())
    }
}

impl Drop for RocksLoad {
    fn drop(&mut self) {
        // files that are still written are closed before they are removed
        self.runs.clear();
        if let Err(why) = remove(&self.folder) {
            tracing::warn!(path = %self.folder.display(), error = %why, "cannot remove the files of a load");
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn failed(why: &io::Error) -> EngineError {
    let op = "load";
    match why.kind() {
        io::ErrorKind::StorageFull => EngineError::NoSpace { op, why: why.to_string() },
        _ => EngineError::Io { op, why: why.to_string() },
    }
}
