//! The membership by a second hand: what committed changes lead to, one step at a time, by etcd's rules.
//!
//! Must never look at what the store under test has made of them.

use super::violation::{Checked, hold, violated};
use model::request::MemberAttrSetRequest;
use raft::{ConfChangeKind, ConfChangeV2, ConfState, Entry};
use std::collections::{BTreeMap, BTreeSet};
use storage::apply::{Bootstrap, MemberContext, MemberRow};

/// See the file header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who they are, in the order of their ids.
    pub rows: BTreeMap<u64, Row>,
    /// Who votes.
    pub voters: BTreeSet<u64>,
    /// Who learns.
    pub learners: BTreeSet<u64>,
    /// Who was removed, for good.
    pub removed: BTreeSet<u64>,
}

/// What is known of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its name, once it has said it.
    pub name: String,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

impl From<&MemberRow> for Row {
    fn from(row: &MemberRow) -> Self {
        let MemberRow { name, peer_urls, client_urls } = row.clone();
        Self { name, peer_urls, client_urls }
    }
}

impl Members {
    /// What a cluster begins with.
    pub fn of(first: &Bootstrap) -> Self {
        Self {
            rows: first.members.iter().map(|(id, row)| (*id, Row::from(row))).collect(),
            voters: first.conf_state.voters.iter().copied().collect(),
            learners: first.conf_state.learners.iter().copied().collect(),
            removed: BTreeSet::new(),
        }
    }

    /// A member tells of itself; who is none is not listened to.
    pub fn publish(&mut self, request: &MemberAttrSetRequest) {
        if let (Some(row), Some(attributes)) = (self.rows.get_mut(&request.member_id), &request.attributes) {
            row.name = attributes.name.clone();
            row.client_urls = attributes.client_urls.clone();
        }
    }

    /// An entry that changes the membership, or has no effect.
    pub fn change(&mut self, entry: &Entry) -> Checked {
        let change = ConfChangeV2::from_entry(entry);
        let Ok(Some(change)) = change else {
            return violated("SIM-ENTRY-READS", format!("entry {}: {change:?}", entry.index));
        };
        let [step] = change.changes[..] else { return Ok(()) };
        let context = MemberContext::decode(&change.context);
        hold("SIM-ENTRY-READS", context.is_ok(), || format!("entry {}: {context:?}", entry.index))?;
        let Ok(context) = context else { return Ok(()) };
        let (id, urls) = (step.node_id, context.peer_urls);
        if self.removed.contains(&id) || self.is_taken(id, &urls) {
            return Ok(());
        }
        match step.kind {
            ConfChangeKind::AddNode if urls.is_empty() => {
                if self.learners.remove(&id) {
                    self.voters.insert(id);
                }
            }
            ConfChangeKind::AddNode | ConfChangeKind::AddLearnerNode if self.rows.contains_key(&id) => {}
            ConfChangeKind::AddNode => self.add(id, urls, false),
            ConfChangeKind::AddLearnerNode => {
                if self.learners.len() < context.max_learners as usize && !urls.is_empty() {
                    self.add(id, urls, true);
                }
            }
            ConfChangeKind::RemoveNode => self.remove(id),
            ConfChangeKind::UpdateNode => {
                if let Some(row) = self.rows.get_mut(&id).filter(|_| !urls.is_empty()) {
                    row.peer_urls = urls;
                }
            }
        }
        Ok(())
    }

    fn is_taken(&self, id: u64, urls: &[String]) -> bool {
        let mut others = self.rows.iter().filter(|(other, _)| **other != id).flat_map(|(_, row)| &row.peer_urls);
        others.any(|url| urls.contains(url))
    }

    fn add(&mut self, id: u64, peer_urls: Vec<String>, learns: bool) {
        self.rows.insert(id, Row { peer_urls, ..Row::default() });
        if learns {
            self.learners.insert(id)
        } else {
            self.voters.insert(id)
        };
    }

    fn remove(&mut self, id: u64) {
        let is_last_voter = self.voters.len() == 1 && self.voters.contains(&id);
        if self.rows.contains_key(&id) && !is_last_voter {
            self.rows.remove(&id);
            self.voters.remove(&id);
            self.learners.remove(&id);
            self.removed.insert(id);
        }
    }

    /// The same as raft has it.
    pub fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.iter().copied().collect(),
            learners: self.learners.iter().copied().collect(),
            ..ConfState::default()
        }
    }
}
