//! The applier's part of a rebuild: it holds what is to be applied, swaps to the store that the leader sent, and goes on behind it.
//!
//! Entries that the new store holds already are acknowledged without being applied. Raft still has to hear what became of changes of the
//! membership among them; that follows from the membership before them alone. Where the store before knew none (it stood in for one that could
//! not be opened), raft takes over the membership of the new one instead. Nothing is known of the outcome of the others here: whoever waits for one
//! hears that. Must never move the store pointer to a store that is not ahead of everything that was applied.

use crate::applier::Applier;
use crate::wiring::advance::{Advance, AppliedUpTo, Rebuilt};
use crate::wiring::apply::ApplyBatch;
use crate::wiring::snapshots::StagedStore;
use messages::reply::Outbox;
use messages::{Reply, ReplyBody, RequestError};
use raft::{ConfState, EntryKind};
use storage::apply::{ApplyFatal, ConfVerdict, Membership, verdict};
use storage::engine::Engine;
use storage::member::pointer;

impl<E: Engine> Applier<E> {
    /// Keeps what is to be applied from now on.
    pub fn hold(&mut self) {
        self.rebuilding.held.get_or_insert_default();
    }

    /// Applies what was kept.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub fn resume(&mut self) -> Result<(), ApplyFatal> {
        let Some(held) = self.rebuilding.held.take() else { return Ok(()) };
        let batches = self.passes(held)?;
        if batches.is_empty() { Ok(()) } else { self.apply(batches) }
    }

    /// Swaps to a store that is ahead of everything that was applied, and goes on behind it.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub fn rebuild(&mut self, staged: StagedStore) -> Result<(), ApplyFatal> {
        let (index, hash) = (staged.meta.index, staged.hash);
        let applied = self.store.applied().index;
        assert!(index >= applied, "AI-REBUILD: a store at entry {index} for a member that has applied {applied}");
        let before = self.store.membership()?;
        let membership = knows_none(&before).then(|| staged.membership.clone());
        let install = &self.parts.install;
        pointer::write(install.disk.as_ref(), &install.member, &staged.name)
            .map_err(|why| ApplyFatal::Replaced(why.to_string()))?;
        self.swap(staged)?;
        self.rebuilding.passing = Some((index, before));
        self.parts.core.advance(Advance::Rebuilt(Rebuilt { index, hash, membership }));
        self.resume()
    }

    /// A snapshot replaces log and store: what is held is applied first, unless the store knows no membership, with which nothing can be.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub(crate) fn swap_behind_held(&mut self, staged: StagedStore) -> Result<(), ApplyFatal> {
        let before = self.store.membership()?;
        if !knows_none(&before) {
            self.resume()?;
            return self.swap(staged);
        }
        let index = staged.meta.index;
        self.swap(staged)?;
        self.rebuilding.passing = Some((index, before));
        self.resume()?;
        self.rebuilding.passing = None;
        Ok(())
    }

    /// What is to be applied of these batches now: nothing while they are held, and nothing that the store has.
    pub(crate) fn passes(&mut self, batches: Vec<ApplyBatch>) -> Result<Vec<ApplyBatch>, ApplyFatal> {
        if let Some(held) = &mut self.rebuilding.held {
            held.extend(batches);
            return Ok(Vec::new());
        }
        let Some((until, mut membership)) = self.rebuilding.passing.take() else { return Ok(batches) };
        let mut left = Vec::new();
        let mut last = 0;
        for mut batch in batches {
            let rest = batch.entries.split_off(batch.entries.partition_point(|entry| entry.entry.index <= until));
            let verdicts = self.pass(&batch, &mut membership)?;
            last = batch.entries.last().map_or(last, |entry| entry.entry.index);
            let sequence = batch.sequence;
            if rest.is_empty() {
                let (hashes, membership) = (Vec::new(), None);
                let done = AppliedUpTo { sequence, index: last, verdicts, membership, hashes };
                self.parts.core.advance(Advance::Applied(done));
            } else {
                self.rebuilding.passed.extend(verdicts);
                left.push(ApplyBatch { sequence, entries: rest });
            }
        }
        if left.is_empty() && last < until {
            self.rebuilding.passing = Some((until, membership));
        } else if !knows_none(&membership) && membership.conf_state != *self.store.conf_state() {
            return Err(ApplyFatal::Replaced("its membership was not that of the leader's store".to_owned()));
        }
        Ok(left)
    }

    /// Passes over a batch: what became of changes of the membership in it.
    fn pass(&self, batch: &ApplyBatch, membership: &mut Membership) -> Result<Vec<ConfVerdict>, ApplyFatal> {
        let mut verdicts = Vec::new();
        let mut out = Outbox::default();
        for entry in &batch.entries {
            if let Some((sink, token)) = entry.waiter {
                out.push(sink, Reply { token, body: ReplyBody::Applied(Err(RequestError::Timeout)) });
            }
            if entry.entry.kind != EntryKind::Normal && !knows_none(membership) {
                let change = verdict(std::mem::take(membership), &entry.entry, self.store.revision())?;
                *membership = Membership::clone(&change.membership);
                verdicts.push(change);
            }
        }
        out.flush(&self.parts.sinks);
        Ok(verdicts)
    }
}

/// Of a member that has not been told yet who votes: one that joins, or whose store could not be opened.
fn knows_none(membership: &Membership) -> bool {
    membership.conf_state == ConfState::default()
}
