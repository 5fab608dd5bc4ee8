//! Raft's values in the words of the transcripts.
//!
//! Pure text; must not decide anything.

use raft::message::Append;
use raft::{
    Body, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Entry, EntryKind, HardState, Message, MessageKind,
    NodeId, Progress, ProgressMap, ProgressState, Role, Snapshot, SoftState, Transition,
};

/// A message with the fields that may be printed; zero and empty ones are not.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) kind: &'static str,
    pub(crate) term: u64,
    pub(crate) log_term: u64,
    pub(crate) index: u64,
    pub(crate) rejected: Option<u64>,
    pub(crate) commit: u64,
    pub(crate) vote: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) responses: Vec<Line>,
}

impl Line {
    /// The text, each line after the first indented.
    pub(crate) fn text(&self) -> String {
        self.text_at("")
    }

    fn text_at(&self, indent: &str) -> String {
        let Line { from, to, kind, term, log_term, index, .. } = self;
        let mut text = format!("{indent}{from}->{to} {kind} Term:{term} Log:{log_term}/{index}");
        if let Some(hint) = self.rejected {
            text += &format!(" Rejected (Hint: {hint})");
        }
        if self.commit != 0 {
            text += &format!(" Commit:{}", self.commit);
        }
        if self.vote != 0 {
            text += &format!(" Vote:{}", self.vote);
        }
        match &self.entries[..] {
            [] => {}
            [one] => text += &format!(" Entries:[{}]", entry(one)),
            many => {
                text += " Entries:[";
                for e in many {
                    text += &format!("\n{indent}  {}", entry(e));
                }
                text += &format!("\n{indent}]");
            }
        }
        if let Some(s) = self.snapshot.as_ref().filter(|s| !s.is_empty()) {
            text += &format!("\n{indent}  Snapshot: {}", snapshot(s));
        }
        if !self.responses.is_empty() {
            text += " Responses:[";
            for response in &self.responses {
                text += &format!("\n{}", response.text_at(&format!("{indent}  ")));
            }
            text += &format!("\n{indent}]");
        }
        text
    }
}

/// A message between members.
pub(crate) fn message(m: &Message) -> Line {
    let mut line =
        Line { from: target(m.from), to: target(m.to), kind: kind(m.body.kind()), term: m.term, ..Line::default() };
    match &m.body {
        Body::Append(Append { prev_index, prev_term, commit, entries }) => {
            (line.log_term, line.index, line.commit) = (*prev_term, *prev_index, *commit);
            line.entries = entries.clone();
        }
        Body::AppendAccepted { index } => line.index = *index,
        Body::AppendRejected { index, hint_index, hint_term } => {
            (line.index, line.log_term, line.rejected) = (*index, *hint_term, Some(*hint_index));
        }
        Body::Heartbeat { commit, .. } => line.commit = *commit,
        Body::Vote(request) | Body::PreVote(request) => {
            (line.log_term, line.index) = (request.last_term, request.last_index);
        }
        Body::VoteResp { rejected } | Body::PreVoteResp { rejected } => line.rejected = rejected.then_some(0),
        Body::Snapshot(s) => line.snapshot = Some((**s).clone()),
        Body::Propose(proposals) => {
            let entries = proposals.iter().map(|p| Entry { term: 0, index: 0, kind: p.kind, data: p.data.clone() });
            line.entries = entries.collect();
        }
        Body::TransferLeader { transferee } => line.from = target(*transferee),
        Body::ReadIndexResp { index, .. } => line.index = *index,
        Body::HeartbeatAck { .. } | Body::TimeoutNow | Body::ReadIndex { .. } => {}
    }
    line
}

/// A member's id in hexadecimal.
pub(crate) fn target(id: NodeId) -> String {
    if id == 0 { "None".to_owned() } else { format!("{id:x}") }
}

pub(crate) fn kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Propose => "MsgProp",
        MessageKind::Append => "MsgApp",
        MessageKind::AppendResp => "MsgAppResp",
        MessageKind::Vote => "MsgVote",
        MessageKind::VoteResp => "MsgVoteResp",
        MessageKind::Snapshot => "MsgSnap",
        MessageKind::Heartbeat => "MsgHeartbeat",
        MessageKind::HeartbeatResp => "MsgHeartbeatResp",
        MessageKind::TransferLeader => "MsgTransferLeader",
        MessageKind::TimeoutNow => "MsgTimeoutNow",
        MessageKind::ReadIndex => "MsgReadIndex",
        MessageKind::ReadIndexResp => "MsgReadIndexResp",
        MessageKind::PreVote => "MsgPreVote",
        MessageKind::PreVoteResp => "MsgPreVoteResp",
    }
}

pub(crate) fn entry(e: &Entry) -> String {
    let (name, content) = match e.kind {
        EntryKind::Normal => ("EntryNormal", quoted(&e.data)),
        EntryKind::ConfChange => ("EntryConfChange", steps_of(e)),
        EntryKind::ConfChangeV2 => ("EntryConfChangeV2", steps_of(e)),
    };
    let space = if content.is_empty() { "" } else { " " };
    format!("{}/{} {name}{space}{content}", e.term, e.index)
}

fn steps_of(e: &Entry) -> String {
    match ConfChangeV2::from_entry(e) {
        Ok(change) => change.map_or(String::new(), |change| steps(&change.changes)),
        Err(why) => why.to_string(),
    }
}

fn steps(changes: &[ConfChangeSingle]) -> String {
    let letter = |kind| match kind {
        ConfChangeKind::AddNode => 'v',
        ConfChangeKind::AddLearnerNode => 'l',
        ConfChangeKind::RemoveNode => 'r',
        ConfChangeKind::UpdateNode => 'u',
    };
    let steps: Vec<String> = changes.iter().map(|step| format!("{}{}", letter(step.kind), step.node_id)).collect();
    steps.join(" ")
}

/// As Go's `%q`.
fn quoted(data: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in data.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() => text += &format!("\\x{:02x}", u32::from(c)),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text.push('"');
    text
}

pub(crate) fn hard_state(hs: &HardState) -> String {
    let vote = if hs.vote == 0 { String::new() } else { format!(" Vote:{}", hs.vote) };
    format!("Term:{}{vote} Commit:{}", hs.term, hs.commit)
}

pub(crate) fn soft_state(ss: &SoftState) -> String {
    format!("Lead:{} State:{}", ss.leader, role(ss.role))
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Follower => "StateFollower",
        Role::Candidate => "StateCandidate",
        Role::Leader => "StateLeader",
        Role::PreCandidate => "StatePreCandidate",
    }
}

pub(crate) fn snapshot(s: &Snapshot) -> String {
    format!("Index:{} Term:{} ConfState:{}", s.meta.index, s.meta.term, conf_state(&s.meta.conf_state))
}

pub(crate) fn conf_state(cs: &ConfState) -> String {
    let list = |ids: &[NodeId]| {
        let ids: Vec<String> = ids.iter().map(NodeId::to_string).collect();
        format!("[{}]", ids.join(" "))
    };
    format!(
        "Voters:{} VotersOutgoing:{} Learners:{} LearnersNext:{} AutoLeave:{}",
        list(&cs.voters),
        list(&cs.voters_outgoing),
        list(&cs.learners),
        list(&cs.learners_next),
        cs.auto_leave
    )
}

/// A membership in the form `voters=(1 2)&&(1) learners=(3) autoleave`.
pub(crate) fn membership(cs: &ConfState) -> String {
    let set = |ids: &[NodeId]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
        format!("({})", ids.join(" "))
    };
    let mut text = format!("voters={}", set(&cs.voters));
    if !cs.voters_outgoing.is_empty() {
        text += &format!("&&{}", set(&cs.voters_outgoing));
    }
    if !cs.learners.is_empty() {
        text += &format!(" learners={}", set(&cs.learners));
    }
    if !cs.learners_next.is_empty() {
        text += &format!(" learners_next={}", set(&cs.learners_next));
    }
    if cs.auto_leave {
        text += " autoleave";
    }
    text
}

pub(crate) fn progress(pr: &Progress) -> String {
    let state = match pr.state {
        ProgressState::Probe => "StateProbe",
        ProgressState::Replicate => "StateReplicate",
        ProgressState::Snapshot { .. } => "StateSnapshot",
    };
    let mut text = format!("{state} match={} next={}", pr.matched, pr.next);
    if pr.is_learner {
        text += " learner";
    }
    if pr.is_paused() {
        text += " paused";
    }
    if pr.pending_snapshot() > 0 {
        text += &format!(" pendingSnap={}", pr.pending_snapshot());
    }
    if !pr.recent_active {
        text += " inactive";
    }
    if pr.inflights.count() > 0 {
        text += &format!(" inflight={}", pr.inflights.count());
        if pr.inflights.is_full() {
            text += "[full]";
        }
    }
    text
}

/// One line per member.
pub(crate) fn progress_map(map: &ProgressMap) -> String {
    map.iter().map(|(id, pr)| format!("{id}: {}\n", progress(pr))).collect()
}

/// A change in the form of etcd's log lines.
pub(crate) fn conf_change(change: &ConfChangeV2) -> String {
    let mut text = format!("transition:{}", transition(change.transition));
    for step in &change.changes {
        text += &format!(" changes:{{type:{} node_id:{}}}", change_kind(step.kind), step.node_id);
    }
    if !change.context.is_empty() {
        text += &format!(" context:{}", quoted(&change.context));
    }
    text
}

fn transition(transition: Transition) -> &'static str {
    match transition {
        Transition::Auto => "ConfChangeTransitionAuto",
        Transition::JointImplicit => "ConfChangeTransitionJointImplicit",
        Transition::JointExplicit => "ConfChangeTransitionJointExplicit",
    }
}

fn change_kind(kind: ConfChangeKind) -> &'static str {
    match kind {
        ConfChangeKind::AddNode => "ConfChangeAddNode",
        ConfChangeKind::RemoveNode => "ConfChangeRemoveNode",
        ConfChangeKind::UpdateNode => "ConfChangeUpdateNode",
        ConfChangeKind::AddLearnerNode => "ConfChangeAddLearnerNode",
    }
}
