//! Stores of a member in memory, for tests: each is a deterministic engine that flushes with every batch.
//!
//! Must never touch a disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use storage::boot::Stores;
use storage::engine::EngineError;
use storage::engine::sim::SimEngine;

/// See the file header. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct MemoryStores(Arc<Mutex<BTreeMap<String, Arc<SimEngine>>>>);

impl MemoryStores {
    /// What a restart after a crash finds.
    pub(crate) fn crash(&self) {
        for engine in self.0.lock().unwrap().values_mut() {
            *engine = Arc::new(engine.crash());
        }
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Stores for MemoryStores {
    type Engine = SimEngine;

    fn open(&self, name: &str) -> Result<Arc<SimEngine>, EngineError> {
        let engine = self.0.lock().unwrap().entry(name.to_owned()).or_default().clone();
        engine.set_background_flush(Some(1));
        Ok(engine)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}
