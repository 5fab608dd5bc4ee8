//! A member whose data went its own way: found by the running hashes that come with the vitals, fenced, and named for the alarm CORRUPT.
//!
//! A member fences itself only when a majority of the voters agrees with each other and not with it. It then answers nothing about keys,
//! does not lead, and tells watchers nothing, until it has another store. Must never fence a member for what a single other one says.

use super::agreement::{Divergence, Finding};
use super::core::RaftCore;
use messages::peer::Vitals;
use raft::{Index, NodeId};
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Election timeouts that voters are waited for which were not heard, before nobody is named.
const PATIENCE: u64 = 3;

impl RaftCore {
    /// With every tick, behind what the others said.
    pub(super) fn compare_hashes(&mut self) {
        let members = self.node.membership();
        if !members.voters_outgoing.is_empty() || self.rebuild.phase.is_some() || self.incoming.installing.is_some() {
            return;
        }
        let (own, voters) = (self.config.raft.id, members.voters.clone());
        let finding = self.agreement.judge(own, &voters);
        self.parts.gauges.hashes_compared.store(self.agreement.compared(), Relaxed);
        let wrong = match finding {
            Finding::Alike => {
                self.divergence = Divergence::default();
                return self.name_corrupt(&[]);
            }
            Finding::Unlike(unlike) => {
                let since = *self.divergence.since.get_or_insert(self.now);
                if self.now - since < PATIENCE * u64::from(self.config.raft.election_tick) {
                    return self.say_where(&unlike);
                }
                vec![0]
            }
            Finding::Split(_) => vec![0],
            Finding::Minority(wrong) => wrong,
        };
        if self.divergence.named != wrong {
            let names: Vec<String> = wrong.iter().map(|id| format!("{id:x}")).collect();
            tracing::error!(
                members = names.join(" "),
                applied = self.parts.gauges.applied.load(Relaxed),
                "the data of members differs: they have another running hash than a majority; 0 means that no majority agrees"
            );
            self.divergence.named.clone_from(&wrong);
        }
        if wrong.contains(&own) {
            self.fence();
        }
        let unlike = if wrong.contains(&own) { self.others_of(&voters) } else { wrong.clone() };
        self.say_where(&unlike);
        self.name_corrupt(&wrong);
    }

    fn others_of(&self, voters: &[NodeId]) -> Vec<NodeId> {
        voters.iter().copied().filter(|id| *id != self.config.raft.id).collect()
    }

    /// From now on this member answers nothing about keys.
    fn fence(&mut self) {
        if !self.parts.gauges.fenced.swap(true, Release) {
            tracing::error!(
                "the data of this member is not that of the others: it answers nothing about keys until it is rebuilt \
                 (conclavectl rebuild, or a start with --rebuild-from-leader)"
            );
        }
    }

    /// The store is another one: what was found about the one before it is over.
    pub(super) fn store_replaced(&mut self, at: Index, hash: Option<u64>) {
        self.agreement.restart(hash.map(|hash| (at, hash)));
        self.divergence = Divergence::default();
        self.parts.gauges.scrub_problems.store(0, Relaxed);
        self.parts.gauges.first_difference.store(0, Relaxed);
        if self.parts.gauges.fenced.swap(false, Release) {
            tracing::info!(index = at, "this member has the data of the others again");
        }
    }

    /// True while this member must not answer for its data.
    pub(super) fn is_fenced(&self) -> bool {
        self.parts.gauges.fenced.load(Acquire)
    }

    /// Says once which entry is the first one that differs.
    fn say_where(&mut self, unlike: &[NodeId]) {
        if self.divergence.is_exact {
            return;
        }
        let parting = unlike.iter().find_map(|id| Some((*id, self.agreement.parting(*id)?)));
        let Some((peer, parting)) = parting else { return };
        if let Some(first) = parting.exact() {
            self.divergence.is_exact = true;
            self.parts.gauges.first_difference.store(first, Relaxed);
            tracing::error!(
                peer = format!("{peer:x}"),
                index = first,
                "this is the first entry behind which the data differs"
            );
        }
    }

    /// Names who is to be in the alarm. Whoever leads, and is not one of them, raises it.
    fn name_corrupt(&self, wrong: &[NodeId]) {
        let mut named = self.parts.gauges.corrupt.lock().unwrap_or_else(PoisonError::into_inner);
        if *named != wrong {
            named.clear();
            named.extend_from_slice(wrong);
        }
    }

    /// What is told of this member with every tick, beside its disk.
    pub(super) fn own_vitals(&self, unsynced_micros: u64) -> Vitals {
        Vitals {
            unsynced_micros,
            applied: self.parts.gauges.applied.load(Relaxed),
            // what is about to be replaced says nothing
            hashes: if self.rebuild.phase.is_some() { Vec::new() } else { self.agreement.telling() },
            ..Vitals::default()
        }
    }
}
