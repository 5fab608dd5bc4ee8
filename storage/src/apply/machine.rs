//! The state machine itself: what it holds, and the loop that applies entries and writes their batches.
//!
//! What single commands do to it is in the other files of this folder. Must never be shared: one owner, one thread.

use super::batch::Batch;
use super::decoded::Decoded;
use super::meta_rows::{LeaseRow, MemberIds, State};
use super::overlay::Written;
use super::report::{
    ApplyFatal, Committed, ConfVerdict, LeaseChange, Report, ScheduledCompaction, StoreEvent, V2Applied,
};
use super::running::RunningHash;
use super::slot::{Heads, KEEP};
use crate::auth::{AuthState, TokenChange};
use crate::count::{Changes, Counts, KeyChanges};
use crate::engine::{Engine, Family, Snapshot};
use crate::read::Compaction;
use crate::schema::meta;
use crate::v2::{Head, V2State};
use crate::view::View;
use bytes::Bytes;
use model::mutant::{self, Mutant};
use model::{AlarmMember, Applied, Origin, StoreStatus};
use raft::{ConfState, LogId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Effects beyond this many bytes are written in more than one batch.
pub const CHUNK_BYTES: usize = 8 << 20;

/// What the entries of one call did, beside rows.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) events: Vec<StoreEvent>,
    pub(super) unlisted: Vec<i64>,
    pub(super) leases: Vec<LeaseChange>,
    pub(super) alarms: bool,
    pub(super) compactions: Vec<ScheduledCompaction>,
    pub(super) membership: bool,
    pub(super) verdicts: Vec<ConfVerdict>,
    pub(super) tokens: Vec<TokenChange>,
    pub(super) v2: Vec<V2Applied>,
    pub(super) hashes: Vec<(u64, u64)>,
}

/// The write side of a store: the replicated state machine. One owner, one thread.
pub struct StateMachine<E: Engine> {
    pub(super) engine: Arc<E>,
    /// The rows after the last batch.
    pub(super) snapshot: E::Snapshot,
    pub(super) identity: MemberIds,
    /// Numbers including what `batch` holds.
    pub(super) now: State,
    /// Numbers after the last batch.
    pub(super) saved: State,
    pub(super) conf_state: ConfState,
    pub(super) cluster_version: Option<String>,
    pub(super) alarms: Arc<[AlarmMember]>,
    /// Users and roles including what `batch` holds.
    pub(super) auth: Arc<AuthState>,
    /// The v2 tree, including what `batch` holds.
    pub(super) v2: V2State,
    /// Its numbers after the last batch.
    pub(super) saved_v2: Head,
    pub(super) batch: Batch,
    pub(super) counts: Counts,
    pub(super) changes: Changes,
    /// Keys that the batch brings to life, and those it removes.
    pub(super) created: Vec<Bytes>,
    pub(super) deleted: Vec<Bytes>,
    pub(super) heads: Heads,
    /// Leases looked up or changed since the last batch.
    pub(super) leases: HashMap<i64, Option<LeaseRow>>,
    /// Leases with attachments that are not in `snapshot` as they stand.
    pub(super) reattached: HashSet<i64>,
    /// Writes of the entry at hand in key order, kept only when the entry reads ranges.
    pub(super) written: Option<Written>,
    /// The running hash begins anew behind the entry at hand.
    pub(super) begins_hash: bool,
    /// Effects of the entry at hand have been written in part.
    pub(super) chunked: bool,
    /// Sub-revision of the next write of the entry at hand.
    pub(super) sub: i64,
    pub(super) chunk_bytes: usize,
    /// Bytes that one entry may answer with; another number only in unit tests.
    pub(super) answer_bytes: u64,
    pub(super) decoded: VecDeque<Decoded>,
    pub(super) compaction: Option<Compaction>,
    pub(super) effects: Effects,
}

impl<E: Engine> StateMachine<E> {
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
        self.report(replies)
    }

    pub(super) fn finish_entry(&mut self, id: LogId) -> Result<(), ApplyFatal> {
        self.now.applied = id;
        self.advance_hash(id);
        self.written = None;
        if self.chunked {
            self.batch.delete_own(Family::Meta, Bytes::from_static(meta::CHUNK));
            self.chunked = false;
            return self.commit();
        }
        if self.batch.bytes() >= self.chunk_bytes { self.commit() } else { Ok(()) }
    }

    /// The running hash moves on behind the entry at hand.
    fn advance_hash(&mut self, id: LogId) {
        let effects = std::mem::take(&mut self.batch.digest);
        let next = match std::mem::take(&mut self.begins_hash) {
            true => Some(RunningHash::start(id.index)),
            false => self.now.running.map(|hash| hash.next(id, effects, self.now.hashed())),
        };
        self.now.running = next;
        self.effects.hashes.extend(next.map(|hash| (id.index, hash.value())));
    }

    /// Writes everything pending in one batch. Afterwards `snapshot` shows it.
    pub(super) fn commit(&mut self) -> Result<(), ApplyFatal> {
        if self.now != self.saved {
            self.batch.numbers(&self.saved, &self.now);
            self.saved = self.now;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let large = self.batch.bytes() >= self.chunk_bytes;
        let changes = KeyChanges {
            // An entry that is written in part has not closed its revision yet.
            revision: self.now.revision + i64::from(self.sub > 0),
            created: &self.created,
            deleted: &self.deleted,
        };
        self.counts.note(&self.snapshot, changes, self.batch.ops_mut())?;
        self.changes.take(self.batch.ops_mut());
        self.created.clear();
        self.deleted.clear();
        if mutant::on(Mutant::AppliedApart) {
            self.engine.write(self.batch.take_row(meta::APPLIED))?;
        }
        if mutant::on(Mutant::AuthIndexUnsaved) && self.batch.is_about_users_alone() {
            drop(self.batch.take_row(meta::APPLIED));
        }
        self.engine.write(self.batch.take())?;
        self.snapshot = self.engine.snapshot().with_empty_stretches(self.counts.empty_stretches());
        self.reattached.clear();
        self.v2.forget_written();
        self.saved_v2 = self.v2.head();
        if let Some(written) = &mut self.written {
            written.clear();
        }
        if large || self.heads.len() > KEEP {
            self.heads.clear();
        }
        Ok(())
    }

    /// Drops look-ups nobody will need: memory does not grow with the number of keys.
    pub(super) fn forget(&mut self) {
        let applied = self.now.applied.index;
        self.decoded.retain(|d| d.index() > applied);
        if self.decoded.is_empty() || self.heads.len() > KEEP {
            self.heads.clear();
        }
        self.leases.clear();
    }

    fn report(&mut self, replies: Vec<Option<(Origin, Applied)>>) -> Result<Report<E::Snapshot>, ApplyFatal> {
        let effects = std::mem::take(&mut self.effects);
        let membership = if effects.membership { Some(Arc::new(self.membership()?)) } else { None };
        Ok(Report {
            replies,
            events: effects.events,
            unlisted: effects.unlisted,
            leases: effects.leases,
            alarms: effects.alarms.then(|| self.alarms.clone()),
            compactions: effects.compactions,
            verdicts: effects.verdicts,
            tokens: effects.tokens,
            v2: effects.v2,
            hashes: effects.hashes,
            membership,
            view: self.view(),
        })
    }

    /// The state after everything applied so far.
    pub fn view(&self) -> View<E::Snapshot> {
        let status = StoreStatus {
            revision: self.saved.revision,
            compact_revision: self.saved.compact,
            applied_index: self.saved.applied.index,
            applied_term: self.saved.applied.term,
            logical_bytes: self.saved.logical_bytes() + self.saved_v2.bytes,
            live_bytes: self.saved.in_use_bytes() + self.saved_v2.bytes,
            keys: self.saved.keys,
            alarms: self.alarms.clone(),
        };
        View { snapshot: self.snapshot.clone(), auth: self.auth.clone(), v2: self.saved_v2, status }
    }

    /// Last applied entry.
    pub fn applied(&self) -> LogId {
        self.saved.applied
    }

    /// Membership as of the applied index.
    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Applied index and the running hash there, if it is known.
    pub fn running_hash(&self) -> Option<(u64, u64)> {
        Some((self.saved.applied.index, self.saved.running?.value()))
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
    pub fn identity(&self) -> MemberIds {
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
