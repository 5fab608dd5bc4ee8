//! Trace events as the log lines of etcd's raft library.
//!
//! One event, at most one line. Nothing is computed here that the event does not carry.

use raft::TraceEvent::{self, *};
use raft::trace::{ConfChangeRefusal, VoteScene};
use raft::{LogId, NodeId, Trace};

use crate::describe::{conf_change, conf_state, kind, membership, progress, role};
use crate::output::{Level, Output};

/// Writes the events of one node.
pub(crate) struct Sink {
    pub(crate) id: NodeId,
    pub(crate) output: Output,
}

impl Trace for Sink {
    fn event(&mut self, event: &TraceEvent<'_>) {
        let id = format!("{:x}", self.id);
        let line = election(&id, event)
            .or_else(|| terms(&id, event))
            .or_else(|| proposals(&id, event))
            .or_else(|| replication(&id, event))
            .or_else(|| transfer(&id, event))
            .or_else(|| log(&id, event))
            .or_else(|| snapshots(&id, event));
        if let Some((level, text)) = line {
            self.output.log(level, &text);
        }
    }
}

type Line = Option<(Level, String)>;

fn debug(text: String) -> Line {
    Some((Level::Debug, text))
}

fn info(text: String) -> Line {
    Some((Level::Info, text))
}

fn warn(text: String) -> Line {
    Some((Level::Warn, text))
}

fn error(text: &str) -> Line {
    Some((Level::Error, text.to_owned()))
}

fn election(id: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        Started { voters, term, committed, applied, last: LogId { term: last_term, index } } => {
            let peers: Vec<String> = voters.iter().map(|voter| format!("{voter:x}")).collect();
            info(format!(
                "newRaft {id} [peers: [{}], term: {term}, commit: {committed}, applied: {applied}, lastindex: {index}, lastterm: {last_term}]",
                peers.join(",")
            ))
        }
        BecameFollower { term } => info(format!("{id} became follower at term {term}")),
        BecamePreCandidate { term } => info(format!("{id} became pre-candidate at term {term}")),
        BecameCandidate { term } => info(format!("{id} became candidate at term {term}")),
        BecameLeader { term } => info(format!("{id} became leader at term {term}")),
        AlreadyLeader => debug(format!("{id} ignoring MsgHup because already leader")),
        Unpromotable => warn(format!("{id} is unpromotable and can not campaign")),
        UnpromotableInCampaign => warn(format!("{id} is unpromotable; campaign() should have been called")),
        ConfChangeUnapplied { term } => warn(format!(
            "{id} cannot campaign at term {term} since there are still pending configuration changes to apply"
        )),
        StartingElection { term } => info(format!("{id} is starting a new election at term {term}")),
        SentVoteRequest { last, kind: k, to, term } => info(format!(
            "{id} [logterm: {}, index: {}] sent {} request to {to:x} at term {term}",
            last.term,
            last.index,
            kind(k)
        )),
        ReceivedVote { kind: k, from, term, rejected } => {
            let rejection = if rejected { " rejection" } else { "" };
            info(format!("{id} received {}{rejection} from {from:x} at term {term}", kind(k)))
        }
        VoteTally { granted, kind: k, rejected } => {
            info(format!("{id} has received {granted} {} votes and {rejected} vote rejections", kind(k)))
        }
        IgnoredVoteInLease { scene, remaining } => info(format!(
            "{}: lease is not expired (remaining ticks: {remaining})",
            vote(id, &scene, "ignored", "from")
        )),
        CastVote(scene) => info(vote(id, &scene, "cast", "for")),
        RejectedVote(scene) => info(vote(id, &scene, "rejected", "from")),
        QuorumInactive => warn(format!("{id} stepped down to follower since quorum is not active")),
        _ => None,
    }
}

fn vote(id: &str, scene: &VoteScene, verb: &str, preposition: &str) -> String {
    format!(
        "{id} [logterm: {}, index: {}, vote: {:x}] {verb} {} {preposition} {:x} [logterm: {}, index: {}] at term {}",
        scene.last.term,
        scene.last.index,
        scene.vote,
        kind(scene.kind),
        scene.from,
        scene.candidate_last.term,
        scene.candidate_last.index,
        scene.term
    )
}

fn terms(id: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        HigherTerm { term, kind: k, from, message_term } => info(format!(
            "{id} [term: {term}] received a {} message with higher term from {from:x} [term: {message_term}]",
            kind(k)
        )),
        IgnoredLowerTerm { term, kind: k, from, message_term } => info(format!(
            "{id} [term: {term}] ignored a {} message with lower term from {from:x} [term: {message_term}]",
            kind(k)
        )),
        IgnoredStaleAppend { term, append_term } => info(format!(
            "{id} [term: {term}] ignored entry appends from a MsgStorageAppendResp message with lower term [term: {append_term}]"
        )),
        NoProgress { from } => debug(format!("{id} no progress available for {from:x}")),
        ForgetLeaderRefused => error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased"),
        ForgotLeader { leader, term } => info(format!("{id} forgetting leader {leader:x} at term {term}")),
        ReadWithoutLeader { term } => info(format!("{id} no leader at term {term}; dropping index reading msg")),
        _ => None,
    }
}

fn proposals(id: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        ProposalWithoutLeader { term } => info(format!("{id} no leader at term {term}; dropping proposal")),
        ProposalNotForwarded { leader, term } => {
            info(format!("{id} not forwarding to leader {leader:x} at term {term}; dropping proposal"))
        }
        ProposalDuringTransfer { term, transferee } => {
            debug(format!("{id} [term {term}] transfer leadership to {transferee:x} is in progress; dropping proposal"))
        }
        TooMuchUncommitted => warn(format!(
            "{id} appending new entries to log would exceed uncommitted entry size limit; dropping proposal"
        )),
        ConfChangeIgnored { change, membership: m, why } => {
            let why = match why {
                ConfChangeRefusal::MaybePending { index, applied } => {
                    format!("possible unapplied conf change at index {index} (applied to {applied})")
                }
                ConfChangeRefusal::MustLeaveJoint => "must transition out of joint config first".to_owned(),
                ConfChangeRefusal::NotJoint => "not in joint state; refusing empty conf change".to_owned(),
            };
            info(format!("{id} ignoring conf change {} at config {}: {why}", conf_change(change), membership(m)))
        }
        AutoLeave { membership: m } => {
            info(format!("initiating automatic transition out of joint configuration {}", membership(m)))
        }
        AutoLeaveDropped { membership: m, why } => {
            debug(format!("not initiating automatic transition out of joint configuration {}: {why}", membership(m)))
        }
        SwitchedMembership { membership: m } => info(format!("{id} switched to configuration {}", membership(m))),
        _ => None,
    }
}

fn replication(id: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        AppendRejected { hint, from, index } => debug(format!(
            "{id} received MsgAppResp(rejected, hint: (index {}, term {})) from {from:x} for index {index}",
            hint.index, hint.term
        )),
        DecreasedProgress { peer, progress: p } => {
            debug(format!("{id} decreased progress of {peer:x} to [{}]", progress(p)))
        }
        RejectedAppend { own_term, prev, from } => debug(format!(
            "{id} [logterm: {own_term}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {from:x}",
            prev.index, prev.term, prev.index
        )),
        RecoveredFromSnapshot { peer, progress: p } => debug(format!(
            "{id} recovered from needing snapshot, resumed sending replication messages to {peer:x} [{}]",
            progress(p)
        )),
        SnapshotToInactive { peer } => {
            debug(format!("ignore sending snapshot to {peer:x} since it is not recently active"))
        }
        SnapshotNotReady { peer } => {
            debug(format!("{id} failed to send snapshot to {peer:x} because snapshot is temporarily unavailable"))
        }
        SentSnapshot { first, committed, snapshot, peer, progress: p } => debug(format!(
            "{id} [firstindex: {first}, commit: {committed}] sent snapshot[index: {}, term: {}] to {peer:x} [{}]",
            snapshot.index,
            snapshot.term,
            progress(p)
        )),
        PausedForSnapshot { peer, progress: p } => {
            debug(format!("{id} paused sending replication messages to {peer:x} [{}]", progress(p)))
        }
        SnapshotDelivered { peer, progress: p } => debug(format!(
            "{id} snapshot succeeded, resumed sending replication messages to {peer:x} [{}]",
            progress(p)
        )),
        SnapshotFailed { peer, progress: p } => {
            debug(format!("{id} snapshot failed, resumed sending replication messages to {peer:x} [{}]", progress(p)))
        }
        Unreachable { peer, progress: p } => {
            debug(format!("{id} failed to send message to {peer:x} because it is unreachable [{}]", progress(p)))
        }
        _ => None,
    }
}

fn transfer(id: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        TransferToLearner => debug(format!("{id} is learner. Ignored transferring leadership")),
        TransferRepeated { term, transferee } => info(format!(
            "{id} [term {term}] transfer leadership to {transferee:x} is in progress, ignores request to same node {transferee:x}"
        )),
        TransferReplaced { term, previous } => {
            info(format!("{id} [term {term}] abort previous transferring leadership to {previous:x}"))
        }
        TransferToSelf => debug(format!("{id} is already leader. Ignored transferring leadership to self")),
        TransferStarted { term, transferee } => {
            info(format!("{id} [term {term}] starts to transfer leadership to {transferee:x}"))
        }
        TransferImmediate { transferee } => info(format!(
            "{id} sends MsgTimeoutNow to {transferee:x} immediately as {transferee:x} already has up-to-date log"
        )),
        TransferCaughtUp { transferee } => {
            info(format!("{id} sent MsgTimeoutNow to {transferee:x} after received MsgAppResp"))
        }
        TransferWithoutLeader { term } => info(format!("{id} no leader at term {term}; dropping leader transfer msg")),
        ReceivedTimeoutNow { term, from } => info(format!(
            "{id} [term {term}] received MsgTimeoutNow from {from:x} and starts an election to get leadership."
        )),
        IgnoredTimeoutNow { term, role: r, from } => {
            debug(format!("{id} [term {term} state {}] ignored MsgTimeoutNow from {from:x}", role(r)))
        }
        _ => None,
    }
}

fn log(_: &str, event: &TraceEvent<'_>) -> Line {
    match *event {
        FoundConflict { index, existing_term, conflicting_term } => info(format!(
            "found conflict at index {index} [existing term: {existing_term}, conflicting term: {conflicting_term}]"
        )),
        ReplacedUnstable { from } => info(format!("replace the unstable entries from index {from}")),
        TruncatedUnstable { from } => info(format!("truncate the unstable entries before index {from}")),
        StableMissing { index } => info(format!("entry at index {index} missing from unstable log; ignoring")),
        StableIsSnapshot { index } => info(format!("entry at index {index} matched unstable snapshot; ignoring")),
        StableMismatch { stable, own_term } => info(format!(
            "entry at (index,term)=({},{}) mismatched with entry at ({},{own_term}) in unstable log; ignoring",
            stable.index, stable.term, stable.index
        )),
        _ => None,
    }
}

fn snapshots(id: &str, event: &TraceEvent<'_>) -> Line {
    let place = |s: LogId| format!("[index: {}, term: {}]", s.index, s.term);
    let around = |committed: u64, last: LogId| {
        format!("[commit: {committed}, lastindex: {}, lastterm: {}]", last.index, last.term)
    };
    match *event {
        RestoringLog { scene, snapshot } => info(format!(
            "log [committed={}, applied={}, applying={}, unstable.offset={}, unstable.offsetInProgress={}, len(unstable.Entries)={}] starts to restore snapshot {}",
            scene.committed,
            scene.applied,
            scene.applying,
            scene.offset,
            scene.offset_in_progress,
            scene.unstable,
            place(snapshot)
        )),
        RestoredLog { committed, last, snapshot } => {
            info(format!("{id} {} restored snapshot {}", around(committed, last), place(snapshot)))
        }
        FastForwarded { committed, last, snapshot } => {
            info(format!("{id} {} fast-forwarded commit to snapshot {}", around(committed, last), place(snapshot)))
        }
        RestoredSnapshot { committed, snapshot } => {
            info(format!("{id} [commit: {committed}] restored snapshot {}", place(snapshot)))
        }
        IgnoredSnapshot { committed, snapshot } => {
            info(format!("{id} [commit: {committed}] ignored snapshot {}", place(snapshot)))
        }
        SnapshotToNonFollower => warn(format!("{id} attempted to restore snapshot as leader; should never happen")),
        SnapshotWithoutMe { conf_state: cs } => warn(format!(
            "{id} attempted to restore snapshot but it is not in the ConfState {}; should never happen",
            conf_state(cs)
        )),
        _ => None,
    }
}
