//! The death watch of a thread that `net` runs: the node learns when one ends that should not have.

use actors::death_watch::{DeathWatch, ExitCell};
use net::LoopGuard;

/// See the file header.
pub(crate) struct ThreadGuard(DeathWatch);

impl ThreadGuard {
    pub(crate) fn new(thread: &'static str, exit: ExitCell) -> Self {
        Self(DeathWatch::new(thread, exit))
    }
}

impl LoopGuard for ThreadGuard {
    fn finished(self: Box<Self>) {
        self.0.finish();
    }
}
