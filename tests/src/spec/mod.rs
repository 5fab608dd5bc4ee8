//! An executable specification of etcd's data API: what a member answers to a request, and what its watchers are told.
//!
//! Written from etcd's documented behaviour and settled against etcd 3.7.1. It keeps every version ever written in one list and
//! looks answers up by walking it: readable and obviously right, not fast. Must never use a line of `storage`, `actors` or
//! `messages`: a mistake made there must not be made here again.

pub mod history;
pub mod kv;
pub mod lease;
pub mod op;
pub mod refusal;
pub mod txn;
pub mod watch;

pub use history::History;
pub use op::{Answer, Op};
pub use refusal::Refusal;

use api::etcdserverpb::{CompactionRequest, CompactionResponse, ResponseHeader};
use lease::Leases;
use std::collections::BTreeMap;

/// What the specification has to know of a server's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most operations of a transaction level.
    pub max_txn_ops: usize,
    /// Least TTL of a lease, in seconds.
    pub min_lease_ttl: i64,
}

/// The state of a member, as far as clients can see it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Settings of the server it speaks for.
    pub settings: Settings,
    /// Every version of every key.
    pub history: History,
    /// Leases.
    pub leases: Leases,
    /// Watch streams that are open, by the number the caller gave them.
    pub streams: BTreeMap<usize, watch::Stream>,
}

impl Spec {
    /// A member with this history and no lease.
    pub fn new(settings: Settings, history: History) -> Self {
        Self { settings, history, leases: Leases::default(), streams: BTreeMap::new() }
    }

    /// Compacts. `physical` only decides when the answer comes.
    ///
    /// # Errors
    /// For a revision that is compacted already or lies in the future.
    pub fn compact(&mut self, request: CompactionRequest) -> Result<CompactionResponse, Refusal> {
        if request.revision <= self.history.compacted {
            return Err(Refusal::COMPACTED);
        }
        if request.revision > self.history.revision {
            return Err(Refusal::FUTURE);
        }
        self.history.compacted = request.revision;
        for stream in self.streams.values_mut() {
            stream.note_compaction(&self.history);
        }
        Ok(CompactionResponse { header: Some(self.header()) })
    }

    /// A header of an answer that was made now. The ids and the term are the server's to say.
    pub(crate) fn header(&self) -> ResponseHeader {
        revision_header(self.history.now())
    }
}

/// A header that carries a revision and nothing else, as the answers inside a transaction have it.
pub(crate) fn revision_header(revision: i64) -> ResponseHeader {
    ResponseHeader { revision, ..ResponseHeader::default() }
}
