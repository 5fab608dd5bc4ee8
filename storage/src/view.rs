//! The read view: one immutable state of the whole store, published after each batch.
//!
//! Every read, response header, watch start and compaction check takes exactly one view. Must never be held across a
//! client's back-pressure: long streams take a new one and go on by revision.

use crate::engine::Snapshot;
use arc_swap::ArcSwap;
use model::AlarmMember;
use std::sync::Arc;

/// One state of the store.
#[derive(Debug)]
pub struct View<S> {
    /// The rows.
    pub snapshot: S,
    /// Current revision; 1 for an empty store.
    pub revision: i64,
    /// Revision up to which history is forgotten; -1 before any compaction.
    pub compact_revision: i64,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// [`State::logical_bytes`](crate::apply::State::logical_bytes): what the quota is about.
    pub logical_bytes: i64,
    /// [`State::in_use_bytes`](crate::apply::State::in_use_bytes).
    pub live_bytes: i64,
    /// Living keys.
    pub keys: i64,
    /// Standing alarms, ascending.
    pub alarms: Arc<[AlarmMember]>,
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
        let last = self.0.load();
        assert!(
            restored || (next.revision >= last.revision && next.applied_index >= last.applied_index),
            "AI-VIEW-MONOTONE: view moves back from {}@{} to {}@{}",
            last.revision,
            last.applied_index,
            next.revision,
            next.applied_index
        );
        self.0.store(Arc::new(next));
    }
}
