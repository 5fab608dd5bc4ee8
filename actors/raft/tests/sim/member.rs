//! A simulated member: a core, its disk, and the work between them that takes time.
//!
//! Carries out what the core hands out, one unit at a time, so that a crash can come between any two.

use std::collections::VecDeque;

use raft::{Append, Apply, ConfChangeV2, Config, LogId, Message, Node, NodeId, ReadState, Ready};

use crate::disk::Disk;
use crate::oracle::Oracle;

/// Appends, and applies, that may be out at once.
const APPENDS_OUT: usize = 3;
const APPLIES_OUT: usize = 2;

/// See the file header.
pub(crate) struct Member {
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    /// `None` while crashed.
    pub(crate) node: Option<Node<Disk>>,
    pub(crate) appends: VecDeque<Append>,
    pub(crate) applies: VecDeque<Apply>,
}

impl Member {
    pub(crate) fn new(config: Config, disk: Disk) -> Self {
        let mut member = Member { config, disk, node: None, appends: VecDeque::new(), applies: VecDeque::new() };
        member.restart();
        member
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    /// Loses all that is not durable; the first `lucky` appends in flight still make it to the disk, unacknowledged.
    pub(crate) fn crash(&mut self, lucky: usize) {
        self.appends.iter().take(lucky).for_each(|append| self.disk.write(append));
        self.node = None;
        self.appends.clear();
        self.applies.clear();
    }

    pub(crate) fn restart(&mut self) {
        if self.node.is_none() {
            self.config.applied = self.disk.0.borrow().applied.index;
            self.config.seed += 1;
            let node = Node::new(self.config.clone(), self.disk.clone(), raft::NoTrace);
            self.node = Some(node.expect("a valid configuration"));
        }
    }

    /// Takes a `Ready`; returns what is to be sent now, and granted reads.
    pub(crate) fn take_ready(&mut self, oracle: &mut Oracle) -> (Vec<Message>, Vec<ReadState>) {
        let Some(node) = self.node.as_mut().filter(|node| node.has_ready()) else {
            return Default::default();
        };
        if self.config.async_storage_writes {
            // Each under its own bound, as a shell does it: a full disk or state machine holds nothing else back.
            if self.appends.len() < APPENDS_OUT {
                self.appends.extend(node.take_append());
            }
            if self.applies.len() < APPLIES_OUT {
                self.applies.extend(node.take_apply());
            }
            return (node.take_messages(), node.take_reads());
        }
        let Ready { mut messages, append, apply, read_states, .. } = node.ready();
        let append_token = append.map(|append| {
            self.disk.write(&append);
            messages.extend(append.responses);
            append.token
        });
        let apply_token = apply.map(|apply| {
            self.write_apply(&apply, oracle);
            apply.token
        });
        if let Some(node) = &mut self.node {
            node.advance(append_token, apply_token);
        }
        (messages, read_states)
    }

    /// Finishes the oldest append; returns what it releases.
    pub(crate) fn finish_append(&mut self) -> Vec<Message> {
        let (Some(node), Some(append)) = (&mut self.node, self.appends.pop_front()) else {
            return Vec::new();
        };
        self.disk.write(&append);
        node.on_persisted(append.token);
        append.responses
    }

    /// Finishes the oldest apply.
    pub(crate) fn finish_apply(&mut self, oracle: &mut Oracle) {
        if let Some(apply) = self.applies.pop_front() {
            self.write_apply(&apply, oracle);
            if let Some(node) = &mut self.node {
                node.on_applied(apply.token);
            }
        }
    }

    fn write_apply(&mut self, apply: &Apply, oracle: &mut Oracle) {
        let Some(node) = &mut self.node else {
            return;
        };
        for entry in &apply.entries {
            let mut durable = self.disk.0.borrow_mut();
            if entry.index <= durable.applied.index {
                // A snapshot has overtaken it.
                continue;
            }
            assert_eq!(entry.index, durable.applied.index + 1, "entries are applied without gaps");
            oracle.applied(self.config.id, entry);
            let change = ConfChangeV2::from_entry(entry).expect("a readable change");
            // A change that cannot be carried out is refused by all, as all see the same membership.
            drop(durable);
            let refused = change.filter(|change| node.preview_conf_change(change).is_ok());
            let membership = refused.map(|change| node.apply_conf_change(&change));
            durable = self.disk.0.borrow_mut();
            durable.applied = LogId { term: entry.term, index: entry.index };
            if let Some(membership) = membership {
                durable.membership = membership;
            }
        }
    }

    /// Drops the log up to what is applied.
    pub(crate) fn compact(&mut self) {
        let mut durable = self.disk.0.borrow_mut();
        // What is applied and not yet reported so may still be scanned by the core.
        let applied = self.node.as_ref().map_or(0, |node| node.applied());
        let index = durable.applied.index.min(applied);
        durable.log.compact(index);
    }
}
