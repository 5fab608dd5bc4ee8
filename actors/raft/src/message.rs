//! What members say to each other.
//!
//! Each variant owns only its own fields; the envelope says from whom, to whom and in which term. Must never hold
//! anything that is meant for the local disk or state machine: that travels in a [`Ready`](crate::Ready).

use bytes::Bytes;

use crate::types::{Entry, EntryKind, Index, NodeId, ReadTag, Snapshot, Term};

/// A message between two members, or from a member to itself (its own vote or acknowledgement, delivered once durable).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// Sender. For a forwarded proposal or read it stays the member that first sent it.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// Term of the sender, or the one it campaigns for; zero on `Propose` and `ReadIndex`, which belong to no term.
    pub term: Term,
    /// What is said.
    pub body: Body,
}

impl Message {
    /// Whether it could come from a correct member; the rest of the core relies on it. Costs a look at each entry.
    pub fn is_well_formed(&self) -> bool {
        let below_limit = |index: Index| index < Index::MAX / 2;
        match &self.body {
            Body::Append(append) => {
                let follows = |(at, entry): (usize, &Entry)| entry.index == append.prev_index + 1 + at as u64;
                below_limit(append.prev_index)
                    && append.entries.iter().enumerate().all(follows)
                    && append.entries.is_sorted_by_key(|entry| entry.term)
                    && append.entries.first().is_none_or(|first| first.term >= append.prev_term)
                    && append.entries.last().is_none_or(|last| last.term <= self.term)
            }
            Body::AppendAccepted { index } => below_limit(*index),
            Body::AppendRejected { index, hint_index, .. } => below_limit(*index) && below_limit(*hint_index),
            Body::Snapshot(snapshot) => !snapshot.is_empty() && below_limit(snapshot.meta.index),
            _ => self.from != 0 && self.term < Term::MAX,
        }
    }
}

/// Content of a [`Message`]. In brackets: etcd's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Body {
    /// Entries after `prev_index`, and how far the leader has committed (MsgApp).
    Append(Append),
    /// The receiver's log equals the leader's up to `index` (MsgAppResp). Index zero tells a leader of an old term
    /// that there is a newer one.
    AppendAccepted {
        /// Highest index known to be equal and durable.
        index: Index,
    },
    /// The receiver's log has no entry (`prev_index`, `prev_term`) (MsgAppResp with reject).
    AppendRejected {
        /// The `prev_index` that was refused.
        index: Index,
        /// Highest index at which the logs may still agree.
        hint_index: Index,
        /// The receiver's term at `hint_index`, zero when unknown.
        hint_term: Term,
    },
    /// I lead, and you may commit this far (MsgHeartbeat).
    Heartbeat {
        /// Never beyond what the receiver is known to hold.
        commit: Index,
        /// Newest read round to confirm, zero for none.
        read_round: u64,
    },
    /// Answer to a heartbeat (MsgHeartbeatResp).
    HeartbeatAck {
        /// Copied from the heartbeat.
        read_round: u64,
    },
    /// Vote for me in `term` (MsgVote).
    Vote(VoteRequest),
    /// Answer to `Vote` (MsgVoteResp).
    VoteResp {
        /// True when the vote was refused.
        rejected: bool,
    },
    /// Would you vote for me in `term`? (MsgPreVote)
    PreVote(VoteRequest),
    /// Answer to `PreVote` (MsgPreVoteResp).
    PreVoteResp {
        /// True when the answer is no.
        rejected: bool,
    },
    /// The log before this snapshot is gone, start from it (MsgSnap). Boxed, as it is rare and would make all others
    /// larger.
    Snapshot(Box<Snapshot>),
    /// Start an election at once, the leader hands over (MsgTimeoutNow).
    TimeoutNow,
    /// Payloads for the leader to append (MsgProp).
    Propose(Vec<Proposal>),
    /// Ask the leader to hand over to `transferee` (MsgTransferLeader).
    TransferLeader {
        /// Who should lead.
        transferee: NodeId,
    },
    /// Ask the leader for a read index (MsgReadIndex).
    ReadIndex {
        /// Tag of the asking member.
        tag: ReadTag,
    },
    /// Answer to `ReadIndex` (MsgReadIndexResp).
    ReadIndexResp {
        /// Index that must be applied before the read is served.
        index: Index,
        /// Tag of the asking member.
        tag: ReadTag,
    },
}

/// Entries for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Append {
    /// Index of the entry before the first of `entries`.
    pub prev_index: Index,
    /// Its term.
    pub prev_term: Term,
    /// Commit index of the leader.
    pub commit: Index,
    /// Consecutive entries, may be none.
    pub entries: Vec<Entry>,
}

/// Where a candidate's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VoteRequest {
    /// Its last index.
    pub last_index: Index,
    /// The term of that index.
    pub last_term: Term,
    /// The leader asked for this election, so a leader's lease does not stand against it.
    pub transfer: bool,
}

/// A payload that has no place in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Proposal {
    /// How to read `data`.
    pub kind: EntryKind,
    /// Payload.
    #[cfg_attr(feature = "serde", serde(with = "crate::serde_bytes"))]
    pub data: Bytes,
}

/// Name of a [`Body`] without its content, for counters and traces. Discriminants are those of etcd's
/// `raftpb.MessageType` and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageKind {
    /// Forwarded proposals.
    Propose = 2,
    /// Entries.
    Append = 3,
    /// Answer to entries or a snapshot.
    AppendResp = 4,
    /// Request for a vote.
    Vote = 5,
    /// Vote.
    VoteResp = 6,
    /// Snapshot.
    Snapshot = 7,
    /// Sign of life of the leader.
    Heartbeat = 8,
    /// Sign of life of a follower.
    HeartbeatResp = 9,
    /// Request to hand leadership over.
    TransferLeader = 13,
    /// Order to campaign.
    TimeoutNow = 14,
    /// Request for a read index.
    ReadIndex = 15,
    /// Read index.
    ReadIndexResp = 16,
    /// Request for a promise.
    PreVote = 17,
    /// Promise.
    PreVoteResp = 18,
}

impl Body {
    /// Its kind.
    pub fn kind(&self) -> MessageKind {
        match self {
            Body::Append(_) => MessageKind::Append,
            Body::AppendAccepted { .. } | Body::AppendRejected { .. } => MessageKind::AppendResp,
            Body::Heartbeat { .. } => MessageKind::Heartbeat,
            Body::HeartbeatAck { .. } => MessageKind::HeartbeatResp,
            Body::Vote(_) => MessageKind::Vote,
            Body::VoteResp { .. } => MessageKind::VoteResp,
            Body::PreVote(_) => MessageKind::PreVote,
            Body::PreVoteResp { .. } => MessageKind::PreVoteResp,
            Body::Snapshot(_) => MessageKind::Snapshot,
            Body::TimeoutNow => MessageKind::TimeoutNow,
            Body::Propose(_) => MessageKind::Propose,
            Body::TransferLeader { .. } => MessageKind::TransferLeader,
            Body::ReadIndex { .. } => MessageKind::ReadIndex,
            Body::ReadIndexResp { .. } => MessageKind::ReadIndexResp,
        }
    }

    /// True for answers: they are refused from a member that is not in the membership.
    pub fn is_response(&self) -> bool {
        matches!(
            self.kind(),
            MessageKind::AppendResp
                | MessageKind::VoteResp
                | MessageKind::HeartbeatResp
                | MessageKind::ReadIndexResp
                | MessageKind::PreVoteResp
        )
    }

    /// True for answers that promise something about the own disk, so they wait until it is durable.
    pub(crate) fn waits_for_disk(&self) -> bool {
        matches!(self.kind(), MessageKind::AppendResp | MessageKind::VoteResp | MessageKind::PreVoteResp)
    }
}
