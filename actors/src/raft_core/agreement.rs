//! Whether the members' running hashes agree: what this member computed, what the others told, who is unlike a majority, and at which
//! entry that began. Pure.
//!
//! A running hash that differs once differs from then on, so a comparison at any index that both have says all about the entries before it.
//! Each member tells its newest hashes, and some older ones at indices that all choose alike, so that there is one to compare however far
//! the members are apart. Once two differ, both tell hashes between the last index at which they agreed and the first one at which they
//! did not, until these are neighbours.
//!
//! Must never call a member wrong that no majority of the voters contradicts.

use crate::limits::{OWN_HASHES, TOLD_HASHES};
use raft::{Index, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Newest hashes in what is told.
const NEWEST: usize = 16;
/// Older ones are told at multiples of this.
const STRIDE: u64 = 256;

/// What the comparison says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nobody is known to be unlike this member.
    Alike,
    /// These are unlike this member, and who is right cannot be said until others are heard.
    Unlike(Vec<NodeId>),
    /// The same, and all voters were heard: no majority agrees.
    Split(Vec<NodeId>),
    /// A majority of the voters agrees, and these do not agree with it.
    Minority(Vec<NodeId>),
}

/// Where two histories part: they agree at the first index, if one is known, and not at the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parting {
    pub(super) agreed: Option<Index>,
    pub(super) differs: Index,
}

impl Parting {
    /// The first entry that differs, once it is known.
    pub(super) fn exact(self) -> Option<Index> {
        self.agreed.filter(|agreed| agreed + 1 == self.differs).map(|_| self.differs)
    }
}

/// How far a divergence is known.
#[derive(Debug, Default)]
pub(super) struct Divergence {
    /// Tick since which somebody is known to be unlike this member.
    pub(super) since: Option<u64>,
    /// Who was named last.
    pub(super) named: Vec<NodeId>,
    /// The first entry that differs was said.
    pub(super) is_exact: bool,
}

/// See the file header.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// Hashes of this member, of consecutive indices, ascending.
    own: VecDeque<(Index, u64)>,
    /// What the others told.
    told: BTreeMap<NodeId, BTreeMap<Index, u64>>,
    /// Hashes that were compared, for who counts them.
    compared: u64,
}

impl Agreement {
    /// Begins with the hash of the store at some index, if it is known.
    pub(super) fn new(first: Option<(Index, u64)>) -> Self {
        Self { own: first.into_iter().collect(), ..Self::default() }
    }

    /// The store is another one now.
    pub(super) fn restart(&mut self, first: Option<(Index, u64)>) {
        self.own = first.into_iter().collect();
    }

    /// Behind more entries.
    pub(super) fn applied(&mut self, hashes: Vec<(Index, u64)>) {
        for (index, hash) in hashes {
            if self.own.back().is_some_and(|(last, _)| last + 1 != index) {
                self.own.clear();
            }
            if self.own.len() == OWN_HASHES {
                self.own.pop_front();
            }
            self.own.push_back((index, hash));
        }
    }

    /// Another member tells its hashes.
    pub(super) fn note(&mut self, from: NodeId, hashes: &[(Index, u64)]) {
        if hashes.is_empty() {
            return;
        }
        let told = self.told.entry(from).or_default();
        told.extend(hashes.iter().copied());
        while told.len() > TOLD_HASHES {
            told.pop_first();
        }
    }

    /// Forgets everybody who is not a member any more.
    pub(super) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.told.retain(|id, _| is_member(*id));
    }

    /// Hashes that were found equal or not, so far.
    pub(super) fn compared(&self) -> u64 {
        self.compared
    }

    fn own_at(&self, index: Index) -> Option<u64> {
        let first = self.own.front()?.0;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        self.own.get(at).map(|(_, hash)| *hash)
    }

    /// Indices that both have, descending, and whether the hashes there are equal.
    fn common<'a>(&'a self, told: &'a BTreeMap<Index, u64>) -> impl Iterator<Item = (Index, bool)> + 'a {
        told.iter().rev().filter_map(|(index, hash)| Some((*index, self.own_at(*index)? == *hash)))
    }

    /// Whose newest comparable hash is another one.
    fn unlike(&self) -> Vec<NodeId> {
        let differs = |told| self.common(told).next().is_some_and(|(_, equal)| !equal);
        self.told.iter().filter(|(_, told)| differs(told)).map(|(id, _)| *id).collect()
    }

    /// Compares. `own` is this member, `voters` are those whose majority counts.
    pub(super) fn judge(&mut self, own: NodeId, voters: &[NodeId]) -> Finding {
        self.compared += self.told.values().filter(|told| self.common(told).next().is_some()).count() as u64;
        let unlike = self.unlike();
        if unlike.is_empty() {
            return Finding::Alike;
        }
        let mut indices: Vec<Index> =
            unlike.iter().filter_map(|id| self.told.get(id)).flat_map(|told| told.keys().copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        let mut heard_all = false;
        for index in indices.into_iter().rev() {
            let Some(hash) = self.own_at(index) else { continue };
            let mut groups: BTreeMap<u64, Vec<NodeId>> = BTreeMap::from([(hash, vec![own])]);
            for (id, told) in &self.told {
                if let Some(hash) = told.get(&index) {
                    groups.entry(*hash).or_default().push(*id);
                }
            }
            if groups.len() < 2 {
                continue;
            }
            let votes = |group: &Vec<NodeId>| group.iter().filter(|id| voters.contains(id)).count();
            let is_majority = |group: &Vec<NodeId>| votes(group) > voters.len() / 2;
            heard_all |= groups.values().map(votes).sum::<usize>() == voters.len();
            if groups.values().any(is_majority) {
                let wrong = groups.into_values().filter(|group| !is_majority(group)).flatten();
                return Finding::Minority(wrong.collect());
            }
        }
        if heard_all { Finding::Split(unlike) } else { Finding::Unlike(unlike) }
    }

    /// Where the history of `id` and that of this member part, if they do.
    pub(super) fn parting(&self, id: NodeId) -> Option<Parting> {
        let told = self.told.get(&id)?;
        let mut differs = None;
        for (index, equal) in self.common(told) {
            if equal {
                return differs.map(|differs| Parting { agreed: Some(index), differs });
            }
            differs = Some(index);
        }
        differs.map(|differs| Parting { agreed: None, differs })
    }

    /// What the others are told: ascending, at most as much as they are sent at once.
    pub(super) fn telling(&self) -> Vec<(Index, u64)> {
        let Some((last, _)) = self.own.back() else { return Vec::new() };
        let parting =
            self.unlike().into_iter().find_map(|id| self.parting(id)).filter(|parting| parting.exact().is_none());
        let mut indices: Vec<Index> = match parting {
            None => (last.saturating_sub(NEWEST as u64 - 1)..=*last).collect(),
            // between the two, both alike, and the newest one
            Some(Parting { agreed, differs }) => {
                let from = agreed.unwrap_or_else(|| differs.saturating_sub(STRIDE));
                let steps = NEWEST as u64 - 1;
                let mut between: Vec<Index> = (1..=steps).map(|step| from + (differs - from) * step / steps).collect();
                between.push(*last);
                between
            }
        };
        let older = (1..).map(|step| (last / STRIDE).checked_sub(step - 1).map(|multiple| multiple * STRIDE));
        indices.extend(older.map_while(|index| index).take(NEWEST));
        indices.sort_unstable();
        indices.dedup();
        indices.into_iter().filter_map(|index| Some((index, self.own_at(index)?))).collect()
    }
}
