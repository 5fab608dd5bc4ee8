//! An engine that dies at a chosen batch, so that a crash can fall between any two of them.
//!
//! Must never lose a batch before that: what is lost beyond it is up to the flushes of the engine inside.

use crate::engine::sim::{Fault, SimEngine, SimSnapshot};
use crate::engine::{Engine, EngineError, Load, Op};
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct CutEngine {
    pub(super) inner: SimEngine,
    /// Batches that still get through.
    left: AtomicUsize,
}

impl CutEngine {
    pub(super) fn new(inner: SimEngine, batches: usize) -> Self {
        Self { inner, left: AtomicUsize::new(batches) }
    }
}

impl Engine for CutEngine {
    type Snapshot = SimSnapshot;

    fn write(&self, batch: Vec<Op>) -> Result<(), EngineError> {
        match self.left.load(Ordering::Relaxed) {
            0 => self.inner.fail_next_write(Fault::Io),
            left => self.left.store(left - 1, Ordering::Relaxed),
        }
        self.inner.write(batch)
    }

    fn snapshot(&self) -> SimSnapshot {
        self.inner.snapshot()
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.inner.flush()
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.inner.get_persisted(key)
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        self.inner.checkpoint(dir)
    }

    fn disk_bytes(&self) -> u64 {
        self.inner.disk_bytes()
    }

    fn compact_files(&self, go_on: &dyn Fn() -> bool) -> Result<(), EngineError> {
        self.inner.compact_files(go_on)
    }

    fn load(&self) -> Result<Box<dyn Load>, EngineError> {
        self.inner.load()
    }

    fn closed(&self) -> Box<dyn Fn() -> bool + Send> {
        self.inner.closed()
    }
}
