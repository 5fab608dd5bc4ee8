//! The numbers of a store at one applied entry.
//!
//! Must never say anything about files or memory: it is the same on every member that has applied the same entries.

use crate::AlarmMember;
use std::sync::Arc;

/// What a store looks like after its last applied entry, for headers, status and health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Current revision; 1 for an empty store.
    pub revision: i64,
    /// Revision up to which history is forgotten; -1 before any compaction.
    pub compact_revision: i64,
    /// Index of the last applied entry.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// Logical bytes, history included: what the quota is about.
    pub logical_bytes: i64,
    /// The part of `logical_bytes` that is not yet garbage (after a compaction to the current revision).
    pub live_bytes: i64,
    /// Living keys.
    pub keys: i64,
    /// Standing alarms, ascending.
    pub alarms: Arc<[AlarmMember]>,
}
