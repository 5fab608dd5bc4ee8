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

/// See the file header.
#[derive(Debug, Default)]
pub struct Promises {
    shape: Shape,
    /// How far clocks run apart, in parts per million.
    drift: u64,
    /// When each lease was granted or ended last.
    changed: HashMap<i64, u64>,
    /// When each lease ended last.
    ended: HashMap<i64, u64>,
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
        let micros = seconds.max(0) as u64 * 1_000_000;
        let until = match self.shape {
            Shape::One => now + micros,
            Shape::Cluster if self.changed_since(id, since) && self.ended.get(&id).is_some_and(|at| *at >= since) => {
                return;
            }
            Shape::Cluster => (since + micros - micros * self.drift / 500_000).max(since),
        };
        let known = self.until.entry(id).or_insert(until);
        *known = (*known).max(until);
    }

    /// A lease was granted.
    pub fn granted(&mut self, id: i64, now: u64) {
        if self.shape == Shape::Cluster && self.ended.get(&id).is_some_and(|at| now - at < CONTESTED) {
            self.contested.insert(id);
        }
        self.changed.insert(id, now);
    }

    /// The lease was granted or has ended since then.
    pub fn changed_since(&self, id: i64, since: u64) -> bool {
        self.shape == Shape::Cluster && self.changed.get(&id).is_some_and(|at| *at >= since)
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
        self.changed.insert(id, now);
        self.ended.insert(id, now);
        self.contested.remove(&id);
        hold("SIM-LEASE-HELD", by_client || until.is_none_or(|until| now + SLACK >= until), || {
            format!("AI-13: lease {id} was ended at {now} us, it was promised until {} us", until.unwrap_or(0))
        })
    }
}
