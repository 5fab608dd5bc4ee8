//! What must hold between members at every moment, whatever order things happen in: named, and looked at after every round of a core.
//!
//! Must never look at anything that only one member says where others know better.

use super::params::TICK;
use super::violation::{Checked, hold};
use super::world::World;
use raft::{ConfState, NodeId, ProgressState};
use std::sync::atomic::Ordering::Acquire;

/// Signs of life may be late by so many ticks: a lump of ticks, a slow core, a message under way.
const LATE_TICKS: u64 = 8;

impl World {
    pub(super) fn look_at_core(&mut self, at: usize) -> Checked {
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        let node = run.core.node();
        let broken = node.violated_invariant();
        hold("RI", broken.is_none(), || format!("m{at}: {broken:?}"))?;
        if !self.is_cluster() {
            // there is nobody to send them to
            drop(run.wires.take());
            return Ok(());
        }
        self.story.term(self.now, at, node.term(), node.is_leader(), node.committed());
        if node.is_leader() {
            self.look_at_leader(at)?;
            self.look_at_transfers(at)?;
        }
        self.look_at_sole_member(at)?;
        self.look_at_end(at)
    }

    /// One leader per term, and what it calls committed is durable on a quorum.
    fn look_at_leader(&mut self, at: usize) -> Checked {
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        let node = run.core.node();
        let (id, term) = (node.id(), node.term());
        let leader = *self.leaders.entry(term).or_insert(id);
        hold("SIM-ONE-LEADER", leader == id, || format!("{leader:x} and {id:x} lead in term {term}"))?;
        let (committed, conf) = (node.committed(), node.membership().clone());
        let entry_term = node.term_of(committed).ok();
        let machine = &mut self.machines[at];
        let before = machine.led.replace((term, committed, conf.clone()));
        let Some((_, _, conf_before)) = before.filter(|(led, known, _)| *led == term && *known < committed) else {
            return Ok(());
        };
        let Some(entry_term) = entry_term else { return Ok(()) };
        // the membership may have been switched in the same round, behind the commit
        let enough = [&conf_before, &conf].into_iter().any(|conf| {
            [&conf.voters, &conf.voters_outgoing].into_iter().all(|voters| {
                let count = voters.iter().filter(|voter| self.holds(**voter, committed, entry_term)).count();
                voters.is_empty() || 2 * count > voters.len()
            })
        });
        hold("SIM-COMMIT-QUORUM", enough, || {
            format!(
                "m{at}: entry {committed} of term {entry_term} is committed, and no quorum of {conf:x?} has it for good"
            )
        })
    }

    /// Whom a leader is sending a snapshot counts as having no more than it has said itself: what is sent behind that is in vain.
    fn look_at_transfers(&self, at: usize) -> Checked {
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        let node = run.core.node();
        let Some(progress) = node.progress() else { return Ok(()) };
        for to in self.net.sent_snapshots(at, self.machines[at].life, node.term()) {
            let peer = self.machines[to].id;
            let Some((_, progress)) = progress.iter().find(|(id, _)| *id == peer) else { continue };
            let ahead = progress.state == ProgressState::Probe && progress.next > progress.matched + 1;
            hold("SIM-SNAPSHOT-PENDING", !ahead, || {
                format!("m{at}: a snapshot is on its way to m{to}, which counts as delivered already: {progress:?}")
            })?;
        }
        Ok(())
    }

    /// A voter's log holds an entry for good, or did until it was lost with its disk.
    fn holds(&self, voter: NodeId, index: u64, term: u64) -> bool {
        self.machine_of(voter).is_some_and(|at| self.machines[at].book.durable.holds(index, term))
    }

    /// Who reads without asking anybody is alone: it leads, it knows of no other member, and nobody leads in a later term.
    fn look_at_sole_member(&self, at: usize) -> Checked {
        if let Some(run) = self.machines[at]
            .run
            .as_ref()
            .filter(|run| run.gauges.sole_member.load(Acquire) && run.core.failure().is_none())
        {
            let (node, own) = (run.core.node(), self.machines[at].id);
            let conf = node.membership();
            let is_alone = node.is_leader()
                && conf.voters == [own]
                && conf.voters_outgoing.is_empty()
                && conf.learners.is_empty()
                && conf.learners_next.is_empty();
            hold("SIM-SOLE-MEMBER", is_alone, || {
                format!("m{at} reads as the sole member, as {:?} among {:x?}", node.role(), conf.voters)
            })?;
        }
        let others: Vec<usize> = (0..self.machines.len()).filter(|other| *other != at).collect();
        for (one, other) in others.into_iter().flat_map(|other| [(at, other), (other, at)]) {
            let (Some(sole), Some(second)) = (&self.machines[one].run, &self.machines[other].run) else { continue };
            let second = second.core.node();
            let has_led = second.is_leader() && second.committed_in_own_term();
            let stale = has_led && second.term() > sole.core.node().term() && sole.gauges.sole_member.load(Acquire);
            hold("SIM-SOLE-MEMBER", !stale, || {
                format!("m{one} reads as the sole member, m{other} leads in term {}", second.term())
            })?;
        }
        Ok(())
    }

    /// A member that was removed leaves; a member that must not go on says so only for a reason.
    fn look_at_end(&mut self, at: usize) -> Checked {
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        let (failure, left) = (run.core.failure().map(str::to_owned), run.core.has_left());
        if let Some(why) = failure {
            return self.failed(at, "raft core", &why, super::coverage::Doing::Idle);
        }
        if left {
            let id = self.machines[at].id;
            let removed = self.replay.now().members.removed.contains(&id);
            hold("SIM-LEFT", removed, || format!("m{at}: {id:x} leaves and was not removed"))?;
            self.trace.line(self.now, || format!("m{at}: {id:x} was removed and leaves"));
            if self.is_known_to_be_removed(id) {
                self.give_up(at);
            } else {
                // whoever led was lost before it knew that for good: an operator starts it again, so that it can vote (`docs/bugs.md`)
                self.crash(at, false);
            }
        }
        Ok(())
    }

    /// A member that is wanted runs without this one in its membership.
    pub(super) fn is_known_to_be_removed(&self, id: NodeId) -> bool {
        let knows = |at: usize| {
            let membership = self.machines[at].run.as_ref().map(|run| run.core.node().membership());
            membership.is_some_and(|conf| !conf.voters.contains(&id) && !conf.voters.is_empty())
        };
        self.wanted().into_iter().any(knows)
    }

    /// A machine is switched off for good.
    pub(super) fn give_up(&mut self, at: usize) {
        if self.machines[at].run.is_some() {
            self.crash(at, true);
        }
        self.machines[at].is_gone = true;
        self.operator.lost.remove(&at);
    }

    /// A leader shows itself to every member it can reach, whatever disk and applier do.
    pub(super) fn look_at_signs_of_life(&mut self) -> Checked {
        let bound = LATE_TICKS * TICK + 6 * self.params.latency;
        for at in 0..self.machines.len() {
            let machine = &self.machines[at];
            let Some(run) = &machine.run else { continue };
            let node = run.core.node();
            let Some(progress) = node.progress() else { continue };
            let awake = self.now.saturating_sub(machine.frozen_until.max(machine.clock.born));
            let leads_for = self.now.saturating_sub(self.operator.led_since(at, node.term(), self.now));
            if awake < bound || leads_for < bound {
                continue;
            }
            for (peer, _) in progress.iter().filter(|(peer, _)| *peer != machine.id) {
                let Some(session) = self.session_to(at, peer) else { continue };
                let (to, since) = self.net.session_begun(session);
                let last = self.net.last_sent.get(&(at, to)).copied().unwrap_or(0).max(since);
                hold("SIM-HEARTBEATS", self.now - last <= bound, || {
                    format!("m{at} leads in term {} and has sent m{to} nothing for {} us", node.term(), self.now - last)
                })?;
            }
        }
        Ok(())
    }

    /// Members that are wanted in the end: those of the newest membership whose machine was not lost.
    pub(super) fn wanted(&self) -> Vec<usize> {
        if !self.is_cluster() {
            return vec![0];
        }
        let members = &self.replay.now().members;
        let is_member = |at: &usize| members.rows.contains_key(&self.machines[*at].id);
        let alive = |at: &usize| !self.machines[*at].is_gone && !self.machines[*at].is_wiped;
        (0..self.machines.len()).filter(is_member).filter(alive).collect()
    }

    /// Enough voters are there, counting only those whose disks were not lost.
    pub(super) fn can_elect(&self, conf: &ConfState, without: Option<usize>) -> bool {
        let alive = |voter: &&NodeId| {
            let at = self.machine_of(**voter);
            at.is_some_and(|at| !self.machines[at].is_gone && !self.machines[at].is_wiped && Some(at) != without)
        };
        [&conf.voters, &conf.voters_outgoing]
            .into_iter()
            .filter(|voters| !voters.is_empty())
            .all(|voters| 2 * voters.iter().filter(alive).count() > voters.len())
    }
}
