//! What the core can tell about its decisions, as data.
//!
//! A sink turns events into log lines or counters; the core never formats text. With [`NoTrace`] no event is even
//! built.

use crate::confchange::ConfChangeV2;
use crate::error::ProposalDropped;
use crate::message::MessageKind;
use crate::progress::Progress;
use crate::types::{ConfState, Index, LogId, NodeId, Role, Term};

/// Receives events. Implementations must not block and must not call back into the core.
pub trait Trace {
    /// False when [`event`](Self::event) does nothing, so that events are not built.
    const ENABLED: bool = true;

    /// Takes one event.
    fn event(&mut self, event: &TraceEvent<'_>);
}

/// Discards everything at no cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {
    const ENABLED: bool = false;

    fn event(&mut self, _: &TraceEvent<'_>) {}
}

/// Builds an event only if somebody listens.
macro_rules! trace {
    ($node:expr, $event:expr) => {
        if T::ENABLED {
            $node.trace.event(&$event);
        }
    };
}
pub(crate) use trace;

/// The log of a member at the moment of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteScene {
    /// Own last entry.
    pub last: LogId,
    /// Own vote in the own term so far.
    pub vote: NodeId,
    /// What is asked for.
    pub kind: MessageKind,
    /// By whom.
    pub from: NodeId,
    /// Last entry of the candidate.
    pub candidate_last: LogId,
    /// Own term.
    pub term: Term,
}

/// Positions of the log when a snapshot replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogScene {
    /// Highest committed index.
    pub committed: Index,
    /// Highest applied index.
    pub applied: Index,
    /// Highest index handed out for applying.
    pub applying: Index,
    /// First index that is not known to be durable.
    pub offset: Index,
    /// First index not yet handed out for writing.
    pub offset_in_progress: Index,
    /// Number of entries not known to be durable.
    pub unstable: usize,
}

/// Why a membership change was replaced by an empty entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChangeRefusal {
    /// An earlier one may not be applied yet.
    MaybePending {
        /// Index at or above the earlier one.
        index: Index,
        /// Applied so far.
        applied: Index,
    },
    /// The joint configuration must be left first.
    MustLeaveJoint,
    /// Nothing to leave.
    NotJoint,
}

/// One decision. Fields are those of etcd's log line about the same decision; the own id is known to the sink.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each field is explained by its name and the variant's line")]
pub enum TraceEvent<'a> {
    /// A member was started.
    Started { voters: &'a [NodeId], term: Term, committed: Index, applied: Index, last: LogId },
    /// Role changed (or was confirmed).
    BecameFollower { term: Term },
    /// Asks for promises.
    BecamePreCandidate { term: Term },
    /// Asks for votes.
    BecameCandidate { term: Term },
    /// Leads.
    BecameLeader { term: Term },

    /// An order to campaign meant nothing to a leader.
    AlreadyLeader,
    /// Not a voter, installing a snapshot, or not electable.
    Unpromotable,
    /// The same, found when a pre-vote was won.
    UnpromotableInCampaign,
    /// A membership change is committed and not yet applied.
    ConfChangeUnapplied { term: Term },
    /// An election starts.
    StartingElection { term: Term },
    /// A vote or promise was asked for.
    SentVoteRequest { last: LogId, kind: MessageKind, to: NodeId, term: Term },
    /// An answer to that came in.
    ReceivedVote { kind: MessageKind, from: NodeId, term: Term, rejected: bool },
    /// Answers so far.
    VoteTally { granted: usize, kind: MessageKind, rejected: usize },
    /// A candidate was ignored, because a leader was heard from recently.
    IgnoredVoteInLease { scene: VoteScene, remaining: u32 },
    /// A vote or promise was given.
    CastVote(VoteScene),
    /// A vote or promise was refused.
    RejectedVote(VoteScene),

    /// A message with a higher term came in.
    HigherTerm { term: Term, kind: MessageKind, from: NodeId, message_term: Term },
    /// A message with a lower term was ignored.
    IgnoredLowerTerm { term: Term, kind: MessageKind, from: NodeId, message_term: Term },
    /// Entries became durable in an older term; a later append may overwrite them, so they stay in memory.
    IgnoredStaleAppend { term: Term, append_term: Term },
    /// A leader has not heard from a quorum.
    QuorumInactive,
    /// An answer from somebody unknown was ignored.
    NoProgress { from: NodeId },

    /// A proposal found no leader.
    ProposalWithoutLeader { term: Term },
    /// A proposal was not forwarded.
    ProposalNotForwarded { leader: NodeId, term: Term },
    /// A proposal came while leadership is handed over.
    ProposalDuringTransfer { term: Term, transferee: NodeId },
    /// A proposal was too much.
    TooMuchUncommitted,
    /// A membership change was replaced by an empty entry.
    ConfChangeIgnored { change: &'a ConfChangeV2, membership: &'a ConfState, why: ConfChangeRefusal },
    /// The leader proposes to leave the joint configuration.
    AutoLeave { membership: &'a ConfState },
    /// The leader could not propose that now.
    AutoLeaveDropped { membership: &'a ConfState, why: ProposalDropped },
    /// A membership came into force.
    SwitchedMembership { membership: &'a ConfState },

    /// A leader was told that a log does not match.
    AppendRejected { hint: LogId, from: NodeId, index: Index },
    /// It goes back.
    DecreasedProgress { peer: NodeId, progress: &'a Progress },
    /// A follower does not have the entry before the ones it got.
    RejectedAppend { own_term: Term, prev: LogId, from: NodeId },
    /// A peer that needed a snapshot can go on from the log.
    RecoveredFromSnapshot { peer: NodeId, progress: &'a Progress },
    /// No snapshot for a peer that is not heard from.
    SnapshotToInactive { peer: NodeId },
    /// The snapshot is still being built.
    SnapshotNotReady { peer: NodeId },
    /// Entries for a peer are being fetched.
    EntriesNotReady { peer: NodeId, from: Index },
    /// A snapshot was sent.
    SentSnapshot { first: Index, committed: Index, snapshot: LogId, peer: NodeId, progress: &'a Progress },
    /// No entries until that is done.
    PausedForSnapshot { peer: NodeId, progress: &'a Progress },
    /// The snapshot arrived.
    SnapshotDelivered { peer: NodeId, progress: &'a Progress },
    /// The snapshot did not arrive.
    SnapshotFailed { peer: NodeId, progress: &'a Progress },
    /// A message to a peer was probably lost.
    Unreachable { peer: NodeId, progress: &'a Progress },

    /// Leadership cannot go to a learner.
    TransferToLearner,
    /// Leadership is already on its way there.
    TransferRepeated { term: Term, transferee: NodeId },
    /// Leadership was on its way to somebody else.
    TransferReplaced { term: Term, previous: NodeId },
    /// Leadership is already here.
    TransferToSelf,
    /// Leadership starts to move.
    TransferStarted { term: Term, transferee: NodeId },
    /// The new leader may campaign at once.
    TransferImmediate { transferee: NodeId },
    /// The new leader has caught up and may campaign.
    TransferCaughtUp { transferee: NodeId },
    /// Nobody to ask for a transfer.
    TransferWithoutLeader { term: Term },
    /// A follower campaigns on the leader's order.
    ReceivedTimeoutNow { term: Term, from: NodeId },
    /// A candidate campaigns already.
    IgnoredTimeoutNow { term: Term, role: Role, from: NodeId },

    /// A follower keeps its leader, because reads trust the lease.
    ForgetLeaderRefused,
    /// A follower forgot its leader.
    ForgotLeader { leader: NodeId, term: Term },
    /// Nobody to ask for a read index.
    ReadWithoutLeader { term: Term },

    /// Own entries give way to the leader's.
    FoundConflict { index: Index, existing_term: Term, conflicting_term: Term },
    /// Everything not durable was replaced.
    ReplacedUnstable { from: Index },
    /// A part of what is not durable was cut off.
    TruncatedUnstable { from: Index },
    /// Entries became durable that are not in memory any more.
    StableMissing { index: Index },
    /// The same, where the snapshot ends.
    StableIsSnapshot { index: Index },
    /// Entries became durable that were overwritten since.
    StableMismatch { stable: LogId, own_term: Term },

    /// A snapshot starts to replace the log.
    RestoringLog { scene: LogScene, snapshot: LogId },
    /// The log and membership now come from a snapshot.
    RestoredLog { committed: Index, last: LogId, snapshot: LogId },
    /// The log already holds what the snapshot covers.
    FastForwarded { committed: Index, last: LogId, snapshot: LogId },
    /// A snapshot was taken.
    RestoredSnapshot { committed: Index, snapshot: LogId },
    /// A snapshot was not needed.
    IgnoredSnapshot { committed: Index, snapshot: LogId },
    /// A snapshot waits until what was handed out for applying is applied.
    SnapshotDeferred { from: NodeId, index: Index },
    /// A snapshot came to a member that is no follower.
    SnapshotToNonFollower,
    /// A snapshot came to somebody it does not name.
    SnapshotWithoutMe { conf_state: &'a ConfState },
}
