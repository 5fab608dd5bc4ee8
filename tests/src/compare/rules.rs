//! How a server may differ from the specification: one name for each allowance, and a count of how often it was used.
//!
//! Must never allow more than its text says.

use std::collections::BTreeMap;

/// An allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowance {
    /// etcd sorts more than twelve key-values unstably: which of several equal ones comes first, and which are cut off by a
    /// limit, is open.
    SortTies,
    /// etcd sorts each chunk of a RangeStream by itself when a target is given without an order, goes on (and counts what a limit
    /// left) behind the key that is last in that order: it skips or repeats keys. Only the header is compared when there are
    /// several chunks or a limit cuts.
    SortedChunks,
    /// Conclave answers a progress request late rather than never when a watcher is still catching up.
    LateProgress,
}

/// What a server is allowed.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    allowed: Vec<Allowance>,
    /// How often each was needed.
    pub used: BTreeMap<Allowance, u64>,
}

impl Rules {
    /// What etcd 3.7.1 is allowed.
    pub fn etcd() -> Self {
        Self { allowed: vec![Allowance::SortTies, Allowance::SortedChunks], used: BTreeMap::new() }
    }

    /// What Conclave is allowed: see docs/compat.md.
    pub fn conclave() -> Self {
        Self { allowed: vec![Allowance::LateProgress], used: BTreeMap::new() }
    }

    /// True when something is allowed.
    pub fn allows(&self, what: Allowance) -> bool {
        self.allowed.contains(&what)
    }

    /// Uses an allowance; false when the server does not have it.
    pub fn take(&mut self, what: Allowance) -> bool {
        let allowed = self.allows(what);
        if allowed {
            *self.used.entry(what).or_default() += 1;
        }
        allowed
    }
}
