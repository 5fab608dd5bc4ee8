//! The applier's part of an install: the staged store takes the place of the present one, and everybody who reads it learns of that.
//!
//! The order is fixed: swap, publish, tokens, engine of the other owners, leases, hub, members; in an install then the log. Reads go on with the old store until
//! the new view is published; the old one is closed and removed elsewhere, behind its last view. Must never be begun before the log
//! has recorded the install.

use crate::applier::{Applier, peers_of};
use crate::wiring::events::Advanced;
use crate::wiring::leases::{RebuildLeases, StoredLease};
use crate::wiring::snapshots::{Installed, StagedStore, ToSnapshotter};
use crate::wiring::wal::ToWal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use storage::apply::{ApplyFatal, StateMachine as Store};
use storage::engine::Engine;

/// What a [`StagedStore`] carries.
pub(crate) struct OpenedStore<E: Engine> {
    pub(crate) store: Store<E>,
    pub(crate) engine: Arc<E>,
}

impl<E: Engine> Applier<E> {
    /// Swaps the store.
    ///
    /// # Errors
    /// [`ApplyFatal`] when the new store cannot be read: the node must stop.
    ///
    /// # Panics
    /// When the store is one of another engine (AI-STAGED).
    pub fn install(&mut self, staged: StagedStore) -> Result<(), ApplyFatal> {
        self.swap_behind_held(staged)?;
        // a closed queue means that the log ended already
        let told = self.parts.install.wal.try_send(ToWal::Installed);
        assert!(!matches!(told, Err(crossbeam_channel::TrySendError::Full(_))), "AI-CREDITS: WAL queue");
        Ok(())
    }

    /// The same without the log, whose part is done or not needed.
    pub(crate) fn swap(&mut self, staged: StagedStore) -> Result<(), ApplyFatal> {
        let StagedStore { name, store, membership, .. } = staged;
        let opened = store.downcast::<OpenedStore<E>>().expect("AI-STAGED: stores of a member have one kind of engine");
        let OpenedStore { store, engine } = *opened;
        tracing::info!(store = name, "applySnapshot: opened snapshot backend");
        let (revision, shown) = (store.revision(), self.shown);
        let fenced = self.parts.gauges.fenced.load(Ordering::Acquire);
        if fenced && revision < shown {
            return Err(ApplyFatal::Replaced(format!(
                "it had shown revision {shown} to its watchers, and {revision} is the right one"
            )));
        }
        let before = std::mem::replace(&mut self.store, store);
        let view = self.store.view();
        let status = view.status.clone();
        let leases = storage::read::meta::leases(&view).map_err(ApplyFatal::Read)?;
        // it never moves back but for data that was wrong: raft takes no snapshot of what is committed here
        self.parts.views.publish(view, fenced);
        self.shown = revision;
        self.parts.gauges.fenced.store(false, Ordering::Release);
        // what was done to users meanwhile is not known one by one; their clients log in again
        self.parts.tokens.end_all();
        let retired = self.parts.install.cell.swap(engine);
        // its snapshot and its engine; the engine itself is closed where `retired` is dropped
        drop(before);
        let stored = leases.into_iter().map(|(id, row)| StoredLease { id, ttl: row.ttl, remaining: row.remaining });
        self.parts.gauges.lease_notices.fetch_add(1, Ordering::AcqRel);
        self.parts.install.leases.send(RebuildLeases { stored: stored.collect() });
        self.parts.hub.send(Advanced {
            revision: status.revision,
            compact_revision: status.compact_revision,
            events: None,
            restored: true,
        });
        self.parts.members.send(peers_of(&membership));
        self.wake_v2_watchers();
        // a compaction that its sender had not finished goes on here
        self.compacting = true;
        self.next_step = Instant::now();
        self.parts.gauges.measured.installing.store(0, Ordering::Relaxed);
        tracing::info!(index = status.applied_index, revision = status.revision, "applied snapshot");
        let closed = retired.closed();
        let installed = Installed { name, retired: Box::new(retired), closed };
        // a queue that is full or closed leaves the old store to the next start
        let _ = self.parts.install.snapshots.try_send(ToSnapshotter::Installed(installed));
        Ok(())
    }
}
