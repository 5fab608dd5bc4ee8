//! The deterministic engine with a crash point at each of its steps: before and after every write, flush and copy.
//!
//! While a step is taken, the view that readers see at that moment is noted, so that a view that does not fit its rows shows
//! whenever it is published. Must never change a row itself.

use actors::store_reads::StoreReads;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::engine::sim::{Fault, SimEngine, SimSnapshot};
use storage::engine::{Engine, EngineError, Family, Load, Op, Snapshot};
use storage::schema::meta;
use storage::view::{View, Views};

/// Where the machine stops within a step of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Steps that still succeed.
    pub after: u64,
    /// The step itself is done before the machine stops.
    pub done: bool,
    /// What was done is flushed, as the engine may do at any time.
    pub flushed: bool,
    /// Only steps in the middle of an entry count.
    pub in_chunk: bool,
}

/// Checkpoints of a machine's stores, by the folder they would be in: nothing here touches a real one.
pub type Checkpoints = Arc<Mutex<BTreeMap<PathBuf, SimEngine>>>;

#[derive(Default)]
struct Inner {
    sim: SimEngine,
    checkpoints: Checkpoints,
    stop: Option<Stop>,
    /// The next write in the middle of an entry fails.
    fail_chunk: Option<Fault>,
    stopped: bool,
    /// Steps of this run.
    steps: u64,
    views: Option<Arc<Views<SimSnapshot>>>,
    seen: Vec<Arc<View<SimSnapshot>>>,
    /// Take a copy behind so many more writes.
    copy_after: Option<u64>,
    copy: Option<SimEngine>,
}

/// See the file header. Clones share it.
#[derive(Clone, Default)]
pub struct StepEngine(Arc<Mutex<Inner>>);

/// Reads over the published views.
pub type Reads = StoreReads<SimSnapshot>;

impl StepEngine {
    /// An empty one, of a machine with these checkpoints.
    pub fn new(checkpoints: Checkpoints) -> Self {
        Self::of(SimEngine::default(), checkpoints)
    }

    fn of(sim: SimEngine, checkpoints: Checkpoints) -> Self {
        Self(Arc::new(Mutex::new(Inner { sim, checkpoints, ..Inner::default() })))
    }

    /// Opens a checkpoint, which is there once.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_checkpoint(checkpoints: &Checkpoints, dir: &Path) -> Result<Self, EngineError> {
        let copy = checkpoints.lock().unwrap_or_else(PoisonError::into_inner).remove(dir);
        let copy = copy.ok_or_else(|| halted("open"))?;
        Ok(Self::of(copy, checkpoints.clone()))
    }

    /// What a restart after a crash finds.
    pub fn crash(&self) -> Self {
        let inner = self.lock();
        Self::of(inner.sim.crash(), inner.checkpoints.clone())
    }

    /// The machine has stopped in a step of this store.
    pub fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Flushes by itself after every so many batches.
    pub fn set_background_flush(&self, batches: Option<u64>) {
        self.lock().sim.set_background_flush(batches);
    }

    /// The machine stops at a later step.
    pub fn stop(&self, stop: Stop) {
        self.lock().stop = Some(stop);
    }

    /// Makes the next write or flush fail.
    pub fn fail(&self, write: bool, fault: Fault) {
        let inner = self.lock();
        if write { inner.sim.fail_next_write(fault) } else { inner.sim.fail_next_flush(fault) }
    }

    /// Makes the next write in the middle of an entry fail.
    pub fn fail_in_chunk(&self, fault: Fault) {
        self.lock().fail_chunk = Some(fault);
    }

    /// The views to look at while steps are taken.
    pub fn watch(&self, views: Arc<Views<SimSnapshot>>) {
        self.lock().views = Some(views);
    }

    /// Views that were in force while steps were taken.
    pub fn take_seen(&self) -> Vec<Arc<View<SimSnapshot>>> {
        std::mem::take(&mut self.lock().seen)
    }

    /// Takes a checkpoint behind so many more writes, wherever in an entry that is.
    pub fn copy_after(&self, writes: u64) {
        self.lock().copy_after = Some(writes);
    }

    /// The checkpoint, once it was taken.
    pub fn take_copy(&self) -> Option<SimEngine> {
        self.lock().copy.take()
    }

    /// A checkpoint now: a flush, then what that left.
    ///
    /// # Errors
    /// When the flush fails or the machine stops.
    pub fn copy(&self) -> Result<SimEngine, EngineError> {
        self.flush()?;
        Ok(self.lock().sim.crash())
    }

    /// An entry is written in part.
    pub fn mid_chunk(&self) -> bool {
        mid_chunk(&self.lock().sim)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mid_chunk(sim: &SimEngine) -> bool {
    matches!(sim.snapshot().get(Family::Meta, meta::CHUNK), Ok(Some(_)))
}

fn halted(op: &'static str) -> EngineError {
    EngineError::Io { op, why: String::from("simulated: the machine has stopped") }
}

impl Inner {
    /// One step: the machine may stop before or behind it.
    fn step(
        &mut self,
        op: &'static str,
        act: impl FnOnce(&SimEngine) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        if self.stopped {
            return Err(halted(op));
        }
        self.steps += 1;
        if let Some(views) = &self.views {
            self.seen.push(views.load());
        }
        let counts = |stop: &Stop| !stop.in_chunk || mid_chunk(&self.sim);
        let due = match &mut self.stop {
            Some(stop) if !counts(stop) => None,
            Some(stop) if stop.after == 0 => Some(*stop),
            Some(stop) => {
                stop.after -= 1;
                None
            }
            None => None,
        };
        let Some(stop) = due else { return act(&self.sim) };
        if stop.done {
            act(&self.sim)?;
        }
        if stop.flushed {
            self.sim.flush()?;
        }
        self.stopped = true;
        Err(halted(op))
    }
}

impl Engine for StepEngine {
    type Snapshot = SimSnapshot;

    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError> {
        let mut inner = self.lock();
        if inner.fail_chunk.is_some()
            && mid_chunk(&inner.sim)
            && let Some(fault) = inner.fail_chunk.take()
        {
            inner.sim.fail_next_write(fault);
        }
        inner.step("write", |sim| sim.write(batch))?;
        match &mut inner.copy_after {
            Some(0) => {
                inner.copy_after = None;
                inner.sim.flush()?;
                inner.copy = Some(inner.sim.crash());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn snapshot(&self) -> SimSnapshot {
        self.lock().sim.snapshot()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.lock().step("flush", Engine::flush)
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.lock().sim.get_persisted(key)
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        let copy = self.copy()?;
        let checkpoints = self.lock().checkpoints.clone();
        checkpoints.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned(), copy);
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }

    fn compact_files(&self, go_on: &dyn Fn() -> bool) -> Result<(), EngineError> {
        self.lock().sim.compact_files(go_on)
    }

    fn load(&self) -> Result<Box<dyn Load>, EngineError> {
        let rows = self.lock().sim.load()?;
        Ok(Box::new(StepLoad { rows, engine: self.clone() }))
    }

    fn closed(&self) -> Box<dyn Fn() -> bool + Send> {
        self.lock().sim.closed()
    }
}

/// Rows on their way in: that they become visible is a step.
struct StepLoad {
    rows: Box<dyn Load>,
    engine: StepEngine,
}

impl Load for StepLoad {
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.rows.put(family, key, value)
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let Self { rows, engine } = *self;
        engine.lock().step("load", |_| rows.finish())
    }
}
