//! Creating nodes, and giving them something to do.

use bytes::Bytes;
use raft::{
    AnyConfChange, Body, ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, Config, MemoryStorage, Message,
    NO_LIMIT, Node, ReadOnly, Snapshot, Storage, Transition,
};

use crate::datadriven::Directive;
use crate::describe;
use crate::env::{Env, EnvNode, EnvStorage, Outcome};
use crate::flight::Flight;
use crate::log_lines::Sink;

impl Env {
    pub(crate) fn add_nodes(&mut self, d: &Directive) -> Outcome {
        let mut snapshot = Snapshot::default();
        let mut config = Config::new(0);
        (config.election_tick, config.heartbeat_tick) = (3, 1);
        (config.async_storage_writes, config.lazy_commit) = (false, false);
        config.max_inflight_msgs = i32::MAX as usize;
        (config.max_size_per_msg, config.max_committed_size_per_ready) = (NO_LIMIT, 0);
        for arg in &d.args[1..] {
            for value in &arg.values {
                configure(&mut config, &mut snapshot, d, &arg.key, value)?;
            }
        }
        if snapshot != Snapshot::default() {
            if snapshot.meta.index <= 1 {
                return Err("index must be specified as > 1 due to bootstrap".to_owned());
            }
            snapshot.meta.term = 1;
        }
        for _ in 0..d.first_number() {
            self.add_node(config.clone(), snapshot.clone())?;
        }
        Ok(())
    }

    fn add_node(&mut self, mut config: Config, snapshot: Snapshot) -> Outcome {
        let id = self.nodes.len() as u64 + 1;
        (config.id, config.seed) = (id, id);
        let mut memory = MemoryStorage::new();
        if !snapshot.is_empty() {
            memory.apply_snapshot(snapshot.clone());
        }
        let storage = EnvStorage { memory, latest: snapshot };
        let sink = Sink { id, output: self.output.clone() };
        let node = Node::new(config, storage, sink).map_err(|why| why.to_string())?;
        self.nodes.push(EnvNode { node, append_work: Default::default(), apply_work: Default::default() });
        Ok(())
    }

    pub(crate) fn propose(&mut self, d: &Directive) -> Outcome {
        let data = Bytes::copy_from_slice(d.args[1].key.as_bytes());
        self.first(d).node.propose(vec![data]).map(|_| ()).map_err(|why| why.to_string())
    }

    pub(crate) fn propose_conf_change(&mut self, d: &Directive) -> Outcome {
        let (mut v1, mut transition) = (false, Transition::Auto);
        for arg in &d.args[1..] {
            for value in &arg.values {
                match (arg.key.as_str(), value.as_str()) {
                    ("v1", value) => v1 = boolean(value)?,
                    ("transition", "auto") => transition = Transition::Auto,
                    ("transition", "implicit") => transition = Transition::JointImplicit,
                    ("transition", "explicit") => transition = Transition::JointExplicit,
                    ("transition", other) => return Err(format!("unknown transition {other}")),
                    (other, _) => return Err(format!("unknown command {other}")),
                }
            }
        }
        let changes = steps(&d.input)?;
        let change = if v1 {
            let ([step], Transition::Auto) = (&changes[..], transition) else {
                return Err("v1 conf change can only have one operation and no transition".to_owned());
            };
            AnyConfChange::V1(ConfChange { id: 0, kind: step.kind, node_id: step.node_id, context: Bytes::new() })
        } else {
            AnyConfChange::V2(ConfChangeV2 { transition, changes, context: Bytes::new() })
        };
        self.first(d).node.propose_conf_change(change).map(|_| ()).map_err(|why| why.to_string())
    }

    /// Puts a snapshot of one node on its way to another, behind the core's back.
    pub(crate) fn send_snapshot(&mut self, d: &Directive) {
        let [from, to] = d.numbers()[..] else {
            panic!("{}: two nodes are needed", d.place);
        };
        let node = &mut self.node(from).node;
        let term = node.term();
        let snapshot = node.storage_mut().snapshot(to);
        let snapshot = snapshot.unwrap_or_else(|why| panic!("{}: {why}", d.place));
        let message = Message { from, to, term, body: Body::Snapshot(Box::new(snapshot)) };
        self.output.write(&describe::message(&message).text());
        self.flights.push(Flight::Message(message));
    }
}

fn configure(config: &mut Config, snapshot: &mut Snapshot, d: &Directive, key: &str, value: &str) -> Outcome {
    match key {
        "voters" => snapshot.meta.conf_state.voters.push(d.number(value)),
        "learners" => snapshot.meta.conf_state.learners.push(d.number(value)),
        "inflight" => config.max_inflight_msgs = d.number(value) as usize,
        "index" => {
            snapshot.meta.index = d.number(value);
            config.applied = snapshot.meta.index;
        }
        "content" => snapshot.data = Bytes::copy_from_slice(value.as_bytes()),
        "async-storage-writes" => config.async_storage_writes = boolean(value)?,
        "prevote" => config.pre_vote = boolean(value)?,
        "checkquorum" => config.check_quorum = boolean(value)?,
        "max-committed-size-per-ready" => config.max_committed_size_per_ready = d.number(value),
        "disable-conf-change-validation" => config.disable_conf_change_validation = boolean(value)?,
        "read-only" => {
            config.read_only = match value {
                "safe" => ReadOnly::Safe,
                "lease-based" => ReadOnly::LeaseBased,
                other => return Err(format!("invalid read-only option {other:?}")),
            }
        }
        "step-down-on-removal" => config.step_down_on_removal = boolean(value)?,
        _ => {}
    }
    Ok(())
}

pub(crate) fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("strconv.ParseBool: parsing {other:?}: invalid syntax")),
    }
}

/// Steps of a change: `v1 l2 r3 u4`.
pub(crate) fn steps(input: &str) -> Result<Vec<ConfChangeSingle>, String> {
    match input.trim() {
        "" => Ok(Vec::new()),
        input => input.split(' ').map(step).collect(),
    }
}

fn step(token: &str) -> Result<ConfChangeSingle, String> {
    if token.len() < 2 {
        return Err(format!("unknown token {token}"));
    }
    let kind = match token.as_bytes()[0] {
        b'v' => ConfChangeKind::AddNode,
        b'l' => ConfChangeKind::AddLearnerNode,
        b'r' => ConfChangeKind::RemoveNode,
        b'u' => ConfChangeKind::UpdateNode,
        _ => return Err(format!("unknown input: {token}")),
    };
    let number = &token[1..];
    let node_id = number.parse().map_err(|_| format!("strconv.ParseUint: parsing {number:?}: invalid syntax"))?;
    Ok(ConfChangeSingle { kind, node_id })
}
