//! What came of a command or a read.
//!
//! Key-values stay in their stored bytes (encoded [`KeyValue`](crate::KeyValue)), so that an answer is spliced, never re-encoded.

use crate::auth::AuthOutcome;
use crate::request::AlarmType;
use crate::{ApplyError, MemberInfo};
use bytes::Bytes;

/// Outcome of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeOutcome {
    /// Encoded key-values, in answer order.
    pub kvs: Vec<Bytes>,
    /// More keys than the limit allowed.
    pub more: bool,
    /// Keys in the range, limit and filters ignored.
    pub count: i64,
}

/// Outcome of one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpOutcome {
    /// A range.
    Range(RangeOutcome),
    /// A put, with the encoded key-value before it where asked for.
    Put {
        /// Encoded key-value before the put.
        prev_kv: Option<Bytes>,
    },
    /// A delete.
    DeleteRange {
        /// Keys deleted.
        deleted: i64,
        /// Encoded key-values before the delete, where asked for.
        prev_kvs: Vec<Bytes>,
    },
    /// A nested transaction.
    Txn {
        /// The compares held.
        succeeded: bool,
        /// Outcomes of the branch taken.
        responses: Vec<OpOutcome>,
    },
}

/// An alarm of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlarmMember {
    /// The member.
    pub member_id: u64,
    /// The kind.
    pub alarm: AlarmType,
}

/// Outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Put, DeleteRange or Txn.
    Op(OpOutcome),
    /// The compaction is scheduled.
    Compaction,
    /// The lease exists now.
    LeaseGrant {
        /// Its id.
        id: i64,
        /// Its TTL in seconds.
        ttl: i64,
    },
    /// The lease is gone.
    LeaseRevoke,
    /// The checkpoints are noted.
    LeaseCheckpoint,
    /// Alarms the request was about.
    Alarm(Vec<AlarmMember>),
    /// The membership was changed.
    Members {
        /// The member that the change was about.
        changed: u64,
        /// All members after it, ascending by id.
        members: Vec<MemberInfo>,
    },
    /// Of a command about users, roles or tokens.
    Auth(AuthOutcome),
    /// Of a request of the v2 API.
    V2(Box<crate::v2::Outcome>),
    /// Internal commands without an answer.
    Done,
}

/// Answer to a proposal that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Revision of the store after the command.
    pub revision: i64,
    /// Term of the entry.
    pub term: u64,
    /// What came of it.
    pub result: Result<Outcome, ApplyError>,
}
