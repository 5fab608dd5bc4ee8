//! What clients were promised about leases, against when the lease manager ends them.
//!
//! A promise runs from the moment the client was told. Must never shorten a promise but at the client's own wish.

use super::violation::{Checked, hold};
use std::collections::{HashMap, HashSet};

/// Microseconds by which clocks of whole milliseconds may differ.
const SLACK: u64 = 3_000;
/// A pause above this is one that the lease manager must notice: it looks every 250 ms and allows 1.5 s.
const NOTICED: u64 = 1_600_000;

/// See the file header.
#[derive(Debug, Default)]
pub struct Promises {
    /// Until when each lease must live.
    until: HashMap<i64, u64>,
    /// Granted anew before the manager was told that an older lease of this id is gone: it may still end that one, and take the
    /// new one with it, as in etcd, because a revocation names an id and nothing else (`docs/bugs.md`).
    contested: HashSet<i64>,
}

impl Promises {
    /// A client was told that the lease has so many seconds.
    pub fn told(&mut self, id: i64, seconds: i64, now: u64) {
        if self.contested.contains(&id) {
            return;
        }
        let until = now + seconds.max(0) as u64 * 1_000_000;
        let known = self.until.entry(id).or_insert(until);
        *known = (*known).max(until);
    }

    /// The id is used again while its older lease is being ended.
    pub fn contest(&mut self, id: i64) {
        self.contested.insert(id);
    }

    /// The process stood still for so long.
    pub fn paused(&mut self, from: u64, by: u64) {
        if by > NOTICED {
            self.until.values_mut().filter(|until| **until > from).for_each(|until| *until += by);
        }
    }

    /// A lease is gone: by a client's operation, or by the manager itself.
    pub fn revoked(&mut self, id: i64, by_client: bool, now: u64) -> Checked {
        let until = self.until.remove(&id);
        self.contested.remove(&id);
        hold("SIM-LEASE-HELD", by_client || until.is_none_or(|until| now + SLACK >= until), || {
            format!("AI-13: lease {id} was ended at {now} us, it was promised until {} us", until.unwrap_or(0))
        })
    }
}
