//! Leadership handed over because somebody asks for it: a client that names the new leader, or the kernel before this member stops.
//!
//! Both are answered at the end, when the new leader is known. Must never answer that before.

use super::core::RaftCore;
use super::pending_transfers::PendingTransfer;
use crossbeam_channel::Sender;
use messages::reply::Outbox;
use messages::{Reply, ReplyBody, RequestError, SinkId, Token};
use raft::{NodeId, ProgressState};

fn answer(out: &mut Outbox, sink: SinkId, token: Token, result: Result<(), RequestError>) {
    out.push(sink, Reply { token, body: ReplyBody::JobDone(result) });
}

impl RaftCore {
    /// A client wants `target` to lead.
    pub(super) fn on_move_leader(&mut self, sink: SinkId, token: Token, target: NodeId) {
        if !self.node.is_leader() {
            return answer(&mut self.out, sink, token, Err(RequestError::NotLeader));
        }
        if !self.node.membership().voters.contains(&target) {
            return answer(&mut self.out, sink, token, Err(RequestError::BadTransferee));
        }
        tracing::info!(transferee = format!("{target:x}"), "leadership transfer starting");
        self.node.transfer_leader(target);
        let deadline = self.now + self.config.request_ticks;
        self.transfers.moving.push(PendingTransfer { sink, token, target, deadline });
    }

    /// This member is about to stop: the first of `preferred` that can lead takes over. `left` is told who leads then; it is
    /// dropped when nobody can.
    pub(super) fn on_hand_over(&mut self, preferred: &[NodeId], left: Sender<NodeId>) {
        self.transfers.leaving = true;
        if !self.is_sole_voter() {
            self.node.set_electable(false);
        }
        if !self.node.is_leader() {
            // nothing to hand over; full means that nobody waits
            let _ = left.try_send(self.node.leader());
            return;
        }
        let Some(target) = self.best_of(preferred) else { return };
        tracing::info!(transferee = format!("{target:x}"), "leadership transfer starting before this member stops");
        self.node.transfer_leader(target);
        self.transfers.left = Some(left);
    }

    /// The first voter that says that it is well; one that follows and has not said how it is, if there is none.
    pub(super) fn best_of(&self, preferred: &[NodeId]) -> Option<NodeId> {
        let progress = self.node.progress()?;
        let voters = &self.node.membership().voters;
        let follows = |id: NodeId| progress.get(id).is_some_and(|progress| progress.state == ProgressState::Replicate);
        let mut able = preferred.iter().copied().filter(|id| *id != self.config.raft.id && voters.contains(id));
        let well = able.clone().find(|id| self.is_well(*id));
        well.or_else(|| able.find(|id| self.health.of(*id).is_none() && follows(*id)))
    }

    /// True once this member is about to stop.
    pub(super) fn is_leaving(&self) -> bool {
        self.transfers.leaving
    }

    /// At the end of every round: whoever waits for the leader that is known now is told.
    pub(super) fn end_transfers(&mut self) {
        let leader = self.node.leader();
        if leader == 0 || (self.transfers.moving.is_empty() && self.transfers.left.is_none()) {
            return;
        }
        let out = &mut self.out;
        self.transfers.moving.retain(|moving| {
            let done = moving.target == leader;
            if done {
                tracing::info!("new-leader-member-id" = format!("{leader:x}"), "leadership transfer finished");
                answer(out, moving.sink, moving.token, Ok(()));
            }
            !done
        });
        if !self.node.is_leader()
            && let Some(left) = self.transfers.left.take()
        {
            // full means that nobody waits
            let _ = left.try_send(leader);
        }
    }

    /// With every tick, and at the end: gives up what takes too long.
    pub(super) fn expire_transfers(&mut self, now: u64, why: RequestError) {
        let out = &mut self.out;
        self.transfers.moving.retain(|moving| {
            let keep = moving.deadline > now;
            if !keep {
                answer(out, moving.sink, moving.token, Err(why));
            }
            keep
        });
    }
}
