//! What goes into an apply and what comes out of it: committed entries in, replies, events and changes out.
//!
//! Plain data. Must never hold a reference into the engine other than the view that is to be published.

use super::judge::Membership;
use crate::auth::TokenChange;
use crate::auth::rows::ReadRowsError;
use crate::engine::EngineError;
use crate::schema::{Damaged, Kind};
use crate::view::View;
use bytes::Bytes;
use model::command::DecodeError;
use model::{AlarmMember, Applied, EnvelopeError, MemberRefusal, Origin, ReadError, Revision, v2};
use raft::{ConfChangeV2, Entry};
use std::sync::Arc;

/// A committed entry, on its way into the store.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The entry.
    pub entry: Entry,
}

/// What became of a committed conf change. The consensus core switches its membership by it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfVerdict {
    /// Index of the entry.
    pub index: u64,
    /// The change.
    pub change: ConfChangeV2,
    /// Whether it is in force now, or why it has no effect.
    pub result: Result<(), MemberRefusal>,
    /// Who waits for it, and the answer; `None` when a leader leaves a joint configuration.
    pub answer: Option<(Origin, Applied)>,
    /// The membership after the entry.
    pub membership: Arc<Membership>,
}

/// One change of one key, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEvent {
    /// Name of the version it made.
    pub revision: Revision,
    /// What happened to the key.
    pub kind: Kind,
    /// The version it superseded, zero for a create: where `log` holds the previous key-value.
    pub superseded: Revision,
    /// The key; shares the buffer of `kv`.
    pub key: Bytes,
    /// Encoded `KeyValue`, shared with the row in `log`.
    pub kv: Bytes,
}

/// A change of the lease table, in the order of application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// The lease exists now.
    Granted {
        /// Its id.
        id: i64,
        /// Its TTL in seconds.
        ttl: i64,
    },
    /// The lease and its keys are gone.
    Revoked {
        /// Its id.
        id: i64,
    },
    /// A checkpoint was noted.
    Checkpoint {
        /// The lease.
        id: i64,
        /// Seconds it has left; zero clears the checkpoint.
        remaining_ttl: i64,
    },
}

/// What came of one call of [`StateMachine::apply`](super::StateMachine::apply).
#[derive(Debug)]
pub struct Report<S> {
    /// One per entry, in order: the answer and who waits for it. `None` for the empty entry of a new leader, for an entry
    /// that was applied before, and for a conf change, whose answer is in `verdicts`.
    pub replies: Vec<Option<(Origin, Applied)>>,
    /// Changes of keys, ascending by revision.
    pub events: Vec<StoreEvent>,
    /// Main revisions whose events are too large to be listed in `events`: whoever wants them reads `log`. Ascending.
    pub unlisted: Vec<i64>,
    /// Changes of the lease table.
    pub leases: Vec<LeaseChange>,
    /// All standing alarms, when they changed.
    pub alarms: Option<Arc<[AlarmMember]>>,
    /// Compactions that were scheduled, in order: [`StateMachine::compaction_step`](super::StateMachine::compaction_step) has
    /// work. No row has been deleted for them yet.
    pub compactions: Vec<ScheduledCompaction>,
    /// What became of conf changes, ascending by index.
    pub verdicts: Vec<ConfVerdict>,
    /// What becomes of the tokens that members hold in memory, in the order of application.
    pub tokens: Vec<TokenChange>,
    /// Requests of the v2 API that were applied, in order.
    pub v2: Vec<V2Applied>,
    /// Index and running hash behind each entry, ascending; none while it is unknown.
    pub hashes: Vec<(u64, u64)>,
    /// The membership, when members, their attributes, the cluster version or the conf state changed.
    pub membership: Option<Arc<Membership>>,
    /// The state to publish, already written.
    pub view: View<S>,
}

/// What a request of the v2 API did, for those who count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V2Applied {
    /// What it was.
    pub operation: v2::Operation,
    /// Why it had no effect.
    pub refused: Option<v2::Error>,
    /// Events that it made.
    pub events: u64,
}

/// A compaction that is decided and whose rows are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledCompaction {
    /// The compacted revision before it; -1 when it is the first one.
    pub before: i64,
    /// The compacted revision from now on.
    pub target: i64,
}

/// How far a compaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactionProgress {
    /// Nothing is scheduled, or all of it is finished.
    Idle,
    /// More steps are needed.
    More,
    /// This step was the last one of the compaction up to this revision.
    Finished(i64),
}

/// Why the node must stop: an apply cannot be skipped, retried or half done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFatal {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A stored row does not read back.
    #[error(
        "{0}; start this member with --rebuild-from-leader, restore it from a snapshot, or remove it and add it again"
    )]
    Damaged(#[from] Damaged),
    /// A read inside a transaction failed in the engine.
    #[error(
        "{0}; start this member with --rebuild-from-leader, restore it from a snapshot, or remove it and add it again"
    )]
    Read(ReadError),
    /// A committed entry is no envelope.
    #[error("entry {index} of term {term}: {why}")]
    Envelope {
        /// Index of the entry.
        index: u64,
        /// Its term.
        term: u64,
        /// What is wrong.
        why: EnvelopeError,
    },
    /// A committed entry holds no known command.
    #[error("entry {index} of term {term}: {why}")]
    Command {
        /// Index of the entry.
        index: u64,
        /// Its term.
        term: u64,
        /// What is wrong.
        why: DecodeError,
    },
    /// The store was replaced by that of the leader, and this run of the member does not fit it.
    #[error("this member has another store now and must begin anew with it: {0}; start it again")]
    Replaced(String),
    /// A committed conf change does not decode.
    #[error("entry {index} of term {term} holds a damaged conf change: {why}")]
    ConfChange {
        /// Index of the entry.
        index: u64,
        /// Its term.
        term: u64,
        /// What is wrong.
        why: String,
    },
}

/// Why a store cannot be opened for applying.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was never bootstrapped.
    #[error(
        "store is empty: it was never bootstrapped; start the member with its initial cluster, or restore a snapshot"
    )]
    Empty,
    /// It was bootstrapped before.
    #[error("store already belongs to member {member_id:x} of cluster {cluster_id:x}; use an empty data folder")]
    NotEmpty {
        /// Cluster it belongs to.
        cluster_id: u64,
        /// Member it belongs to.
        member_id: u64,
    },
    /// Written by a version that this one does not know.
    #[error("store has format {found}, this binary knows {known}; run the version that wrote it or a newer one")]
    Format {
        /// Format of the store.
        found: u32,
        /// Newest format this binary reads.
        known: u32,
    },
    /// Reading it, or finishing what a crash left half done, failed.
    #[error(transparent)]
    Fatal(#[from] ApplyFatal),
}

impl From<ReadRowsError> for ApplyFatal {
    fn from(e: ReadRowsError) -> Self {
        match e {
            ReadRowsError::Engine(why) => why.into(),
            ReadRowsError::Damaged(why) => why.into(),
        }
    }
}

impl From<ReadRowsError> for OpenError {
    fn from(e: ReadRowsError) -> Self {
        Self::Fatal(e.into())
    }
}

impl From<EngineError> for OpenError {
    fn from(e: EngineError) -> Self {
        Self::Fatal(e.into())
    }
}

impl From<Damaged> for OpenError {
    fn from(e: Damaged) -> Self {
        Self::Fatal(e.into())
    }
}
