//! The one place where owners beside the applier find the engine of the current store. An installed snapshot brings another
//! engine; it is swapped here, once, and nobody keeps a handle of his own across two jobs.
//!
//! Must never be used to write: the applier alone does, through the store it owns.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// See the file header.
#[derive(Debug)]
pub struct StoreCell<E>(ArcSwap<E>);

impl<E> StoreCell<E> {
    /// With the engine of the store that was opened at start.
    pub fn new(engine: Arc<E>) -> Self {
        Self(ArcSwap::new(engine))
    }

    /// The engine of the current store, for one job.
    pub fn load(&self) -> Arc<E> {
        self.0.load_full()
    }

    /// Makes another engine the current one, and gives back the one before it. Jobs that have begun end on that one; it is
    /// closed when the last of them and the last view of it are gone.
    pub fn swap(&self, engine: Arc<E>) -> Arc<E> {
        self.0.swap(engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_has_begun_keeps_its_engine_and_the_next_one_finds_the_new_one() {
        let cell = StoreCell::new(Arc::new("old"));
        let job = cell.load();
        let retired = Arc::downgrade(&cell.swap(Arc::new("new")));
        assert_eq!((*job, *cell.load()), ("old", "new"));
        assert!(retired.upgrade().is_some(), "the job still has it");
        drop(job);
        assert!(retired.upgrade().is_none(), "nobody else kept it");
    }
}
