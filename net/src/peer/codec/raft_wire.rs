//! The rkyv form of a raft message, and the checks on the way back.
//!
//! The `…1` types are frame version 1 and must never change: a new shape is a new version. Nothing is read before the archive
//! validates, and nothing leaves before [`raft::Message::is_well_formed`] holds.

use bytes::Bytes;
use raft::message::Append;
use raft::{
    Body, ConfState, Entry, EntryKind, Index, Message, NodeId, Proposal, Snapshot, SnapshotMeta, Term, VoteRequest,
};
use rkyv::rancor::Error;
use rkyv::vec::ArchivedVec;
use rkyv::{Archive, Serialize};

use super::error::FrameError;

/// More members than any cluster has, in all lists of a membership together.
const MAX_MEMBERS: usize = 1 << 10;
/// Indexes end here: no log gets so far, and sums of two stay in range.
const MAX_INDEX: Index = Index::MAX / 2;

#[derive(Archive, Serialize)]
struct Message1 {
    from: u64,
    to: u64,
    term: u64,
    body: Body1,
}

#[derive(Archive, Serialize)]
enum Body1 {
    Append {
        prev_index: u64,
        prev_term: u64,
        commit: u64,
        entries: Vec<Entry1>,
    },
    AppendAccepted {
        index: u64,
    },
    AppendRejected {
        index: u64,
        hint_index: u64,
        hint_term: u64,
    },
    Heartbeat {
        commit: u64,
        read_round: u64,
    },
    HeartbeatAck {
        read_round: u64,
    },
    Vote(Vote1),
    VoteResp {
        rejected: bool,
    },
    PreVote(Vote1),
    PreVoteResp {
        rejected: bool,
    },
    /// Boxed: every archive of a message would be as long as this one.
    Snapshot(Box<Snapshot1>),
    TimeoutNow,
    Propose(Vec<Proposal1>),
    TransferLeader {
        transferee: u64,
    },
    ReadIndex {
        tag: u64,
    },
    ReadIndexResp {
        index: u64,
        tag: u64,
    },
}

/// An entry; its index follows from its place.
#[derive(Archive, Serialize)]
struct Entry1 {
    term: u64,
    kind: u8,
    data: Bytes,
}

#[derive(Archive, Serialize)]
struct Proposal1 {
    kind: u8,
    data: Bytes,
}

#[derive(Archive, Serialize)]
struct Vote1 {
    last_index: u64,
    last_term: u64,
    transfer: bool,
}

#[derive(Archive, Serialize)]
struct Snapshot1 {
    index: u64,
    term: u64,
    members: Members1,
    data: Bytes,
}

#[derive(Archive, Serialize)]
struct Members1 {
    voters: Vec<u64>,
    learners: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners_next: Vec<u64>,
    auto_leave: bool,
}

/// Appends the archive of `message` to `out`. Payloads are copied once.
pub(super) fn archive(message: &Message, out: Vec<u8>) -> Vec<u8> {
    let flat = Message1 { from: message.from, to: message.to, term: message.term, body: flatten(&message.body) };
    rkyv::api::high::to_bytes_in::<_, Error>(&flat, out).expect("a message of integers and bytes always archives")
}

fn flatten(body: &Body) -> Body1 {
    match body {
        Body::Append(Append { prev_index, prev_term, commit, entries }) => {
            let flat = |e: &Entry| Entry1 { term: e.term, kind: e.kind as u8, data: e.data.clone() };
            let entries = entries.iter().map(flat).collect();
            Body1::Append { prev_index: *prev_index, prev_term: *prev_term, commit: *commit, entries }
        }
        Body::AppendAccepted { index } => Body1::AppendAccepted { index: *index },
        Body::AppendRejected { index, hint_index, hint_term } => {
            Body1::AppendRejected { index: *index, hint_index: *hint_index, hint_term: *hint_term }
        }
        Body::Heartbeat { commit, read_round } => Body1::Heartbeat { commit: *commit, read_round: *read_round },
        Body::HeartbeatAck { read_round } => Body1::HeartbeatAck { read_round: *read_round },
        Body::Vote(request) => Body1::Vote(request.into()),
        Body::VoteResp { rejected } => Body1::VoteResp { rejected: *rejected },
        Body::PreVote(request) => Body1::PreVote(request.into()),
        Body::PreVoteResp { rejected } => Body1::PreVoteResp { rejected: *rejected },
        Body::Snapshot(snapshot) => {
            let SnapshotMeta { conf_state, index, term } = &snapshot.meta;
            let (index, term, data) = (*index, *term, snapshot.data.clone());
            Body1::Snapshot(Box::new(Snapshot1 { index, term, members: conf_state.into(), data }))
        }
        Body::TimeoutNow => Body1::TimeoutNow,
        Body::Propose(proposals) => {
            let flat = |p: &Proposal| Proposal1 { kind: p.kind as u8, data: p.data.clone() };
            Body1::Propose(proposals.iter().map(flat).collect())
        }
        Body::TransferLeader { transferee } => Body1::TransferLeader { transferee: *transferee },
        Body::ReadIndex { tag } => Body1::ReadIndex { tag: *tag },
        Body::ReadIndexResp { index, tag } => Body1::ReadIndexResp { index: *index, tag: *tag },
    }
}

impl From<&VoteRequest> for Vote1 {
    fn from(request: &VoteRequest) -> Self {
        let VoteRequest { last_index, last_term, transfer } = *request;
        Self { last_index, last_term, transfer }
    }
}

impl From<&ConfState> for Members1 {
    fn from(state: &ConfState) -> Self {
        Self {
            voters: state.voters.clone(),
            learners: state.learners.clone(),
            voters_outgoing: state.voters_outgoing.clone(),
            learners_next: state.learners_next.clone(),
            auto_leave: state.auto_leave,
        }
    }
}

/// The message in an archive, checked by itself. Payloads are slices of `frame`.
pub(super) fn read(frame: &Bytes) -> Result<Message, FrameError> {
    let archived = rkyv::access::<ArchivedMessage1, Error>(frame)
        .map_err(|_| FrameError::Malformed("the archive does not validate"))?;
    let (from, to, term) = (archived.from.to_native(), archived.to.to_native(), archived.term.to_native());
    let message = Message { from, to, term, body: body(frame, &archived.body)? };
    check(&message).map_err(FrameError::Malformed)?;
    Ok(message)
}

fn body(frame: &Bytes, archived: &ArchivedBody1) -> Result<Body, FrameError> {
    Ok(match archived {
        ArchivedBody1::Append { prev_index, prev_term, commit, entries } => {
            let prev_index = prev_index.to_native();
            if prev_index >= MAX_INDEX {
                return Err(FrameError::Malformed("an index is out of range"));
            }
            let numbered = (prev_index + 1..).zip(entries.iter());
            let entries = numbered.map(|(index, e)| {
                Ok(Entry { term: e.term.to_native(), index, kind: kind(e.kind)?, data: payload(frame, &e.data) })
            });
            Body::Append(Append {
                prev_index,
                prev_term: prev_term.to_native(),
                commit: commit.to_native(),
                entries: entries.collect::<Result<_, FrameError>>()?,
            })
        }
        ArchivedBody1::AppendAccepted { index } => Body::AppendAccepted { index: index.to_native() },
        ArchivedBody1::AppendRejected { index, hint_index, hint_term } => Body::AppendRejected {
            index: index.to_native(),
            hint_index: hint_index.to_native(),
            hint_term: hint_term.to_native(),
        },
        ArchivedBody1::Heartbeat { commit, read_round } => {
            Body::Heartbeat { commit: commit.to_native(), read_round: read_round.to_native() }
        }
        ArchivedBody1::HeartbeatAck { read_round } => Body::HeartbeatAck { read_round: read_round.to_native() },
        ArchivedBody1::Vote(request) => Body::Vote(vote(request)),
        ArchivedBody1::VoteResp { rejected } => Body::VoteResp { rejected: *rejected },
        ArchivedBody1::PreVote(request) => Body::PreVote(vote(request)),
        ArchivedBody1::PreVoteResp { rejected } => Body::PreVoteResp { rejected: *rejected },
        ArchivedBody1::Snapshot(found) => {
            let (index, term) = (found.index.to_native(), found.term.to_native());
            let meta = SnapshotMeta { conf_state: members(&found.members)?, index, term };
            Body::Snapshot(Box::new(Snapshot { meta, data: payload(frame, &found.data) }))
        }
        ArchivedBody1::TimeoutNow => Body::TimeoutNow,
        ArchivedBody1::Propose(proposals) => {
            let one = |p: &ArchivedProposal1| Ok(Proposal { kind: kind(p.kind)?, data: payload(frame, &p.data) });
            Body::Propose(proposals.iter().map(one).collect::<Result<_, FrameError>>()?)
        }
        ArchivedBody1::TransferLeader { transferee } => Body::TransferLeader { transferee: transferee.to_native() },
        ArchivedBody1::ReadIndex { tag } => Body::ReadIndex { tag: tag.to_native() },
        ArchivedBody1::ReadIndexResp { index, tag } => {
            Body::ReadIndexResp { index: index.to_native(), tag: tag.to_native() }
        }
    })
}

fn kind(byte: u8) -> Result<EntryKind, FrameError> {
    match byte {
        0 => Ok(EntryKind::Normal),
        1 => Ok(EntryKind::ConfChange),
        2 => Ok(EntryKind::ConfChangeV2),
        _ => Err(FrameError::Malformed("an entry is of no known kind")),
    }
}

fn payload(frame: &Bytes, data: &ArchivedVec<u8>) -> Bytes {
    if data.is_empty() { Bytes::new() } else { frame.slice_ref(data.as_slice()) }
}

fn vote(request: &ArchivedVote1) -> VoteRequest {
    VoteRequest {
        last_index: request.last_index.to_native(),
        last_term: request.last_term.to_native(),
        transfer: request.transfer,
    }
}

fn members(list: &ArchivedMembers1) -> Result<ConfState, FrameError> {
    let lists = [&list.voters, &list.learners, &list.voters_outgoing, &list.learners_next];
    if lists.iter().map(|ids| ids.len()).sum::<usize>() > MAX_MEMBERS {
        return Err(FrameError::Malformed("a membership is too large"));
    }
    let [voters, learners, voters_outgoing, learners_next] =
        lists.map(|ids| ids.iter().map(|id| id.to_native()).collect::<Vec<NodeId>>());
    Ok(ConfState { voters, learners, voters_outgoing, learners_next, auto_leave: list.auto_leave })
}

/// What a correct member never sends, whoever it is.
fn check(message: &Message) -> Result<(), &'static str> {
    let of_no_term = matches!(message.body, Body::Propose(_) | Body::ReadIndex { .. });
    if message.from == 0 || message.to == 0 {
        return Err("it is from nobody or for nobody");
    }
    if (message.term == 0) != of_no_term || message.term == Term::MAX {
        return Err("its term is impossible");
    }
    if indexes(&message.body).any(|index| index >= MAX_INDEX) {
        return Err("an index is out of range");
    }
    match &message.body {
        Body::Propose(proposals) if proposals.is_empty() => return Err("it proposes nothing"),
        Body::TransferLeader { transferee: 0 } => return Err("it transfers leadership to nobody"),
        Body::Snapshot(snapshot) => {
            let meta = &snapshot.meta;
            if meta.term == 0 || meta.term > message.term {
                return Err("its snapshot is of an impossible term");
            }
            check_members(&meta.conf_state)?;
        }
        _ => {}
    }
    if message.is_well_formed() { Ok(()) } else { Err("its parts contradict each other") }
}

/// Rules that every membership follows, see the core's RI-5: the core takes a snapshot's for granted.
fn check_members(state: &ConfState) -> Result<(), &'static str> {
    let ConfState { voters, learners, voters_outgoing, learners_next, auto_leave } = state;
    if voters.is_empty() {
        return Err("its membership has no voter");
    }
    let lists = [voters, learners, voters_outgoing, learners_next];
    if lists.into_iter().any(|ids| ids.contains(&0) || has_twins(ids)) {
        return Err("its membership names nobody, or somebody twice");
    }
    let apart = |a: &[NodeId], b: &[NodeId]| !a.iter().any(|id| b.contains(id));
    let roles = apart(learners, voters)
        && apart(learners, voters_outgoing)
        && apart(learners_next, voters)
        && learners_next.iter().all(|id| voters_outgoing.contains(id))
        && (!auto_leave || !voters_outgoing.is_empty());
    if roles { Ok(()) } else { Err("its membership contradicts itself") }
}

fn has_twins(ids: &[NodeId]) -> bool {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn indexes(body: &Body) -> impl Iterator<Item = Index> {
    let three = match body {
        Body::Append(append) => [append.prev_index, append.commit, 0],
        Body::AppendAccepted { index } | Body::ReadIndexResp { index, .. } => [*index, 0, 0],
        Body::AppendRejected { index, hint_index, .. } => [*index, *hint_index, 0],
        Body::Heartbeat { commit, .. } => [*commit, 0, 0],
        Body::Vote(request) | Body::PreVote(request) => [request.last_index, 0, 0],
        Body::Snapshot(snapshot) => [snapshot.meta.index, 0, 0],
        _ => [0; 3],
    };
    three.into_iter()
}
