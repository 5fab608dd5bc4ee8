//! The write side of the store: a pure state machine that turns committed entries into engine batches.
//!
//! What an entry does depends on the entry and on replicated state alone: there is no clock, no flag and no file size in here.
//! All effects of an entry, whatever its kind, and the applied index, term, conf state, revisions and sizes stand in one batch
//! (AI-ONE-COMMIT-POINT), so that replay after a crash is exactly-once: entries at or below the applied index are skipped.
//! Outcomes and rows do not depend on how entries are grouped into calls.
//!
//! An entry with effects beyond [`CHUNK_BYTES`] is written in several batches under a cursor row; the applied index moves with
//! the last one, no view is published before it, and [`Applier::open`] finishes what a crash left half done.
//!
//! **Sizes.** Logical bytes = `log` (16 bytes of key + value, for every row not yet deleted by a compaction) + `cur` (key +
//! value of every row). Live bytes = the part that a compaction at the current revision would leave: `cur`, and the `log` rows
//! of the newest versions of living keys. `hist`, `cnt` and `meta` are not counted. An empty store has zero of both.
//!
//! Must never write after a failed write, and never answer anything itself: the actor around it publishes and replies.

mod ahead;
mod alarm;
mod answer;
mod batch;
mod chunk;
mod command;
mod compact;
pub(crate) mod compare;
mod heads;
mod lease;
mod members;
pub mod meta_rows;
mod open;
mod overlay;
mod prefetch;
mod present;
mod rehome;
mod report;
mod txn;
mod write;

#[cfg(test)]
mod tests;

pub use members::MemberContext;
pub use meta_rows::{FORMAT_VERSION, Identity, LeaseRow, MemberRow, State};
pub use open::{Bootstrap, bootstrap};
pub(crate) use open::{check_format, unfinished_entry};
pub use rehome::rehome;
pub use report::{ApplyFatal, Committed, CompactionProgress, LeaseChange, OpenError, Report, StoreEvent};

use crate::count::{Changes, Counts};
use crate::engine::{Engine, Family};
use crate::schema::meta;
use crate::view::View;
use batch::Batch;
use bytes::Bytes;
use heads::Heads;
use model::mutant::{self, Mutant};
use model::{AlarmMember, Applied, Origin};
use overlay::Written;
use prefetch::Decoded;
use raft::{ConfState, LogId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Effects beyond this many bytes are written in more than one batch.
pub const CHUNK_BYTES: usize = 8 << 20;

/// What the entries of one call did, beside rows.
#[derive(Debug, Default)]
struct Effects {
    events: Vec<StoreEvent>,
    unlisted: Vec<i64>,
    leases: Vec<LeaseChange>,
    alarms: bool,
    compaction: Option<i64>,
    membership: bool,
}

/// The write side of a store. One owner, one thread.
pub struct Applier<E: Engine> {
    engine: Arc<E>,
    /// The rows after the last batch.
    snapshot: E::Snapshot,
    identity: Identity,
    /// Numbers including what `batch` holds.
    now: State,
    /// Numbers after the last batch.
    saved: State,
    conf_state: ConfState,
    cluster_version: Option<String>,
    alarms: Arc<[AlarmMember]>,
    batch: Batch,
    counts: Counts,
    changes: Changes,
    /// Keys that the batch brings to life, and those it removes.
    created: Vec<Bytes>,
    deleted: Vec<Bytes>,
    heads: Heads,
    /// Leases looked up or changed since the last batch.
    leases: HashMap<i64, Option<LeaseRow>>,
    /// Leases with attachments that are not in `snapshot` as they stand.
    reattached: HashSet<i64>,
    /// Writes of the entry at hand in key order, kept only when the entry reads ranges.
    written: Option<Written>,
    /// Effects of the entry at hand have been written in part.
    chunked: bool,
    /// Sub-revision of the next write of the entry at hand.
    sub: i64,
    chunk_bytes: usize,
    /// Bytes that one entry may answer with; another number only in unit tests.
    answer_bytes: u64,
    decoded: VecDeque<Decoded>,
    running: Option<compact::Running>,
    effects: Effects,
}

impl<E: Engine> Applier<E> {
    /// Applies committed entries, in order and without gaps, and writes what they do. Entries applied before are skipped.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop, nothing may be applied after it.
    ///
    /// # Panics
    /// When an index is missing (AI-APPLY-CONTIGUOUS).
    pub fn apply(&mut self, entries: &[Committed]) -> Result<Report<E::Snapshot>, ApplyFatal> {
        self.prefetch(entries.iter().map(|c| &c.entry))?;
        let mut replies = Vec::with_capacity(entries.len());
        for committed in entries {
            let entry = &committed.entry;
            let last = self.now.applied;
            if entry.index <= last.index {
                replies.push(None);
                continue;
            }
            assert!(
                entry.index == last.index + 1 && entry.term >= last.term,
                "AI-APPLY-CONTIGUOUS: entry {}@{} after {}@{}",
                entry.index,
                entry.term,
                last.index,
                last.term
            );
            let reply = self.apply_one(committed)?;
            self.finish_entry(LogId { term: entry.term, index: entry.index })?;
            replies.push(reply);
        }
        self.commit()?;
        self.forget();
        Ok(self.report(replies))
    }

    fn finish_entry(&mut self, id: LogId) -> Result<(), ApplyFatal> {
        self.now.applied = id;
        self.written = None;
        if self.chunked {
            self.batch.delete(Family::Meta, Bytes::from_static(meta::CHUNK));
            self.chunked = false;
            return self.commit();
        }
        if self.batch.bytes() >= self.chunk_bytes { self.commit() } else { Ok(()) }
    }

    /// Writes everything pending in one batch. Afterwards `snapshot` shows it.
    fn commit(&mut self) -> Result<(), ApplyFatal> {
        if self.now != self.saved {
            self.batch.numbers(&self.saved, &self.now);
            self.saved = self.now;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let large = self.batch.bytes() >= self.chunk_bytes;
        self.counts.note(&self.snapshot, &self.created, &self.deleted, self.batch.ops_mut())?;
        self.changes.take(self.batch.ops_mut());
        self.created.clear();
        self.deleted.clear();
        if mutant::on(Mutant::AppliedApart) {
            self.engine.write(self.batch.take_row(meta::APPLIED))?;
        }
        self.engine.write(self.batch.take())?;
        self.snapshot = self.engine.snapshot();
        self.reattached.clear();
        if let Some(written) = &mut self.written {
            written.clear();
        }
        if large || self.heads.len() > heads::KEEP {
            self.heads.clear();
        }
        Ok(())
    }

    /// Drops look-ups nobody will need: memory does not grow with the number of keys.
    fn forget(&mut self) {
        let applied = self.now.applied.index;
        self.decoded.retain(|d| d.index() > applied);
        if self.decoded.is_empty() || self.heads.len() > heads::KEEP {
            self.heads.clear();
        }
        self.leases.clear();
    }

    fn report(&mut self, replies: Vec<Option<(Origin, Applied)>>) -> Report<E::Snapshot> {
        let effects = std::mem::take(&mut self.effects);
        Report {
            replies,
            events: effects.events,
            unlisted: effects.unlisted,
            leases: effects.leases,
            alarms: effects.alarms.then(|| self.alarms.clone()),
            compaction: effects.compaction,
            membership: effects.membership,
            view: self.view(),
        }
    }

    /// The state after everything applied so far.
    pub fn view(&self) -> View<E::Snapshot> {
        View {
            snapshot: self.snapshot.clone(),
            revision: self.saved.revision,
            compact_revision: self.saved.compact,
            applied_index: self.saved.applied.index,
            applied_term: self.saved.applied.term,
            logical_bytes: self.saved.logical_bytes(),
            live_bytes: self.saved.in_use_bytes(),
            keys: self.saved.keys,
            alarms: self.alarms.clone(),
        }
    }

    /// Last applied entry.
    pub fn applied(&self) -> LogId {
        self.saved.applied
    }

    /// Membership as of the applied index.
    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Current revision.
    pub fn revision(&self) -> i64 {
        self.saved.revision
    }

    /// All numbers of the store as of the applied index.
    pub fn state(&self) -> State {
        self.saved
    }

    /// Who the store belongs to.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The settled cluster version, if there is one yet.
    pub fn cluster_version(&self) -> Option<&str> {
        self.cluster_version.as_deref()
    }

    /// Standing alarms, ascending.
    pub fn alarms(&self) -> Arc<[AlarmMember]> {
        self.alarms.clone()
    }
}
