//! Directives that show the state of nodes.

use raft::{NodeId, Storage};

use crate::datadriven::Directive;
use crate::describe;
use crate::env::{Env, Outcome};

impl Env {
    pub(crate) fn compact(&mut self, d: &Directive) -> Outcome {
        let index = d.number(&d.args[1].key);
        if !self.first(d).node.storage_mut().memory.compact(index) {
            return Err("requested index is unavailable due to compaction".to_owned());
        }
        self.raft_log(d.first_number());
        Ok(())
    }

    pub(crate) fn raft_log(&mut self, id: NodeId) {
        let memory = &self.node(id).node.storage().memory;
        let (first, last) = (memory.first_index(), memory.last_index());
        let text = if last < first {
            format!("log is empty: first index={first}, last index={last}")
        } else {
            memory.all_entries().iter().map(|entry| describe::entry(entry) + "\n").collect()
        };
        self.output.write(&text);
    }

    pub(crate) fn raft_state(&mut self) {
        for node in &self.nodes {
            let status = node.node.status();
            let (id, basic) = (status.basic.id, status.basic);
            let is_voter = status.membership.voters.contains(&id) || status.membership.voters_outgoing.contains(&id);
            self.output.line(&format!(
                "{id}: {} ({}) Term:{} Lead:{}",
                describe::role(basic.soft_state.role),
                if is_voter { "Voter" } else { "Non-Voter" },
                basic.hard_state.term,
                basic.soft_state.leader
            ));
        }
    }

    pub(crate) fn status(&mut self, id: NodeId) {
        let text = describe::progress_map(&self.node(id).node.status().progress);
        self.output.write(&text);
    }
}
