//! Changes of the membership: from the client that asks, through the log and the store's verdict, to an answer that survives a crash.
//!
//! One change is under way at a time; others wait. Raft switches its membership here, by the verdict of the store, and nowhere else.
//! Must never answer that a change is in force before this member would know of it after a crash: whoever was removed may be
//! switched off then.

use super::core::RaftCore;
use super::pending_changes::{ChangeRequest, UnansweredChange, WaitingChange};
use crate::limits::MEMBER_CHANGES;
use crate::promotions;
use messages::{Reply, ReplyBody, RequestError};
use model::mutant::{self, Mutant};
use model::{MemberChange, MemberRefusal, Origin};
use raft::{Body, ConfChangeKind, ConfChangeV2, Message, NodeId, Proposal, ProposalDropped, Proposed};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use storage::apply::{ConfVerdict, Membership};
use storage::member::{conf_change, is_in_sync, strict_check};

/// What is to be done about a change that waits.
enum Step {
    Wait,
    Refuse(RequestError),
    /// Only the leader knows whether the learner is ready.
    PassOn {
        leader: NodeId,
        id: NodeId,
    },
    Propose,
}

impl RaftCore {
    /// A client, or another member for one, asks for a change.
    pub(super) fn on_change(&mut self, asked: ChangeRequest) {
        if self.changes.waiting.len() >= MEMBER_CHANGES {
            return self.refuse(asked.sink, asked.token, RequestError::TooManyRequests);
        }
        let deadline = self.now + self.config.request_ticks;
        self.changes.waiting.push_back(WaitingChange { asked, deadline, offer_again: 0 });
    }

    /// As a leader: raft would empty a change that is proposed now, because another one is not applied yet.
    pub(super) fn must_hold_changes(&self) -> bool {
        self.node.is_leader() && !self.node.may_change_membership()
    }

    /// Another member has forwarded a change too early: it may have applied the one before it sooner than this one.
    pub(super) fn hold_change(&mut self, message: Message, proposals: &[Proposal]) {
        if self.changes.held.len() >= MEMBER_CHANGES {
            return self.refuse_forwarded(message.from, proposals, ProposalDropped::TooMuchUncommitted);
        }
        self.changes.held.push_back(message);
    }

    fn step_held_changes(&mut self) {
        while !self.must_hold_changes()
            && let Some(message) = self.changes.held.pop_front()
        {
            match &message.body {
                Body::Propose(proposals) if !self.node.is_leader() => {
                    self.refuse_forwarded(message.from, proposals, ProposalDropped::NoLeader);
                }
                _ => self.on_message(message),
            }
        }
    }

    /// Proposes what waits, as far as it can be proposed now.
    pub(super) fn propose_changes(&mut self) {
        self.step_held_changes();
        while let Some(mut waiting) = self.changes.waiting.pop_front() {
            match self.next_step(&mut waiting) {
                Step::Wait => {
                    self.changes.waiting.push_front(waiting);
                    return;
                }
                Step::Refuse(why) => self.refuse(waiting.asked.sink, waiting.asked.token, why),
                Step::PassOn { leader, id } => {
                    let ChangeRequest { sink, token, .. } = waiting.asked;
                    promotions::pass_on(&self.parts.calls, self.parts.sinks.clone(), leader, id, (sink, token));
                }
                Step::Propose => self.propose_change(waiting),
            }
        }
    }

    fn next_step(&mut self, waiting: &mut WaitingChange) -> Step {
        if self.node.is_leader() && (!self.node.may_change_membership() || self.node.lead_transferee() != 0) {
            return Step::Wait;
        }
        let change = &waiting.asked.change;
        if let MemberChange::Promote { id } = change
            && let Some(step) = self.before_promotion(*id, waiting.asked.forwarded)
        {
            return step;
        }
        if self.config.strict_reconfig
            && let Err(why) = strict_check(&self.changes.present, self.config.raft.id, change, |peer| {
                self.parts.connections.connected_for(peer)
            })
        {
            tracing::warn!(?change, %why, "refused a change of the membership that could cost the quorum");
            return Step::Refuse(why.into());
        }
        if !self.node.is_leader() {
            // The table of a follower may be old, so it does not judge: the store's verdict answers.
            return match self.node.leader() {
                0 => Step::Wait,
                leader if *change == (MemberChange::Remove { id: leader }) && self.moves_leadership(waiting) => {
                    Step::Wait
                }
                _ => Step::Propose,
            };
        }
        // nothing in the log can change the membership before this does: what the judge says now, it will say then
        let proposed = conf_change(change, Origin::default(), self.config.max_learners).into_v2();
        if let Err(why) = self.judge(&proposed) {
            return Step::Refuse(why.into());
        }
        if *change == (MemberChange::Remove { id: self.config.raft.id }) && self.moves_leadership(waiting) {
            return Step::Wait;
        }
        Step::Propose
    }

    /// Who leads is removed under another leader: it alone might know that its removal is committed, and it may be switched off as
    /// soon as that is answered. True while a successor is waited for, which is tried for half of the patience there is.
    fn moves_leadership(&mut self, waiting: &mut WaitingChange) -> bool {
        if self.now + self.config.request_ticks / 2 >= waiting.deadline {
            return false;
        }
        if self.now >= waiting.offer_again {
            let Some(successor) = self.successor() else { return false };
            waiting.offer_again = self.now + u64::from(self.config.raft.election_tick);
            self.node.transfer_leader(successor);
        }
        true
    }

    fn judge(&self, change: &raft::ConfChangeV2) -> Result<(), MemberRefusal> {
        let context = storage::apply::MemberContext::decode(&change.context).map_err(|_| MemberRefusal::Impossible)?;
        self.changes.present.judge(change, Some(&context)).map(drop)
    }

    /// What keeps a learner from being promoted here and now.
    fn before_promotion(&self, id: NodeId, forwarded: bool) -> Option<Step> {
        let Some(progress) = self.node.progress() else {
            return Some(match self.node.leader() {
                _ if forwarded => Step::Refuse(RequestError::NotLeader),
                0 => Step::Wait,
                leader => Step::PassOn { leader, id },
            });
        };
        let Some(learner) = progress.get(id) else { return Some(Step::Refuse(MemberRefusal::NotFound.into())) };
        let own = progress.get(self.config.raft.id).map_or(0, |own| own.matched);
        let started = self.changes.present.member(id).is_some_and(|row| !row.name.is_empty());
        // whoever votes already is told so by the judge
        let ready = !self.changes.present.is_learner(id) || (started && is_in_sync(learner.matched, own));
        (!ready).then(|| Step::Refuse(MemberRefusal::LearnerNotReady.into()))
    }

    /// Who should lead when the leader goes: of those that are well the voter that holds most of the log. A follower knows only itself
    /// well enough.
    fn successor(&self) -> Option<NodeId> {
        let (own, leader) = (self.config.raft.id, self.node.leader());
        if leader != own {
            let voters = &self.node.membership().voters;
            let other = voters.iter().copied().find(|voter| *voter != leader);
            return if voters.contains(&own) { Some(own) } else { other };
        }
        let mut peers: Vec<_> = self.node.progress()?.iter().map(|(id, peer)| (peer.matched, id)).collect();
        peers.sort_by_key(|(matched, id)| (Reverse(*matched), *id));
        let preferred: Vec<NodeId> = peers.into_iter().map(|(_, id)| id).collect();
        self.best_of(&preferred)
    }

    fn propose_change(&mut self, waiting: WaitingChange) {
        let WaitingChange { asked: ChangeRequest { sink, token, change, .. }, deadline, .. } = waiting;
        let sequence = self.proposals.add(sink, token, deadline, 0);
        let origin = Origin { member: self.config.raft.id, epoch: self.config.epoch, sequence };
        match self.node.propose_conf_change(conf_change(&change, origin, self.config.max_learners)) {
            Ok(Proposed::Appended { term, first, .. }) => self.proposals.placed(first, term, 1),
            Ok(Proposed::Forwarded { .. }) => {}
            Err(why) => self.refuse_dropped(&[sequence], why),
        }
    }

    /// The store has judged a committed change: raft's membership follows. Before raft hears that the entry is applied.
    pub(super) fn on_verdict(&mut self, verdict: ConfVerdict) {
        let ConfVerdict { index, change, result, answer, membership } = verdict;
        match result {
            Ok(()) if !self.node.is_leader() && is_removal(&change) && mutant::on(Mutant::RemovedVotes) => {}
            Ok(()) => {
                let conf_state = self.node.apply_conf_change(&change);
                assert!(
                    conf_state == membership.conf_state,
                    "AI-MEMBERSHIP: raft has {conf_state:?}, the store {:?}",
                    membership.conf_state
                );
                if self.node.is_leader() && is_promotion(&self.changes.present, &membership) {
                    self.parts.gauges.measured.promotions.fetch_add(1, Relaxed);
                }
                tracing::info!(index, voters = ?hex(&conf_state.voters), learners = ?hex(&conf_state.learners), "the membership changed");
                // also where nobody waits: whoever was removed may be switched off
                if !mutant::on(Mutant::ChangeNotDurable) {
                    self.node.demand_commit();
                }
            }
            Err(why) => tracing::warn!(index, %why, "a change of the membership was refused"),
        }
        self.leave_when_removed(&membership);
        self.changes.present = membership;
        if let Some((origin, applied)) = answer
            && (origin.member, origin.epoch) == (self.config.raft.id, self.config.epoch)
            && let Some((sink, token)) = self.proposals.take(origin.sequence)
        {
            let deadline = self.now + self.config.request_ticks;
            self.changes.unanswered.push_back(UnansweredChange { index, sink, token, applied, deadline });
        }
    }

    /// Something about a member has changed, its name for instance.
    pub(super) fn on_membership(&mut self, membership: Arc<Membership>) {
        self.leave_when_removed(&membership);
        self.changes.present = membership;
    }

    /// Answers changes that a crash cannot undo any more. A refusal changed nothing, so it does not wait.
    pub(super) fn answer_changes(&mut self) {
        let durable = self.changes.durable_commit.max(self.durable);
        let (ready, waiting) = std::mem::take(&mut self.changes.unanswered).into_iter().partition(|answer| {
            answer.index <= durable || answer.applied.result.is_err() || mutant::on(Mutant::ChangeNotDurable)
        });
        self.changes.unanswered = waiting;
        let ready: VecDeque<UnansweredChange> = ready;
        for UnansweredChange { sink, token, applied, .. } in ready {
            self.out.push(sink, Reply { token, body: ReplyBody::Applied(Ok(applied)) });
        }
    }

    /// Gives up what has waited for too long: the outcome of what was proposed is unknown to its caller.
    pub(super) fn expire_changes(&mut self, now: u64, why: RequestError) {
        while self.changes.waiting.front().is_some_and(|waiting| waiting.deadline <= now) {
            let asked = self.changes.waiting.pop_front().expect("just seen").asked;
            self.refuse(asked.sink, asked.token, why);
        }
        while self.changes.unanswered.front().is_some_and(|answer| answer.deadline <= now) {
            let answer = self.changes.unanswered.pop_front().expect("just seen");
            self.refuse(answer.sink, answer.token, why);
        }
    }
}

/// Whether a learner of before votes now.
fn is_promotion(before: &Membership, after: &Membership) -> bool {
    let mut learners = before.conf_state.learners.iter();
    learners.any(|id| after.conf_state.voters.contains(id))
}

/// For a mutant.
fn is_removal(change: &ConfChangeV2) -> bool {
    change.changes.iter().any(|step| step.kind == ConfChangeKind::RemoveNode)
}

fn hex(ids: &[NodeId]) -> Vec<String> {
    ids.iter().map(|id| format!("{id:x}")).collect()
}
