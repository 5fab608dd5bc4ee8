//! When leases end: a table and its deadlines in order. Pure: time comes in as milliseconds of a clock that never goes back.
//!
//! A lease is never ended before its time: a doubt (a new leader, a paused process, a lost answer) always lengthens it. Only
//! the leader ends leases, by proposals that are void in any other term. Must never change the replicated table itself.

use super::checkpoints::{CHECKPOINT_INTERVAL, Checkpoints};
use crate::wiring::leases::{RoleChanged, StoredLease};
use model::mutant::{self, Mutant};
use std::collections::{BTreeSet, HashMap, VecDeque};
use storage::apply::LeaseChange;

/// Milliseconds between two checks of the deadlines.
pub const TICK: u64 = 500;
/// Leases ended per check at most.
const ENDS_PER_TICK: usize = 500;
/// Revocations proposed and not yet answered.
const IN_FLIGHT: usize = 16;
/// Milliseconds after which a revocation that was refused is proposed again if the lease still exists. One whose outcome is
/// unknown stands in the log: proposed twice, it could end a lease that was granted anew under the same id meanwhile.
pub(super) const RETRY: u64 = 3_000;
/// After a change of leader no more leases than this end in any second.
const ENDS_PER_SECOND: usize = 750;
/// A shorter gap between two ticks is no pause of the process, however short elections are.
const SHORTEST_PAUSE: u64 = 3 * TICK;
/// No deadline.
const NEVER: u64 = u64::MAX;

/// What every lease costs: ids and deadlines are kept besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// Granted seconds.
    pub(super) ttl: i64,
    /// When it ends by [`Leases::clock`]; never, while this member does not lead.
    pub(super) expiry: u64,
}

/// How far the revocation of a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Queued,
    /// Out: it stands in the log, until it is applied, refused, or its term is over.
    Proposed,
    /// Refused, to be proposed again at this time.
    Failed(u64),
}

/// A revocation to be proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoke {
    /// The lease.
    pub id: i64,
    /// The only term in which it may have an effect.
    pub term: u64,
}

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It has so many seconds again.
    Renewed {
        /// Seconds.
        ttl: i64,
    },
    /// There is no such lease.
    Unknown,
    /// It has ended and its revocation is on its way: to be answered when it is gone.
    Ended,
    /// Its checkpoint has to be cleared first, by a proposal.
    Checkpointed,
    /// This member does not lead.
    NotLeader,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// Granted since the start.
    pub granted: u64,
    /// Revoked since the start.
    pub revoked: u64,
    /// Renewed since the start.
    pub renewed: u64,
    /// Ended since the start.
    pub expired: u64,
}

/// The table.
#[derive(Debug)]
pub struct Leases {
    pub(super) table: HashMap<i64, Lease>,
    pub(super) checkpoints: Checkpoints,
    /// Milliseconds between two checkpoints of a lease.
    pub(super) checkpoint_interval: u64,
    /// An entry with checkpoints is on its way.
    pub(super) checkpoint_out: bool,
    /// Deadlines of all leases that have one and have not ended.
    deadlines: BTreeSet<(u64, i64)>,
    /// Leases that ended.
    ending: HashMap<i64, Ending>,
    /// Ended, to be proposed.
    queued: VecDeque<i64>,
    in_flight: usize,
    /// Refused: when to try again, lease.
    retries: VecDeque<(u64, i64)>,
    pub(super) leading: Option<u64>,
    election_timeout: u64,
    now: u64,
    /// By how much the clock was held back for pauses of the process.
    paused: u64,
    /// When the deadlines are looked at next.
    next_check: u64,
    counts: LeaseCounts,
}

impl Leases {
    /// A table of what the store holds. `election_timeout` in milliseconds.
    pub fn new(stored: impl IntoIterator<Item = StoredLease>, election_timeout: u64, now: u64) -> Self {
        let mut leases = Self {
            table: HashMap::new(),
            checkpoints: Checkpoints::default(),
            checkpoint_interval: CHECKPOINT_INTERVAL,
            checkpoint_out: false,
            deadlines: BTreeSet::new(),
            ending: HashMap::new(),
            queued: VecDeque::new(),
            in_flight: 0,
            retries: VecDeque::new(),
            leading: None,
            election_timeout,
            now,
            paused: 0,
            next_check: now,
            counts: LeaseCounts::default(),
        };
        leases.fill(stored);
        leases
    }

    /// The same with another time between two checkpoints of a lease.
    #[must_use]
    pub fn with_checkpoint_interval(self, millis: u64) -> Self {
        Self { checkpoint_interval: millis, ..self }
    }

    /// Another store took the place of the one before: these are all leases there are. A leader gives them the time that a new
    /// one would.
    pub fn rebuild(&mut self, stored: impl IntoIterator<Item = StoredLease>) {
        self.table.clear();
        self.checkpoints = Checkpoints::default();
        self.fill(stored);
        self.forget_deadlines();
        if self.leading.is_some() {
            self.promote();
        }
    }

    fn fill(&mut self, stored: impl IntoIterator<Item = StoredLease>) {
        for StoredLease { id, ttl, remaining } in stored {
            self.checkpoints.stored(id, remaining);
            self.table.insert(id, Lease { ttl, expiry: NEVER });
        }
    }

    /// Leases in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True without any lease.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// What happened since the start.
    pub fn counts(&self) -> LeaseCounts {
        self.counts
    }

    /// The term in which this member leads.
    pub fn leading(&self) -> Option<u64> {
        self.leading
    }

    /// Whether the lease exists.
    pub fn exists(&self, id: i64) -> bool {
        self.table.contains_key(&id)
    }

    /// Time passed. A gap longer than an election timeout means that the process was paused: every lease gets it back.
    pub fn tick(&mut self, now: u64) {
        let gap = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if gap > self.election_timeout.max(SHORTEST_PAUSE) && !mutant::on(Mutant::PauseIgnored) {
            // deadlines are kept on a clock that stood still during pauses
            self.paused += gap;
        }
        if self.leading.is_none() || self.now < self.next_check {
            return;
        }
        self.next_check = self.now + TICK;
        self.queue_retries();
        self.queue_ended();
    }

    /// Revocations to propose now; each is out until it is refused, its lease is gone, or this member ceases to lead.
    pub fn take_revokes(&mut self) -> Vec<Revoke> {
        let Some(term) = self.leading else { return Vec::new() };
        let mut out = Vec::new();
        while self.in_flight < IN_FLIGHT
            && let Some(id) = self.queued.pop_front()
        {
            let Some(ending) = self.ending.get_mut(&id).filter(|e| **e == Ending::Queued) else { continue };
            *ending = Ending::Proposed;
            self.in_flight += 1;
            out.push(Revoke { id, term });
        }
        out
    }

    /// A revocation was refused and certainly had no effect: it is tried again later, if the lease still exists.
    pub fn revoke_failed(&mut self, id: i64) {
        if let Some(ending) = self.ending.get_mut(&id).filter(|e| **e == Ending::Proposed) {
            let due = self.now + RETRY;
            *ending = Ending::Failed(due);
            self.in_flight -= 1;
            self.retries.push_back((due, id));
        }
    }

    /// A replicated change.
    pub fn change(&mut self, change: LeaseChange) {
        match change {
            LeaseChange::Granted { id, ttl } => {
                self.remove(id);
                self.counts.granted += 1;
                self.table.insert(id, Lease { ttl, expiry: NEVER });
                self.extend(id, millis(ttl));
                self.plan_checkpoint(id);
            }
            LeaseChange::Revoked { id } => self.counts.revoked += u64::from(self.remove(id)),
            LeaseChange::Checkpoint { id, remaining_ttl } if self.exists(id) => {
                self.checkpoints.applied(id, remaining_ttl);
                if !self.checkpoints.is_scheduled(id) {
                    self.plan_checkpoint(id);
                }
            }
            LeaseChange::Checkpoint { .. } => {}
        }
    }

    fn remove(&mut self, id: i64) -> bool {
        let Some(lease) = self.table.remove(&id) else { return false };
        self.checkpoints.remove(id);
        self.deadlines.remove(&(lease.expiry, id));
        if let Some(Ending::Proposed) = self.ending.remove(&id) {
            self.in_flight -= 1;
        }
        true
    }

    /// This member began or stopped to lead.
    pub fn role(&mut self, role: RoleChanged) {
        let leading = role.leading.then_some(role.term);
        if leading == self.leading {
            return;
        }
        self.leading = leading;
        self.table.values_mut().for_each(|lease| lease.expiry = NEVER);
        self.checkpoints.forget_term();
        self.forget_deadlines();
        if leading.is_some() {
            self.promote();
        }
    }

    fn forget_deadlines(&mut self) {
        self.checkpoint_out = false;
        self.deadlines.clear();
        self.ending.clear();
        self.queued.clear();
        self.retries.clear();
        self.in_flight = 0;
    }

    /// Everybody gets the full or checkpointed TTL and an election timeout; pile-ups are spread over later seconds.
    fn promote(&mut self) {
        let base = self.clock() + self.election_timeout;
        let mut ends: Vec<(u64, i64)> =
            self.table.iter().map(|(id, l)| (base.saturating_add(self.left(*id, l)), *id)).collect();
        ends.sort_unstable();
        for nth in ENDS_PER_SECOND..ends.len() {
            // the one that came so many places before must be a second earlier
            ends[nth].0 = ends[nth].0.max(ends[nth - ENDS_PER_SECOND].0.saturating_add(1_000));
        }
        for (expiry, id) in &ends {
            self.table.get_mut(id).expect("listed from the table").expiry = *expiry;
        }
        for (_, id) in &ends {
            self.plan_checkpoint(*id);
        }
        self.deadlines = ends.into_iter().collect();
        self.next_check = self.now;
    }

    /// Keeps a lease alive. Only to be called after the leadership was confirmed.
    pub fn renew(&mut self, id: i64) -> Renewal {
        if self.leading.is_none() {
            return Renewal::NotLeader;
        }
        let Some(lease) = self.table.get(&id).copied() else { return Renewal::Unknown };
        if self.ending.contains_key(&id) || lease.expiry <= self.clock() {
            return Renewal::Ended;
        }
        if self.checkpoints.must_clear(id) {
            return Renewal::Checkpointed;
        }
        self.counts.renewed += 1;
        self.extend(id, millis(lease.ttl));
        Renewal::Renewed { ttl: lease.ttl }
    }

    /// Granted and remaining seconds, cut to whole seconds as etcd does; an ended lease that is still there has none left.
    pub fn time_to_live(&self, id: i64) -> Option<(i64, i64)> {
        let lease = self.table.get(&id)?;
        let left = match lease.expiry {
            NEVER => self.left(id, lease),
            expiry => expiry.saturating_sub(self.clock()),
        };
        Some((lease.ttl, (left / 1_000) as i64))
    }

    /// Ids by expiry.
    pub fn list(&self) -> Vec<i64> {
        let mut all: Vec<(u64, i64)> = self.table.iter().map(|(id, lease)| (lease.expiry, *id)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Milliseconds a lease has when a leader takes over.
    pub(super) fn left(&self, id: i64, lease: &Lease) -> u64 {
        millis(self.checkpoints.remaining(id).unwrap_or(lease.ttl))
    }

    /// The clock deadlines are on: it stood still during pauses.
    pub(super) fn clock(&self) -> u64 {
        self.now - self.paused.min(self.now)
    }

    fn extend(&mut self, id: i64, by: u64) {
        let expiry = self.clock().saturating_add(by);
        let leading = self.leading.is_some();
        let Some(lease) = self.table.get_mut(&id).filter(|_| leading) else { return };
        self.deadlines.remove(&(lease.expiry, id));
        // the client is told this and no more: what a new leader added is taken back, as in etcd
        lease.expiry = expiry;
        self.deadlines.insert((expiry, id));
    }

    /// Queues leases whose time has come.
    fn queue_ended(&mut self) {
        let clock = self.clock();
        while self.queued.len() < ENDS_PER_TICK
            && let Some(first) = self.deadlines.first().copied()
            && first.0 <= clock
        {
            self.deadlines.remove(&first);
            self.ending.insert(first.1, Ending::Queued);
            self.queued.push_back(first.1);
            self.counts.expired += 1;
        }
    }

    /// Queues again what was refused a while ago and still exists.
    fn queue_retries(&mut self) {
        while let Some((due, id)) = self.retries.front().copied()
            && due <= self.now
        {
            self.retries.pop_front();
            // a lease of the same id may have been granted since
            if self.ending.get(&id) == Some(&Ending::Failed(due)) {
                self.ending.insert(id, Ending::Queued);
                self.queued.push_back(id);
            }
        }
    }
}

pub(super) fn millis(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}
