//! A simulated group: members, a network that loses, reorders and doubles, and chance that drives it all.
//!
//! First chaos, then everything heals and the group must make progress.

use std::collections::HashSet;

use bytes::Bytes;
use raft::{ConfChangeKind, ConfChangeSingle, ConfChangeV2, Config, Message, NodeId, ReadOnly, StepError, Transition};

use crate::disk::Disk;
use crate::member::Member;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// Members that exist; the founders are the first few.
const MEMBERS: u64 = 5;

/// What a run has seen, to be sure that it saw something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) reads: usize,
    pub(crate) crashes: u64,
    pub(crate) changes: u64,
    /// Runs that ended as [`World::removed_holds_the_key`] says.
    pub(crate) stuck: u64,
}

/// See the file header.
pub(crate) struct World {
    rng: Rng,
    members: Vec<Member>,
    oracle: Oracle,
    network: Vec<Message>,
    /// Pairs that do not hear each other, in both directions.
    cut: HashSet<(NodeId, NodeId)>,
    loss: u64,
    next_tag: u64,
    tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let founders: Vec<NodeId> = (1..=1 + rng.below(MEMBERS)).collect();
        let template = Config {
            election_tick: 10,
            heartbeat_tick: 1 + rng.below(3) as u32,
            async_storage_writes: rng.chance(70),
            lazy_commit: rng.chance(50),
            max_size_per_msg: rng.pick(&[1, 60, 300, u64::MAX]),
            max_committed_size_per_ready: rng.pick(&[1, 100, u64::MAX]),
            max_uncommitted_size: rng.pick(&[0, 200]),
            max_inflight_msgs: rng.pick(&[1, 2, 64]),
            check_quorum: rng.chance(50),
            pre_vote: rng.chance(50),
            read_only: ReadOnly::Safe,
            disable_proposal_forwarding: rng.chance(20),
            step_down_on_removal: rng.chance(50),
            tell_probed_of_changes: rng.chance(50),
            ..Config::new(1)
        };
        let members = (1..=MEMBERS).map(|id| {
            let disk = if founders.contains(&id) { Disk::with_voters(&founders) } else { Disk::default() };
            Member::new(Config { id, seed: seed.wrapping_mul(31) + id * 1_000_003, ..template.clone() }, disk)
        });
        World {
            members: members.collect(),
            oracle: Oracle::default(),
            network: Vec::new(),
            cut: HashSet::new(),
            loss: rng.pick(&[0, 5, 20]),
            next_tag: 1,
            tally: Tally::default(),
            rng,
        }
    }

    /// Runs both phases.
    pub(crate) fn run(mut self, steps: u64) -> Tally {
        for step in 0..steps {
            self.chaos();
            if step % 64 == 0 {
                self.oracle.check_logs(&self.members);
            }
        }
        self.heal();
        self.tally.applied = self.oracle.last_applied();
        self.tally.reads = self.oracle.granted;
        self.tally
    }

    fn member(&mut self) -> &mut Member {
        let at = self.rng.below(MEMBERS) as usize;
        &mut self.members[at]
    }

    fn chaos(&mut self) {
        match self.rng.below(1000) {
            0..520 => self.deliver(),
            520..620 => self.with_node(|node, _| node.tick()),
            620..770 => self.finish_append(),
            770..890 => self.finish_apply(),
            890..940 => self.propose(),
            940..955 => self.read(),
            955..961 => self.change_membership(),
            961..964 => self.crash(),
            964..972 => self.member().restart(),
            972..977 => self.member().compact(),
            977..979 => self.with_node(|node, rng| node.transfer_leader(1 + rng.below(MEMBERS))),
            979..982 => self.partition(),
            982..986 => self.with_node(|node, rng| node.report_unreachable(1 + rng.below(MEMBERS))),
            986..992 => self.with_node(|node, rng| node.report_snapshot(1 + rng.below(MEMBERS), rng.chance(50))),
            992..995 => self.disturb(),
            _ => self.slow_disk(),
        }
        self.collect();
    }

    fn with_node(&mut self, act: impl FnOnce(&mut raft::Node<Disk>, &mut Rng)) {
        let at = self.rng.below(MEMBERS) as usize;
        if let Some(node) = &mut self.members[at].node {
            act(node, &mut self.rng);
        }
    }

    /// Rare orders of people.
    fn disturb(&mut self) {
        let choice = self.rng.below(3);
        self.with_node(|node, _| match choice {
            0 => node.forget_leader(),
            1 => node.campaign(),
            _ => node.set_electable(!node.is_leader()),
        });
    }

    /// Makes reads of the log fail for a while, and tells the core about those that can be repeated now.
    fn slow_disk(&mut self) {
        let slow = self.rng.below(4) as u32;
        let member = self.member();
        let missed = {
            let mut durable = member.disk.0.borrow_mut();
            durable.slow_reads = slow;
            std::mem::take(&mut durable.missed_reads)
        };
        if let Some(node) = member.node.as_mut().filter(|_| missed) {
            node.on_entries_loaded();
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.rng.below(self.network.len() as u64) as usize;
        let message = self.network.swap_remove(at);
        if self.rng.chance(self.loss) || self.cut.contains(&(message.from, message.to)) {
            return;
        }
        if self.rng.chance(5) {
            self.network.push(message.clone());
        }
        let Some(node) = self.members.get_mut(message.to as usize - 1).and_then(|member| member.node.as_mut()) else {
            return;
        };
        // Answers of former members and proposals without a leader are refused.
        let done = node.step(message);
        assert!(!matches!(done, Err(StepError::LogLost { .. })), "no disk is ever lost here: {done:?}");
    }

    fn finish_append(&mut self) {
        let released = self.member().finish_append();
        self.network.extend(released);
    }

    fn finish_apply(&mut self) {
        let at = self.rng.below(MEMBERS) as usize;
        self.members[at].finish_apply(&mut self.oracle);
    }

    fn propose(&mut self) {
        let count = 1 + self.rng.below(4);
        let payloads: Vec<Bytes> = (0..count).map(|_| self.rng.next().to_be_bytes().to_vec().into()).collect();
        // Whether a proposal is taken is not the point.
        self.with_node(|node, _| {
            let _ = node.propose(payloads);
        });
    }

    fn read(&mut self) {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.oracle.asked(tag);
        self.with_node(|node, _| node.read_index(tag));
    }

    fn change_membership(&mut self) {
        let kinds = [ConfChangeKind::AddNode, ConfChangeKind::AddLearnerNode, ConfChangeKind::RemoveNode];
        let count = self.rng.below(4);
        let changes = (0..count)
            .map(|_| ConfChangeSingle { kind: self.rng.pick(&kinds), node_id: 1 + self.rng.below(MEMBERS) })
            .collect();
        let transition = self.rng.pick(&[Transition::Auto, Transition::JointImplicit, Transition::JointExplicit]);
        let change = ConfChangeV2 { transition, changes, ..ConfChangeV2::default() };
        self.with_node(|node, _| {
            if node.preview_conf_change(&change).is_ok() {
                let _ = node.propose_conf_change(change);
            }
        });
        self.tally.changes += 1;
    }

    fn crash(&mut self) {
        let lucky = self.rng.below(3) as usize;
        self.member().crash(lucky);
        self.tally.crashes += 1;
    }

    fn partition(&mut self) {
        self.cut.clear();
        if self.rng.chance(40) {
            let side: Vec<bool> = (0..=MEMBERS).map(|_| self.rng.chance(50)).collect();
            let one_way = self.rng.chance(20);
            for from in 1..=MEMBERS {
                for to in 1..=MEMBERS {
                    let (a, b) = (side[from as usize], side[to as usize]);
                    if a != b && (a || !one_way) {
                        self.cut.insert((from, to));
                    }
                }
            }
        }
    }

    /// Takes what members hand out, and checks everything.
    fn collect(&mut self) {
        for member in &mut self.members {
            // A busy core leaves its work lying for a while.
            if self.rng.chance(60) {
                let (messages, reads) = member.take_ready(&mut self.oracle);
                self.network.extend(messages);
                reads.into_iter().for_each(|read| self.oracle.granted(read.tag, read.index));
            }
            self.oracle.check_member(member);
        }
        // An overloaded network drops the oldest.
        if self.network.len() > 300 {
            self.network.drain(..100);
        }
    }

    /// No more faults: within a bounded time everybody who votes has applied something new.
    fn heal(&mut self) {
        self.cut.clear();
        self.loss = 0;
        for member in &mut self.members {
            member.restart();
            member.disk.0.borrow_mut().slow_reads = 0;
            if let Some(node) = &mut member.node {
                node.set_electable(true);
                node.on_entries_loaded();
            }
        }
        let target = self.oracle.last_applied() + 2;
        for round in 0..3_000u64 {
            self.calm_round(round);
            if self.all_voters_reached(target) {
                self.oracle.check_logs(&self.members);
                return;
            }
        }
        assert!(self.removed_holds_the_key(), "no progress after healing: {}", self.describe());
        self.tally.stuck += 1;
    }

    /// A known limit of switching membership on apply instead of on append: a leader that applied its own removal and
    /// died before the others learned that it is committed can neither campaign, nor vote for them, if its log is
    /// longer than theirs.
    fn removed_holds_the_key(&self) -> bool {
        let nodes = || self.members.iter().filter_map(|member| member.node.as_ref());
        let votes = |node: &raft::Node<Disk>, id| {
            node.membership().voters.contains(&id) || node.membership().voters_outgoing.contains(&id)
        };
        nodes().any(|one| !votes(one, one.id()) && nodes().any(|other| votes(other, one.id())))
    }

    fn calm_round(&mut self, round: u64) {
        for at in 0..self.members.len() {
            let removed = |node: &raft::Node<Disk>| node.is_leader() && !node.membership().voters.contains(&node.id());
            if self.members[at].node.as_ref().is_some_and(removed) && round.is_multiple_of(50) {
                // Without stepping down by itself a removed leader leads on, until its host stops it.
                self.members[at].crash(0);
                self.oracle.check_member(&self.members[at]);
                self.members[at].restart();
            }
            if let Some(node) = &mut self.members[at].node {
                node.tick();
                if round.is_multiple_of(50) {
                    // A transport always says in the end what became of a snapshot; its acknowledgement may have been
                    // lost.
                    (1..=MEMBERS).for_each(|peer| node.report_snapshot(peer, true));
                }
                if node.is_leader() && round.is_multiple_of(8) {
                    let _ = node.propose(vec![Bytes::from_static(b"calm")]);
                }
            }
        }
        for _ in 0..4 {
            for at in 0..self.members.len() {
                let (messages, reads) = self.members[at].take_ready(&mut self.oracle);
                self.network.extend(messages);
                reads.into_iter().for_each(|read| self.oracle.granted(read.tag, read.index));
                while !self.members[at].appends.is_empty() {
                    let released = self.members[at].finish_append();
                    self.network.extend(released);
                }
                while !self.members[at].applies.is_empty() {
                    self.members[at].finish_apply(&mut self.oracle);
                }
                self.oracle.check_member(&self.members[at]);
            }
            for message in std::mem::take(&mut self.network) {
                if let Some(node) = self.members[message.to as usize - 1].node.as_mut() {
                    let _ = node.step(message);
                }
            }
        }
    }

    fn all_voters_reached(&self, target: u64) -> bool {
        let leader =
            self.members.iter().filter_map(|m| m.node.as_ref()).filter(|n| n.is_leader()).max_by_key(|n| n.term());
        let Some(leader) = leader else {
            return false;
        };
        let reached = |id: &NodeId| self.members[*id as usize - 1].disk.0.borrow().applied.index >= target;
        leader.membership().voters.iter().all(reached)
    }

    fn describe(&self) -> String {
        let lines = self.members.iter().filter_map(|m| m.node.as_ref()).map(|node| format!("\n{:?}", node.status()));
        lines.collect()
    }
}
