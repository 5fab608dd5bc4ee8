//! The environment of an interaction transcript: nodes, messages in flight, and the directives that act on them.
//!
//! Plays network, disk and state machine. Holds no raft logic: it moves what the core hands out.

use std::collections::VecDeque;

use raft::{
    Append, Apply, ConfState, Entry, HardState, Index, MemoryStorage, Node, NodeId, Snapshot, Storage, StorageError,
    Term,
};

use crate::datadriven::Directive;
use crate::flight::Flight;
use crate::log_lines::Sink;
use crate::output::Output;

/// A log in memory whose snapshots are the latest state of the state machine.
pub(crate) struct EnvStorage {
    pub(crate) memory: MemoryStorage,
    pub(crate) latest: Snapshot,
}

impl Storage for EnvStorage {
    fn initial_state(&self) -> (HardState, ConfState) {
        self.memory.initial_state()
    }

    fn entries(&mut self, lo: Index, hi: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.memory.entries(lo, hi, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.memory.term(index)
    }

    fn first_index(&self) -> Index {
        self.memory.first_index()
    }

    fn last_index(&self) -> Index {
        self.memory.last_index()
    }

    fn snapshot(&mut self, _: NodeId) -> Result<Snapshot, StorageError> {
        Ok(self.latest.clone())
    }
}

/// A member with its disk and state machine.
pub(crate) struct EnvNode {
    pub(crate) node: Node<EnvStorage, Sink>,
    pub(crate) append_work: VecDeque<Append>,
    pub(crate) apply_work: VecDeque<Apply>,
}

impl EnvNode {
    pub(crate) fn is_async(&self) -> bool {
        self.node.config().async_storage_writes
    }
}

/// See the file header.
#[derive(Default)]
pub(crate) struct Env {
    pub(crate) nodes: Vec<EnvNode>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) output: Output,
}

/// Outcome of a directive; the error is part of its output.
pub(crate) type Outcome = Result<(), String>;

impl Env {
    /// Carries a directive out and returns all that was written meanwhile.
    pub(crate) fn handle(&mut self, d: &Directive) -> String {
        self.output.take();
        let outcome = self.dispatch(d);
        if let Err(why) = outcome {
            if self.output.is_quiet() {
                return why;
            }
            self.output.write(&why);
        }
        let text = self.output.take();
        if text.is_empty() { "ok".to_owned() } else { text }
    }

    fn dispatch(&mut self, d: &Directive) -> Outcome {
        match d.command.as_str() {
            "_breakpoint" => Ok(()),
            "add-nodes" => self.add_nodes(d),
            "campaign" => {
                self.first(d).node.campaign();
                Ok(())
            }
            "compact" => self.compact(d),
            "deliver-msgs" => {
                self.deliver_directive(d);
                Ok(())
            }
            "process-ready" => self.for_nodes(d, "handling Ready", Self::process_ready),
            "process-append-thread" => self.for_nodes(d, "processing append thread", Self::process_append),
            "process-apply-thread" => self.for_nodes(d, "processing apply thread", Self::process_apply),
            "log-level" => self.output.set_level_by_name(&d.args[0].key),
            "raft-log" => {
                self.raft_log(d.first_number());
                Ok(())
            }
            "raft-state" => {
                self.raft_state();
                Ok(())
            }
            "set-randomized-election-timeout" => {
                let ticks = d.number(&d.values("timeout")[0]);
                self.first(d).node.set_randomized_election_timeout(ticks as u32);
                Ok(())
            }
            "stabilize" => self.stabilize_directive(d),
            "status" => {
                self.status(d.first_number());
                Ok(())
            }
            "tick-election" => {
                self.tick(d, |config| config.election_tick);
                Ok(())
            }
            "tick-heartbeat" => {
                self.tick(d, |config| config.heartbeat_tick);
                Ok(())
            }
            "transfer-leadership" => {
                let (from, to) = (d.number(&d.values("from")[0]), d.number(&d.values("to")[0]));
                self.node(from).node.transfer_leader(to);
                Ok(())
            }
            "forget-leader" => {
                self.first(d).node.forget_leader();
                Ok(())
            }
            "send-snapshot" => {
                self.send_snapshot(d);
                Ok(())
            }
            "propose" => self.propose(d),
            "propose-conf-change" => self.propose_conf_change(d),
            "report-unreachable" => self.report_unreachable(d),
            _ => Err("unknown command".to_owned()),
        }
    }

    /// The node with the given id.
    pub(crate) fn node(&mut self, id: NodeId) -> &mut EnvNode {
        &mut self.nodes[id as usize - 1]
    }

    /// The node that the first argument names.
    pub(crate) fn first(&mut self, d: &Directive) -> &mut EnvNode {
        self.node(d.first_number())
    }

    /// Runs `action` on all nodes named, with headlines if there are several.
    fn for_nodes(&mut self, d: &Directive, what: &str, action: fn(&mut Self, NodeId) -> Outcome) -> Outcome {
        let ids = d.numbers();
        for &id in &ids {
            if ids.len() > 1 {
                self.with_headline(id, what, |env| action(env, id))?;
            } else {
                action(self, id)?;
            }
        }
        Ok(())
    }

    /// Writes a headline, then what `action` writes, indented.
    pub(crate) fn with_headline<R>(&mut self, id: NodeId, what: &str, action: impl FnOnce(&mut Self) -> R) -> R {
        self.output.line(&format!("> {id} {what}"));
        self.indented(action)
    }

    pub(crate) fn indented<R>(&mut self, action: impl FnOnce(&mut Self) -> R) -> R {
        let output = self.output.clone();
        output.indented(|| action(self))
    }

    fn tick(&mut self, d: &Directive, ticks: fn(&raft::Config) -> u32) {
        let node = &mut self.first(d).node;
        for _ in 0..ticks(node.config()) {
            node.tick();
        }
    }

    fn report_unreachable(&mut self, d: &Directive) -> Outcome {
        let [node, peer] = d.numbers()[..] else {
            return Err("must specify exactly two node indexes: node on which to report, and reported node".to_owned());
        };
        self.node(node).node.report_unreachable(peer);
        Ok(())
    }
}
