//! WAL writer, applier, flusher → raft core (etcd's advancec). Cannot meet a full queue: bounded by credits.

use std::sync::Arc;
use storage::apply::{ConfVerdict, Membership};

/// Appends up to `sequence` are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persisted {
    /// Number of the last durable batch.
    pub sequence: u64,
}

/// Batches up to `sequence` are applied and visible in the published view.
#[derive(Clone, Debug, PartialEq)]
pub struct AppliedUpTo {
    /// Number of the last applied batch.
    pub sequence: u64,
    /// Applied index.
    pub index: u64,
    /// What became of the conf changes among the entries, ascending: the core switches by them.
    pub verdicts: Vec<ConfVerdict>,
    /// The membership, when it or something about a member changed.
    pub membership: Option<Arc<Membership>>,
    /// Index and running hash behind each entry, as far as they are known.
    pub hashes: Vec<(u64, u64)>,
}

/// The applier has the store that another member sent to rebuild this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// Where that store was in the log.
    pub index: u64,
    /// Its running hash.
    pub hash: Option<u64>,
    /// Its membership, where the store before it knew none.
    pub membership: Option<Arc<Membership>>,
}

/// A flush made everything up to `index` durable in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Applied index that a crash would leave.
    pub index: u64,
}

/// Completions, the raft core's first queue.
#[derive(Clone, Debug, PartialEq)]
pub enum Advance {
    /// From the WAL writer.
    Persisted(Persisted),
    /// From the applier.
    Applied(AppliedUpTo),
    /// From the flusher.
    Durable(Durable),
    /// From the applier.
    Rebuilt(Rebuilt),
}
