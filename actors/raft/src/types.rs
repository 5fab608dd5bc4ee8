//! Vocabulary of the consensus core: ids, entries, hard state, membership.
//!
//! Plain data without behaviour beyond small predicates. Must never know how it is stored or sent.

use bytes::Bytes;

/// Id of a member. Zero is nobody.
pub type NodeId = u64;
/// Leadership term. Zero is before any election.
pub type Term = u64;
/// Position in the log. The first entry has index 1; zero is before the log.
pub type Index = u64;

/// What an entry's payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EntryKind {
    /// Payload of the replicated state machine; empty for the entry of a new leader.
    Normal = 0,
    /// A membership change of one step, etcd's `ConfChange` encoding.
    ConfChange = 1,
    /// A membership change, etcd's `ConfChangeV2` encoding.
    ConfChangeV2 = 2,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Term of the leader that created it.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// How to read `data`.
    pub kind: EntryKind,
    /// Opaque payload.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_bytes"))]
    pub data: Bytes,
}

/// What must be durable before a member answers. Source: Raft paper, figure 2; etcd's `raftpb.HardState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HardState {
    /// Latest term seen.
    pub term: Term,
    /// Who got this member's vote in `term`; zero for nobody.
    pub vote: NodeId,
    /// Highest index known to be committed. Moving this alone needs no sync.
    pub commit: Index,
}

impl HardState {
    /// True for the state of a member that never took part.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Membership as of some index, in joint form while `voters_outgoing` is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConfState {
    /// Voters of the incoming (or only) configuration, ascending.
    pub voters: Vec<NodeId>,
    /// Learners, ascending.
    pub learners: Vec<NodeId>,
    /// Voters of the outgoing configuration of a joint one.
    pub voters_outgoing: Vec<NodeId>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: Vec<NodeId>,
    /// Leave the joint configuration as soon as it is applied.
    pub auto_leave: bool,
}

/// Where a snapshot stands in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SnapshotMeta {
    /// Membership at `index`.
    pub conf_state: ConfState,
    /// Last index the snapshot covers.
    pub index: Index,
    /// Term of that index.
    pub term: Term,
}

/// A snapshot as the core sees it: its place, and opaque bytes that say where the data is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// Place in the log; index zero means "no snapshot".
    pub meta: SnapshotMeta,
    /// Opaque to the core.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_bytes"))]
    pub data: Bytes,
}

impl Snapshot {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.meta.index == 0
    }
}

/// Role of a member in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes entries from a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether an election could be won, without moving the term.
    PreCandidate,
    /// Asks for votes in its term.
    Candidate,
    /// Decides the order of entries in its term.
    Leader,
}

/// What observers want to know at once and nobody needs to persist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// Leader of the current term as far as known; zero for nobody.
    pub leader: NodeId,
    /// Own role.
    pub role: Role,
}

/// Caller's tag on a linearizable read. A member should start its tags from a random epoch, so that an answer to
/// a read of its former life matches nothing.
pub type ReadTag = u64;

/// A granted read: once `index` is applied, a read tagged `tag` sees everything committed before it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// Index that must be applied before the read is served.
    pub index: Index,
    /// Tag given to [`read_index`](crate::Node::read_index).
    pub tag: ReadTag,
}

/// Place of an entry in all possible logs: two logs that share it are equal up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogId {
    /// Term of the entry.
    pub term: Term,
    /// Index of the entry.
    pub index: Index,
}

impl Entry {
    /// Bytes this entry takes in etcd's `raftpb.Entry` encoding; all size limits are counted in these.
    pub fn encoded_len(&self) -> u64 {
        let kind = if self.kind == EntryKind::Normal { 0 } else { 2 };
        let data =
            if self.data.is_empty() { 0 } else { 1 + varint_len(self.data.len() as u64) + self.data.len() as u64 };
        kind + 1 + varint_len(self.term) + 1 + varint_len(self.index) + data
    }
}

/// Bytes of `v` as a protobuf varint.
fn varint_len(v: u64) -> u64 {
    u64::from((70 - (v | 1).leading_zeros()) / 7)
}

/// Sum of [`Entry::encoded_len`].
pub fn encoded_len(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::encoded_len).sum()
}

/// Sum of payload lengths, without framing.
pub fn payload_len(entries: &[Entry]) -> u64 {
    entries.iter().map(|e| e.data.len() as u64).sum()
}

/// How many of `entries` fit into `max` encoded bytes; at least one when there is any.
pub fn fitting(entries: &[Entry], max: u64) -> usize {
    let mut size = 0u64;
    for (n, entry) in entries.iter().enumerate() {
        size = size.saturating_add(entry.encoded_len());
        if size > max && n > 0 {
            return n;
        }
    }
    entries.len()
}
