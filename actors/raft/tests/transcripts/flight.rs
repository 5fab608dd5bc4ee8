//! What is under way between nodes, and between a node and its disk and state machine.
//!
//! The core gives completions as tokens; the transcripts show them as messages of local threads, and so does this.

use raft::{Append, AppliedToken, Apply, Entry, HardState, Message, NodeId, PersistedToken, Snapshot};

use crate::describe::{Line, message, target};

const APPEND_THREAD: &str = "AppendThread";
const APPLY_THREAD: &str = "ApplyThread";

/// One thing under way.
pub(crate) enum Flight {
    /// Between members, or of a member to itself.
    Message(Message),
    /// An append is durable.
    Persisted { to: NodeId, token: PersistedToken, snapshot: Option<Snapshot> },
    /// Entries are applied.
    Applied { to: NodeId, token: AppliedToken, entries: Vec<Entry> },
}

impl Flight {
    pub(crate) fn to(&self) -> NodeId {
        match self {
            Flight::Message(m) => m.to,
            Flight::Persisted { to, .. } | Flight::Applied { to, .. } => *to,
        }
    }

    /// Stays within a member, so it cannot get lost.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Flight::Message(m) => m.from == m.to,
            Flight::Persisted { .. } | Flight::Applied { .. } => true,
        }
    }

    pub(crate) fn line(&self) -> Line {
        match self {
            Flight::Message(m) => message(m),
            Flight::Persisted { to, token, snapshot } => persisted(*to, token, snapshot.as_ref()),
            Flight::Applied { to, entries, .. } => applied(*to, entries),
        }
    }
}

fn persisted(to: NodeId, token: &PersistedToken, snapshot: Option<&Snapshot>) -> Line {
    let stable = token.stable().unwrap_or_default();
    Line {
        from: APPEND_THREAD.to_owned(),
        to: target(to),
        kind: "MsgStorageAppendResp",
        term: token.term(),
        log_term: stable.term,
        index: stable.index,
        snapshot: snapshot.cloned(),
        ..Line::default()
    }
}

fn applied(to: NodeId, entries: &[Entry]) -> Line {
    Line {
        from: APPLY_THREAD.to_owned(),
        to: target(to),
        kind: "MsgStorageApplyResp",
        entries: entries.to_vec(),
        ..Line::default()
    }
}

/// An append as a message to the local thread, with or without its responses.
pub(crate) fn append_line(from: NodeId, append: &Append, with_responses: bool) -> Line {
    let HardState { term, vote, commit } = append.hard_state.unwrap_or_default();
    Line {
        from: target(from),
        to: APPEND_THREAD.to_owned(),
        kind: "MsgStorageAppend",
        term,
        vote,
        commit,
        entries: append.entries.clone(),
        snapshot: append.snapshot.clone(),
        responses: if with_responses { response_lines(from, append) } else { Vec::new() },
        ..Line::default()
    }
}

fn response_lines(from: NodeId, append: &Append) -> Vec<Line> {
    let mut lines: Vec<Line> = in_order(&append.responses, append.token.local()).into_iter().map(message).collect();
    if append.token.is_acknowledgement() {
        lines.push(persisted(from, &append.token, append.snapshot.as_ref()));
    }
    lines
}

/// Responses to others and to oneself in the order in which the core queued them.
fn in_order<'a>(responses: &'a [Message], local: &'a [(usize, Message)]) -> Vec<&'a Message> {
    let mut all = Vec::new();
    let mut local = local.iter().peekable();
    for position in 0..=responses.len() {
        while let Some((_, message)) = local.next_if(|(before, _)| *before == position) {
            all.push(message);
        }
        all.extend(responses.get(position));
    }
    all
}

/// What a durable append sets free.
pub(crate) fn released(from: NodeId, mut append: Append) -> Vec<Flight> {
    let local = append.token.take_local();
    let messages = in_order(&append.responses, &local).into_iter().cloned();
    let mut flights: Vec<Flight> = messages.map(Flight::Message).collect();
    flights.push(Flight::Persisted { to: from, token: append.token, snapshot: append.snapshot });
    flights
}

/// An apply as a message to the local thread, with or without its response.
pub(crate) fn apply_line(from: NodeId, apply: &Apply, with_responses: bool) -> Line {
    Line {
        from: target(from),
        to: APPLY_THREAD.to_owned(),
        kind: "MsgStorageApply",
        entries: apply.entries.clone(),
        responses: if with_responses { vec![applied(from, &apply.entries)] } else { Vec::new() },
        ..Line::default()
    }
}
