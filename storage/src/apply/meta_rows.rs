//! Values of the rows in `meta` that the applier owns, byte for byte (keys are in [`schema::meta`](crate::schema::meta)).
//!
//! Fixed integers are big-endian, structures with lists are protobuf. Readers return [`Damaged`], they never panic.

use super::running::RunningHash;
use crate::schema::{Damaged, meta};
use bytes::{BufMut, Bytes};
use model::Revision;
use prost::Message;
use raft::{ConfState, LogId};

/// The format this binary writes.
pub const FORMAT_VERSION: u32 = 2;

pub(crate) fn damaged(why: &'static str) -> Damaged {
    Damaged { family: "meta", why }
}

fn ints<const N: usize>(row: &[u8], why: &'static str) -> Result<[i64; N], Damaged> {
    if row.len() != N * 8 {
        return Err(damaged(why));
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(row.chunks_exact(8)) {
        *to = i64::from_be_bytes(from.try_into().expect("eight bytes"));
    }
    Ok(out)
}

fn row(ints: &[i64]) -> Bytes {
    let mut out = Vec::with_capacity(ints.len() * 8);
    ints.iter().for_each(|i| out.put_i64(*i));
    out.into()
}

/// Bytes of the rows that a store has as long as it lives: format, identity, applied index, revisions and sizes.
pub const OWN_BYTES: i64 = {
    const KEYS: usize =
        meta::FORMAT.len() + meta::IDENTITY.len() + meta::APPLIED.len() + meta::REVISIONS.len() + meta::SIZES.len();
    (KEYS + 4 + 8 * (2 + 2 + 6 + 5)) as i64
};

/// Bytes of the numbers that every row `meta::SIZES` has.
const SIZES: usize = 5 * 8;

/// Who a store belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberIds {
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: u64,
}

impl MemberIds {
    pub(crate) fn encode(self) -> Bytes {
        row(&[self.cluster_id as i64, self.member_id as i64])
    }

    /// Reads the row `meta::IDENTITY`.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let [cluster_id, member_id] = ints(bytes, "bad identity")?;
        Ok(Self { cluster_id: cluster_id as u64, member_id: member_id as u64 })
    }
}

/// How far the deletion behind a compaction has come: everything up to `next` that `target` covers is gone. Written with each step,
/// because bytes are counted as freed without a look whether they are there. All zero when nothing is being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacting {
    /// The compact revision it is about; a newer one waits for its turn.
    pub target: i64,
    /// Version where the walk over `log` goes on.
    pub next: Revision,
}

/// The numbers that describe a store. All of them are replicated state, equal on members at the same index (`compact_done`,
/// `compacting` and `log_bytes` excepted: deletion behind a compaction goes at each member's own pace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Last applied entry.
    pub applied: LogId,
    /// Current revision; 1 for an empty store.
    pub revision: i64,
    /// History up to here is forgotten; -1 before any compaction.
    pub compact: i64,
    /// History up to here is deleted; -1 before any compaction.
    pub compact_done: i64,
    /// Where the deletion behind a compaction stands.
    pub compacting: Compacting,
    /// Bytes of `log`: 16 for the key and the length of the value, for each row that is still there.
    pub log_bytes: i64,
    /// Bytes of `cur`: key and value of each row.
    pub cur_bytes: i64,
    /// Living keys.
    pub keys: i64,
    /// Leases.
    pub leases: i64,
    /// The part of `log_bytes` that belongs to living keys' newest versions.
    pub live_log_bytes: i64,
    /// What a snapshot stream must know before it begins; unknown in a store that was made before it was counted.
    pub history: Option<HistoryRows>,
    /// What all entries so far did, see [`RunningHash`]; unknown until the next entry that begins it.
    pub running: Option<RunningHash>,
}

/// Rows of history, as many as are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryRows {
    /// Rows of `log`.
    pub log: i64,
    /// Rows of `hist`.
    pub hist: i64,
    /// Bytes of `hist`: key and value of each row.
    pub hist_bytes: i64,
}

impl State {
    /// The state of a store that has applied nothing.
    pub fn new(applied: LogId) -> Self {
        Self {
            applied,
            revision: 1,
            compact: -1,
            compact_done: -1,
            compacting: Compacting::default(),
            log_bytes: 0,
            cur_bytes: 0,
            keys: 0,
            leases: 0,
            live_log_bytes: 0,
            history: Some(HistoryRows::default()),
            running: None,
        }
    }

    /// Bytes of keys and values, history included, and of the rows that every store has: what the quota is about.
    pub fn logical_bytes(&self) -> i64 {
        OWN_BYTES + self.log_bytes + self.cur_bytes
    }

    /// The part of [`Self::logical_bytes`] that is in use. History is, until a compaction gives it up: of one up to the current
    /// revision it is known before the deletion behind it is done.
    pub fn in_use_bytes(&self) -> i64 {
        let is_all_given_up = self.compact == self.revision;
        OWN_BYTES + self.cur_bytes + if is_all_given_up { self.live_log_bytes } else { self.log_bytes }
    }

    /// As [`Self::new`] for a store that all members of a cluster begin with.
    pub(crate) fn founded(applied: LogId) -> Self {
        Self { running: Some(RunningHash::start(applied.index)), ..Self::new(applied) }
    }

    /// The numbers that the running hash covers.
    pub(super) fn hashed(&self) -> [i64; 5] {
        [self.revision, self.compact, self.keys, self.leases, self.cur_bytes]
    }

    /// The row `meta::RUNNING_HASH`, when the hash is known.
    pub(crate) fn running_row(&self) -> Option<Bytes> {
        Some(self.running?.encode(self.applied.index))
    }

    pub(crate) fn applied_row(&self) -> Bytes {
        row(&[self.applied.index as i64, self.applied.term as i64])
    }

    pub(crate) fn revisions_row(&self) -> Bytes {
        let Compacting { target, next } = self.compacting;
        row(&[self.revision, self.compact, self.compact_done, target, next.main, next.sub])
    }

    pub(crate) fn sizes_row(&self) -> Bytes {
        let sizes = [self.log_bytes, self.cur_bytes, self.keys, self.leases, self.live_log_bytes];
        let history = self.history.map(|HistoryRows { log, hist, hist_bytes }| [log, hist, hist_bytes]);
        row(&[&sizes[..], history.as_ref().map_or(&[], |history| &history[..])].concat())
    }

    pub(crate) fn decode(applied: &[u8], revisions: &[u8], sizes: &[u8]) -> Result<Self, Damaged> {
        let applied = decode_applied(applied)?;
        let [revision, compact, compact_done, target, main, sub] = ints(revisions, "bad revisions")?;
        let compacting = Compacting { target, next: Revision::new(main, sub) };
        let (sizes, history) = sizes.split_at_checked(SIZES).ok_or_else(|| damaged("bad sizes"))?;
        let [log_bytes, cur_bytes, keys, leases, live_log_bytes] = ints(sizes, "bad sizes")?;
        let history = match history.is_empty() {
            true => None,
            false => {
                let [log, hist, hist_bytes] = ints(history, "bad sizes of history")?;
                Some(HistoryRows { log, hist, hist_bytes })
            }
        };
        let sizes = Self { log_bytes, cur_bytes, keys, leases, live_log_bytes, history, ..Self::new(applied) };
        Ok(Self { revision, compact, compact_done, compacting, ..sizes })
    }
}

/// Reads the row `meta::APPLIED`: index and term of the last applied entry.
///
/// # Errors
/// [`Damaged`].
pub fn decode_applied(bytes: &[u8]) -> Result<LogId, Damaged> {
    let [index, term] = ints(bytes, "bad applied index")?;
    Ok(LogId { index: index as u64, term: term as u64 })
}

/// A lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Granted TTL in seconds.
    pub ttl: i64,
    /// Seconds left at the last checkpoint, zero for none.
    pub remaining: i64,
}

impl LeaseRow {
    pub(crate) fn encode(self) -> Bytes {
        row(&[self.ttl, self.remaining])
    }

    /// Reads the value of a row with the prefix `meta::LEASE`.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let [ttl, remaining] = ints(bytes, "bad lease")?;
        Ok(Self { ttl, remaining })
    }
}

/// `raft::ConfState` as stored: field numbers are those of etcd's `raftpb.ConfState`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ConfStateRow {
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    voters: Vec<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    learners: Vec<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "3")]
    voters_outgoing: Vec<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    learners_next: Vec<u64>,
    #[prost(bool, tag = "5")]
    auto_leave: bool,
}

pub(crate) fn encode_conf_state(cs: &ConfState) -> Bytes {
    let row = ConfStateRow {
        voters: cs.voters.clone(),
        learners: cs.learners.clone(),
        voters_outgoing: cs.voters_outgoing.clone(),
        learners_next: cs.learners_next.clone(),
        auto_leave: cs.auto_leave,
    };
    row.encode_to_vec().into()
}

/// Reads the row `meta::CONF_STATE`.
///
/// # Errors
/// [`Damaged`].
pub fn decode_conf_state(bytes: &[u8]) -> Result<ConfState, Damaged> {
    let row = ConfStateRow::decode(bytes).map_err(|_| damaged("bad conf state"))?;
    Ok(ConfState {
        voters: row.voters,
        learners: row.learners,
        voters_outgoing: row.voters_outgoing,
        learners_next: row.learners_next,
        auto_leave: row.auto_leave,
    })
}

/// What the store knows of a member beside its role (which is in the conf state).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberRow {
    /// Its name; empty until it has published itself.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where peers reach it.
    #[prost(string, repeated, tag = "2")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has published itself.
    #[prost(string, repeated, tag = "3")]
    pub client_urls: Vec<String>,
}

/// Where an entry with large effects stands: the row `meta::CHUNK`. With it, whoever opens the store can finish the entry.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ChunkRow {
    /// Index of the entry.
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    /// Its term.
    #[prost(uint64, tag = "2")]
    pub(crate) term: u64,
    /// Canonical bytes of the command.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) command: Bytes,
    /// Branches its transactions take, in the order in which they are met.
    #[prost(bool, repeated, tag = "4")]
    pub(crate) path: Vec<bool>,
    /// Number of the operation that stands half done.
    #[prost(uint64, tag = "5")]
    pub(crate) op: u64,
    /// Where in its range it goes on.
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) from: Bytes,
    /// The next sub-revision.
    #[prost(int64, tag = "7")]
    pub(crate) sub: i64,
    /// What it has done so far, for the running hash.
    #[prost(fixed64, optional, tag = "8")]
    pub(crate) digest: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_read_back() {
        let state = State { log_bytes: 7, cur_bytes: 9, keys: 3, ..State::new(LogId { term: 2, index: 5 }) };
        let back = State::decode(&state.applied_row(), &state.revisions_row(), &state.sizes_row());
        assert_eq!(back, Ok(state));
        let cs = ConfState {
            voters: vec![1, u64::MAX],
            learners: vec![4],
            voters_outgoing: vec![1],
            learners_next: vec![9],
            auto_leave: true,
        };
        assert_eq!(decode_conf_state(&encode_conf_state(&cs)), Ok(cs));
        let id = MemberIds { cluster_id: u64::MAX, member_id: 1 };
        assert_eq!(MemberIds::decode(&id.encode()), Ok(id));
        let lease = LeaseRow { ttl: 5, remaining: 1 };
        assert_eq!(LeaseRow::decode(&lease.encode()), Ok(lease));
    }

    proptest! {
        #[test]
        fn damaged_rows_never_panic(row: Vec<u8>) {
            let _ = (State::decode(&row, &row, &row), MemberIds::decode(&row), LeaseRow::decode(&row));
            let _ = (decode_conf_state(&row), MemberRow::decode(&row[..]), ChunkRow::decode(&row[..]));
        }
    }
}
