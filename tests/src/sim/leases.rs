//! What clients were promised about leases, against when the lease manager ends them.
//!
//! A promise runs from the moment the client was told. Must never shorten a promise but at the client's own wish.

use super::params::Shape;
use super::violation::{Checked, hold};
use std::collections::{HashMap, HashSet};

/// Microseconds by which clocks of whole milliseconds may differ.
const SLACK: u64 = 3_000;
/// A pause above this is one that the lease manager must notice: it looks every 250 ms and allows 1.5 s.
const NOTICED: u64 = 1_600_000;

/// For so long after a lease has ended, its id may still be ended by the leader's manager, in microseconds of a cluster's run.
const CONTESTED: u64 = 20_000_000;

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Granted,
    /// At the wish of a client, or nobody can say for which of two leases of the same id.
    Revoked,
    /// By a lease manager, because its time was over.
    Ended,
}

/// See the file header.
#[derive(Debug, Default)]
pub struct Promises {
    shape: Shape,
    /// How far clocks run apart, in parts per million.
    drift: u64,
    /// When each lease was granted, revoked or ended, in order.
    changes: HashMap<i64, Vec<(u64, Change)>>,
    /// Until when each lease must live.
    until: HashMap<i64, u64>,
    /// Granted anew before the manager was told that an older lease of this id is gone: it may still end that one, and take the
    /// new one with it, as in etcd, because a revocation names an id and nothing else (`docs/bugs.md`).
    contested: HashSet<i64>,
}

impl Promises {
    /// In a world of this shape.
    pub fn new(shape: Shape, drift: u64) -> Self {
        Self { shape, drift, ..Self::default() }
    }

    /// A client that asked at `since` was told that the lease has so many seconds. In a cluster they run from when the leader said so,
    /// which is some time between, and by its clock.
    pub fn told(&mut self, id: i64, seconds: i64, since: u64, now: u64) {
        if self.contested.contains(&id) {
            return;
        }
        let until = match self.shape {
            Shape::One => now + seconds.max(0) as u64 * 1_000_000,
            Shape::Cluster if self.gone_since(id, since) => return,
            Shape::Cluster => self.promised(seconds, since),
        };
        let known = self.until.entry(id).or_insert(until);
        *known = (*known).max(until);
    }

    /// Until when a lease must live that had so many seconds at some moment from `since` on, by whatever clock.
    fn promised(&self, seconds: i64, since: u64) -> u64 {
        let micros = seconds.max(0) as u64 * 1_000_000;
        since + micros - micros * self.drift / 500_000
    }

    /// A client that asked at `since` is told that a lease was renewed which has gone meanwhile. That is right where the renewal came
    /// before its end, but then the end was that much later.
    pub fn told_late(&self, id: i64, seconds: i64, since: u64) -> Checked {
        let [(ended, Change::Ended)] = self.since(id, since)[..] else { return Ok(()) };
        let until = self.promised(seconds, since);
        hold("SIM-LEASE-HELD", self.shape == Shape::One || ended + SLACK >= until, || {
            format!(
                "AI-13: lease {id} was ended at {ended} us; a renewal that was asked for at {since} us promises {until} us"
            )
        })
    }

    fn since(&self, id: i64, since: u64) -> &[(u64, Change)] {
        let all = self.changes.get(&id).map_or(&[][..], Vec::as_slice);
        &all[all.partition_point(|(at, _)| *at < since)..]
    }

    fn gone_since(&self, id: i64, since: u64) -> bool {
        self.since(id, since).iter().any(|(_, change)| *change != Change::Granted)
    }

    fn change(&mut self, id: i64, now: u64, change: Change) {
        self.changes.entry(id).or_default().push((now, change));
    }

    /// A lease was granted.
    pub fn granted(&mut self, id: i64, now: u64) {
        if self.shape == Shape::Cluster && self.gone_since(id, (now + 1).saturating_sub(CONTESTED)) {
            self.contested.insert(id);
        }
        self.change(id, now, Change::Granted);
    }

    /// The lease was granted or has ended since then.
    pub fn changed_since(&self, id: i64, since: u64) -> bool {
        self.shape == Shape::Cluster && !self.since(id, since).is_empty()
    }

    /// The id is used again while its older lease is being ended.
    pub fn contest(&mut self, id: i64) {
        self.contested.insert(id);
    }

    /// The process stood still for so long.
    pub fn paused(&mut self, from: u64, by: u64) {
        if by > NOTICED && self.shape == Shape::One {
            self.until.values_mut().filter(|until| **until > from).for_each(|until| *until += by);
        }
    }

    /// A lease is gone: by a client's operation, or by the manager itself.
    pub fn revoked(&mut self, id: i64, by_client: bool, now: u64) -> Checked {
        let until = self.until.remove(&id);
        let is_contested = self.contested.remove(&id);
        self.change(id, now, if by_client || is_contested { Change::Revoked } else { Change::Ended });
        hold("SIM-LEASE-HELD", by_client || until.is_none_or(|until| now + SLACK >= until), || {
            format!("AI-13: lease {id} was ended at {now} us, it was promised until {} us", until.unwrap_or(0))
        })
    }
}
