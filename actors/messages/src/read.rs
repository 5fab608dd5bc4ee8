//! Client ↔ raft core: read-index grants (etcd's readStateC). Client ↔ reader pool: big or cold reads, chunk by chunk.

use crate::auth::{AuthRules, CheckLeases};
use crate::ids::{SinkId, Token};
use crate::v2::V2Reads;
use bytes::Bytes;
pub use model::MemberInfo;
use model::request::{RangeRequest, TxnRequest};
use model::{Caller, OpOutcome, RangeOutcome, ReadError, StoreStatus};
use std::sync::Arc;

/// Asks for a read-index grant, after which a read is linearizable. Answered by `ReplyBody::ReadGranted` once the member has applied far enough.
#[derive(Clone, Debug)]
pub struct ReadIndex {
    /// Where the answers go.
    pub sink: SinkId,
    /// The calls, all granted or refused.
    pub tokens: Vec<Token>,
}

/// Bytes of an answer that a connection thread may read by itself.
pub const INLINE_BYTES: usize = 256 << 10;

/// A long answer pulled chunk by chunk; holds no view between two pulls.
pub trait ChunkSource: Send {
    /// The next chunk of about `max_bytes`, `None` behind the last one. Runs on a thread of the reader pool.
    ///
    /// # Errors
    /// [`ReadError::Compacted`] when compaction overtook the revision read.
    fn next(&mut self, max_bytes: usize) -> Result<Option<Bytes>, ReadError>;
}

/// A measured big range. The chunks of `source` are whole `kvs` fields (tag, length, key-value) of the response.
pub struct RangePlan {
    /// Current revision of the view it was planned on, for the header.
    pub revision: i64,
    /// Bytes that all chunks will have together.
    pub kvs_bytes: u64,
    /// As in the response.
    pub more: bool,
    /// As in the response.
    pub count: i64,
    /// The chunks.
    pub source: Box<dyn ChunkSource>,
}

/// A measured read-only transaction: all of it in one view.
pub struct TxnPlan {
    /// Revision of the view.
    pub revision: i64,
    /// The compares held.
    pub succeeded: bool,
    /// The ranges of the branch taken, in order.
    pub ranges: Vec<TxnRange>,
}

/// A range of a read-only transaction.
pub enum TxnRange {
    /// A small one, read.
    Read(RangeOutcome),
    /// A big one, measured.
    Planned(RangePlan),
}

/// Work for the reader pool.
pub enum Work {
    /// Measure a big range.
    PlanRange(RangeRequest),
    /// Collect the keys of a lease; answered as a range is, with whole `keys` fields of the response.
    PlanLease {
        /// The lease.
        id: i64,
        /// Who asks. He must be allowed to read every key.
        caller: Caller,
    },
    /// Whether somebody may see or change all keys of leases.
    CheckLeases(CheckLeases),
    /// Evaluate a read-only transaction, and measure what is big in it.
    ReadTxn(TxnRequest),
    /// List a directory of the v2 tree.
    V2List {
        /// Its path.
        path: Bytes,
        /// With everything below it.
        recursive: bool,
        /// The moment that TTLs are counted from, nanoseconds since 1970.
        now: i64,
    },
    /// The next chunk of a source.
    NextChunk {
        /// The source.
        source: Box<dyn ChunkSource>,
        /// Bytes wanted.
        max_bytes: usize,
    },
    /// HashKV at a revision, zero for the current one.
    HashKv {
        /// The revision.
        revision: i64,
    },
    /// The same of another member.
    PeerHash {
        /// The member.
        member: u64,
        /// The revision.
        revision: i64,
    },
    /// Hash over every row.
    Hash,
}

/// A job for the reader pool.
pub struct RunQuery {
    /// Where the answer goes.
    pub sink: SinkId,
    /// The call.
    pub token: Token,
    /// What to do.
    pub work: Work,
}

/// The read side of the store as a connection thread sees it. Every call takes exactly one view.
pub trait Reads: V2Reads {
    /// Status of the newest view.
    fn status(&self) -> StoreStatus;

    /// Revision and term of the newest view, for headers; cheaper than `status`.
    fn position(&self) -> (i64, u64);

    /// Logical bytes of the newest view, for the quota.
    fn logical_bytes(&self) -> i64;

    /// Evaluates a read-only transaction (ranges only) in one view when it reads about `most` bytes or less; `None` means: ask
    /// the pool. The revision is the view's.
    fn read_txn(&self, request: &TxnRequest, most: usize) -> Option<Result<(i64, OpOutcome), ReadError>>;

    /// Serves a range at once when it is small (a point read, or a short scan) and has about `most` bytes or less; `None`
    /// means: ask the pool to plan it. The revision is the view's, for the header.
    fn range(&self, request: &RangeRequest, most: usize) -> Option<Result<(i64, RangeOutcome), ReadError>>;

    /// The rules about users; `None` while authentication is off.
    fn auth(&self) -> Option<Arc<dyn AuthRules>>;

    /// Whether authentication is on, and the revision of users and roles; cheaper than [`Self::auth`].
    fn auth_revision(&self) -> (bool, u64);

    /// Who was given a simple token that has not ended. Its life is extended.
    fn user_of_token(&self, token: &str) -> Option<Arc<str>>;

    /// Index of the last applied entry; cheaper than `status`.
    fn applied_index(&self) -> u64;

    /// Members of the cluster, ascending by id.
    fn members(&self) -> Result<Vec<MemberInfo>, ReadError>;

    /// Whether a member of this id was removed: it can never come back.
    fn was_removed(&self, id: u64) -> bool;

    /// Cluster version as text, empty until decided.
    fn cluster_version(&self) -> Result<String, ReadError>;

    /// Version that the cluster is being downgraded to, if it is.
    fn downgrade_target(&self) -> Result<Option<String>, ReadError>;
}
