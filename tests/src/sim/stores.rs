//! The stores of a simulated member: their names lie on its simulated disk, so that they crash with log and store pointer.
//!
//! A folder that was removed may be there again after a power failure, and one that was made may be gone, as long as nobody has
//! synced the folder around it. Must never keep a name that the disk has lost.

use super::engine::{Checkpoints, StepEngine};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::boot::Stores;
use storage::disk::{Disk, SimDisk};
use storage::engine::EngineError;
use storage::member::pointer::is_store_name;

/// The member's folder.
pub const MEMBER_DIR: &str = "/member";

#[derive(Default)]
struct Shelf {
    /// Also those that were removed: a power failure may bring them back.
    engines: BTreeMap<String, StepEngine>,
    background_flush: Option<u64>,
}

/// See the file header. Clones share them.
#[derive(Clone)]
pub struct SimStores {
    disk: SimDisk,
    shelf: Arc<Mutex<Shelf>>,
    checkpoints: Checkpoints,
}

fn path(name: &str) -> PathBuf {
    Path::new(MEMBER_DIR).join(name)
}

impl SimStores {
    /// None yet.
    ///
    /// # Panics
    /// When the disk cannot hold a folder.
    pub fn new(disk: &SimDisk) -> Self {
        disk.create_dir_all(Path::new(MEMBER_DIR)).expect("a simulated disk takes every folder");
        Self { disk: disk.clone(), shelf: Arc::default(), checkpoints: Checkpoints::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checkpoints of these stores.
    pub fn checkpoints(&self) -> Checkpoints {
        self.checkpoints.clone()
    }

    /// Stores flush by themselves after every so many batches.
    pub fn set_background_flush(&self, batches: Option<u64>) {
        self.lock().background_flush = batches;
    }

    /// What a crash of the process or the machine leaves. The disk crashes by itself.
    pub fn crash(&self) {
        self.lock().engines.values_mut().for_each(|engine| *engine = engine.crash());
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The machine has stopped in a step of one of them.
    pub fn has_stopped(&self) -> bool {
        self.lock().engines.values().any(StepEngine::has_stopped)
    }

    /// One of those that are there, by number.
    pub fn nth(&self, nth: u64) -> Option<StepEngine> {
        let names = self.list().ok()?;
        let name = names.get((nth % names.len().max(1) as u64) as usize)?;
        self.lock().engines.get(name).cloned()
    }
}

impl Stores for SimStores {
    type Engine = StepEngine;

    fn open(&self, name: &str) -> Result<Arc<StepEngine>, EngineError> {
        let failed = |why: io::Error| EngineError::Io { op: "open", why: why.to_string() };
        let is_new = match self.disk.open(&path(name)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => true,
            found => found.map(|_| false).map_err(failed)?,
        };
        let mut shelf = self.lock();
        if is_new {
            self.disk.create(&path(name)).map_err(failed)?;
            shelf.engines.insert(name.to_owned(), StepEngine::new(self.checkpoints.clone()));
        }
        let background = shelf.background_flush;
        let engine = shelf.engines.entry(name.to_owned()).or_insert_with(|| StepEngine::new(self.checkpoints.clone()));
        engine.set_background_flush(background);
        Ok(Arc::new(engine.clone()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.list(Path::new(MEMBER_DIR))?.into_iter().filter(|name| is_store_name(name)).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&path(name))
    }
}
