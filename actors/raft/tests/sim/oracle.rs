//! What must be true of the whole group, whatever happens.
//!
//! Election safety, leader completeness, state machine safety, log matching, and that granted reads see what was there.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use raft::{Entry, Index, Node, NodeId, ReadTag, Storage, Term};

use crate::disk::Disk;
use crate::member::Member;

/// See the file header.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Entries that some state machine has applied.
    pub(crate) history: BTreeMap<Index, (Term, Bytes)>,
    leaders: HashMap<Term, NodeId>,
    /// For each read: what was applied anywhere when it was asked.
    reads: HashMap<ReadTag, Index>,
    positions: HashMap<NodeId, (Term, Index)>,
    pub(crate) granted: usize,
}

impl Oracle {
    /// State machine safety: all apply the same entry at the same index.
    pub(crate) fn applied(&mut self, member: NodeId, entry: &Entry) {
        let own = (entry.term, entry.data.clone());
        let known = self.history.entry(entry.index).or_insert_with(|| own.clone());
        assert_eq!(*known, own, "member {member} applies something else at {}", entry.index);
    }

    pub(crate) fn last_applied(&self) -> Index {
        self.history.keys().next_back().copied().unwrap_or(0)
    }

    pub(crate) fn asked(&mut self, tag: ReadTag) {
        self.reads.insert(tag, self.last_applied());
    }

    pub(crate) fn granted(&mut self, tag: ReadTag, index: Index) {
        if let Some(seen) = self.reads.remove(&tag) {
            assert!(index >= seen, "a read granted at {index} misses {seen}, applied before it was asked");
            self.granted += 1;
        }
    }

    /// Properties of one member, after every step.
    pub(crate) fn check_member(&mut self, member: &Member) {
        let Some(node) = &member.node else {
            self.positions.remove(&member.id());
            return;
        };
        assert_eq!(node.violated_invariant(), None, "member {}", member.id());
        let (term, committed) = self.positions.insert(node.id(), (node.term(), node.committed())).unwrap_or_default();
        assert!(node.term() >= term && node.committed() >= committed, "term and commit never move back");
        if node.is_leader() {
            self.check_leader(node);
        }
    }

    fn check_leader(&mut self, node: &Node<Disk>) {
        let known = self.leaders.insert(node.term(), node.id());
        if known == Some(node.id()) {
            return;
        }
        assert_eq!(known, None, "election safety: term {} has one leader", node.term());
        for (index, (term, _)) in self.history.range(node.storage().first_index()..) {
            assert_eq!(node.term_of(*index), Ok(*term), "leader completeness: {} misses {index}", node.id());
        }
    }

    /// Log matching, over all pairs of durable logs.
    pub(crate) fn check_logs(&self, members: &[Member]) {
        for (at, one) in members.iter().enumerate() {
            for other in &members[at + 1..] {
                let (one, other) = (one.disk.0.borrow(), other.disk.0.borrow());
                let by_index: HashMap<Index, &Entry> = other.log.all_entries().iter().map(|e| (e.index, e)).collect();
                let shared = one.log.all_entries().iter().filter_map(|e| Some((e, *by_index.get(&e.index)?)));
                let mut met = false;
                // From the end: once two entries have the same term, all before them are the same.
                for (own, their) in shared.collect::<Vec<_>>().into_iter().rev() {
                    met |= own.term == their.term;
                    assert!(!met || own == their, "log matching: {own:?} and {their:?}");
                }
            }
        }
    }
}
