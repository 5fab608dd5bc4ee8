//! Transcripts of quorum arithmetic: what is committed, how a vote stands, with a bar chart of the inputs.
//!
//! Checks on the way what must not matter: order of the halves, joining with nothing or with itself, who is how far
//! behind.

use std::collections::BTreeMap;

use raft::quorum::{VoteResult, joint_committed, joint_vote, majority_committed, majority_vote};
use raft::{Index, NodeId};

use crate::datadriven::Directive;

type Acks = BTreeMap<NodeId, Index>;

/// One directive; they have no common state.
pub(crate) fn handle(d: &Directive) -> String {
    let ids = numbers(d, "cfg");
    let is_joint = !d.values("cfgj").is_empty();
    let joint_ids = if d.values("cfgj") == ["zero"] { Vec::new() } else { numbers(d, "cfgj") };
    let input: Vec<u64> = match d.command.as_str() {
        "committed" => d.values("idx").iter().map(|v| if v == "_" { 0 } else { d.number(v) }).collect(),
        "vote" => d.values("votes").iter().map(|v| vote_number(d, v)).collect(),
        other => panic!("{}: unknown command {other}", d.place),
    };
    let mut all = [&ids[..], &joint_ids].concat();
    all.sort_unstable();
    all.dedup();
    if all.len() != input.len() {
        return mismatch(&all, &input);
    }
    let acks = assign(&ids, &joint_ids, &input);
    match (d.command.as_str(), is_joint) {
        ("committed", false) => chart(&all, &acks) + &majority(&ids, &acks),
        ("committed", true) => chart(&all, &acks) + &joint(&ids, &joint_ids, &acks),
        (_, false) => format!("{}\n", name(majority_vote(&ids, |id| yes(&acks, id)))),
        (_, true) => {
            let result = joint_vote(&ids, &joint_ids, |id| yes(&acks, id));
            let mirrored = joint_vote(&joint_ids, &ids, |id| yes(&acks, id));
            let note =
                if mirrored == result { String::new() } else { format!("{} <-- via symmetry\n", name(mirrored)) };
            format!("{note}{}\n", name(result))
        }
    }
}

fn mismatch(all: &[NodeId], input: &[u64]) -> String {
    let set: Vec<String> = all.iter().map(|id| format!("{id}:{{}}")).collect();
    let input: Vec<String> = input.iter().map(u64::to_string).collect();
    format!("error: mismatched input (explicit or _) for voters map[{}]: [{}]", set.join(" "), input.join(" "))
}

fn numbers(d: &Directive, key: &str) -> Vec<u64> {
    d.values(key).iter().map(|value| d.number(value)).collect()
}

/// Votes share the code of indexes: 2 is yes, 1 is no.
fn vote_number(d: &Directive, value: &str) -> u64 {
    match value {
        "y" => 2,
        "n" => 1,
        "_" => 0,
        other => panic!("{}: unknown vote {other}", d.place),
    }
}

/// Inputs belong to the ids in the order of their first mention; zero is no input.
fn assign(ids: &[NodeId], joint_ids: &[NodeId], input: &[u64]) -> Acks {
    let mut seen = Vec::new();
    for id in ids.iter().chain(joint_ids) {
        if !seen.contains(id) {
            seen.push(*id);
        }
    }
    seen.into_iter().zip(input.iter().copied()).filter(|(_, index)| *index != 0).collect()
}

fn yes(acks: &Acks, id: NodeId) -> Option<bool> {
    acks.get(&id).map(|vote| *vote != 1)
}

fn majority(ids: &[NodeId], acks: &Acks) -> String {
    let acked = |id| acks.get(&id).copied();
    let index = majority_committed(ids, acked);
    let mut text = String::new();
    let mut compare = |other: Index, how: String| {
        if other != index {
            text += &format!("{} <-- {how}", show(other));
        }
    };
    compare(alternative(ids, acks), "via alternative computation\n".to_owned());
    compare(joint_committed(ids, &[], acked), "via zero-joint quorum\n".to_owned());
    compare(joint_committed(ids, ids, acked), "via self-joint quorum\n".to_owned());
    for &id in ids {
        let own = acked(id).unwrap_or(0);
        if index > own && own > 0 {
            // Who is behind what is committed anyway may be further behind.
            for lower in [own - 1, 0] {
                let other = majority_committed(ids, |i| if i == id { Some(lower) } else { acked(i) });
                compare(other, format!("overlaying {id}->{lower}"));
            }
        }
    }
    text + &format!("{}\n", show(index))
}

fn joint(ids: &[NodeId], joint_ids: &[NodeId], acks: &Acks) -> String {
    let acked = |id| acks.get(&id).copied();
    let index = joint_committed(ids, joint_ids, acked);
    let mirrored = joint_committed(joint_ids, ids, acked);
    let note = if mirrored == index { String::new() } else { format!("{} <-- via symmetry\n", show(mirrored)) };
    format!("{note}{}\n", show(index))
}

/// The highest index that enough members have reached, by counting.
fn alternative(ids: &[NodeId], acks: &Acks) -> Index {
    if ids.is_empty() {
        return Index::MAX;
    }
    let reached = |index: Index| ids.iter().filter(|id| acks.get(id).is_some_and(|acked| *acked >= index)).count();
    acks.values().copied().filter(|index| reached(*index) > ids.len() / 2).max().unwrap_or(0)
}

fn show(index: Index) -> String {
    if index == Index::MAX { "∞".to_owned() } else { index.to_string() }
}

fn name(result: VoteResult) -> &'static str {
    match result {
        VoteResult::Pending => "VotePending",
        VoteResult::Lost => "VoteLost",
        VoteResult::Won => "VoteWon",
    }
}

/// One bar per member; the longer, the more members are behind it.
fn chart(ids: &[NodeId], acks: &Acks) -> String {
    if ids.is_empty() {
        return "<empty majority quorum>".to_owned();
    }
    let n = ids.len();
    let index = |id: &NodeId| acks.get(id).copied().unwrap_or(0);
    let mut text = format!("{}    idx\n", " ".repeat(n));
    for id in ids {
        let behind = ids.iter().filter(|other| index(other) < index(id)).count();
        let bar = match acks.contains_key(id) {
            true => format!("{}>{}", "x".repeat(behind), " ".repeat(n - behind)),
            false => format!("?{}", " ".repeat(n)),
        };
        text += &format!("{bar} {:>5}    (id={id:x})\n", index(id));
    }
    text
}
