//! The read view: one immutable state of the whole store, published after each batch.
//!
//! Every read, response header, watch start and compaction check takes exactly one view. Must never be held across a
//! client's back-pressure: long streams take a new one and go on by revision.

use crate::auth::AuthState;
use crate::engine::Snapshot;
use crate::v2::Head;
use arc_swap::ArcSwap;
use model::StoreStatus;
use std::sync::Arc;

/// One state of the store.
#[derive(Clone, Debug)]
pub struct View<S> {
    /// The rows.
    pub snapshot: S,
    /// Users and roles, as the rows have them.
    pub auth: Arc<AuthState>,
    /// Numbers of the v2 tree, as the rows have them.
    pub v2: Head,
    /// The numbers that belong to them.
    pub status: StoreStatus,
}

/// Where the newest view stands. The applier alone publishes.
#[derive(Debug)]
pub struct Views<S>(ArcSwap<View<S>>);

impl<S: Snapshot> Views<S> {
    /// Starts with the view of a store that was just opened.
    pub fn new(first: View<S>) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The newest view.
    pub fn load(&self) -> Arc<View<S>> {
        self.0.load_full()
    }

    /// Publishes the next view.
    ///
    /// # Panics
    /// When revision or applied index would move back (invariant AI-VIEW-MONOTONE), unless `restored` says that a
    /// snapshot was installed.
    pub fn publish(&self, next: View<S>, restored: bool) {
        let from = &self.0.load().status;
        let to = &next.status;
        assert!(
            restored || (to.revision >= from.revision && to.applied_index >= from.applied_index),
            "AI-VIEW-MONOTONE: view moves back from {}@{} to {}@{}",
            from.revision,
            from.applied_index,
            to.revision,
            to.applied_index
        );
        self.0.store(Arc::new(next));
    }
}
