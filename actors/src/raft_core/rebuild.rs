//! The store of this member is rebuilt from the leader's, while log, votes and watchers stay.
//!
//! The applier holds what is to be applied; the leader is asked for its store, at this member's commit index or behind it; it comes as a
//! snapshot does; the applier swaps, and goes on behind it. Raft does not take part: log and commit index are right, only what was made of
//! them is not. A store behind everything that is committed here is an ordinary snapshot, and raft installs it.
//!
//! Must never throw away the log: entries that this member has acknowledged may be on no other one that is needed.

use super::core::RaftCore;
use super::pending_rebuild::Phase;
use crate::calls::kinds::{StoreWanted, WantStore};
use crate::wiring::advance::Rebuilt;
use crate::wiring::apply::ToApplier;
use crate::wiring::snapshots::StagedStore;
use messages::{Reply, ReplyBody, RequestError, SinkId, Token};
use raft::{Index, NodeId, Storage};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// How long a question may be on its way. It is asked again.
const ASK_PATIENCE: Duration = Duration::from_secs(1);
/// Election timeouts without a transfer after which a rebuild is given up.
const PATIENCE: u64 = 30;
/// Election timeouts that a member which wants a store is waited for before it asks again.
const WANTED: u64 = 3;

impl RaftCore {
    /// Somebody wants the store of this member to be rebuilt.
    pub(super) fn on_rebuild(&mut self, sink: SinkId, token: Token) {
        if self.is_sole_voter() {
            // there is nobody who could have another store
            return self.out.push(sink, Reply { token, body: ReplyBody::JobDone(Err(RequestError::NoOtherMember)) });
        }
        if self.incoming.staged.is_some() || self.incoming.installing.is_some() {
            return self.out.push(sink, Reply { token, body: ReplyBody::JobDone(Err(RequestError::Busy)) });
        }
        self.rebuild.waiting.push((sink, token));
        if self.rebuild.phase.is_some() {
            return;
        }
        self.begin_rebuild();
    }

    /// The start of this member demands it: nothing is applied before.
    pub(super) fn begin_required_rebuild(&mut self) {
        if self.is_sole_voter() {
            self.failure = Some(
                "there is no other member to rebuild this one from; start it without --rebuild-from-leader".into(),
            );
            return;
        }
        self.rebuild.is_required = true;
        self.begin_rebuild();
    }

    fn begin_rebuild(&mut self) {
        tracing::warn!("the store of this member is rebuilt from the leader's");
        self.parts.gauges.rebuilding.store(true, Release);
        self.order_applier(ToApplier::Hold);
        self.rebuild.phase = Some(Phase::Fetching { since: self.now, asked: None });
        self.tend_rebuild();
    }

    /// With every tick: asks (again), and gives up.
    pub(super) fn tend_rebuild(&mut self) {
        let election = u64::from(self.config.raft.election_tick);
        let now = self.now;
        self.rebuild.wanted.retain(|_, (_, since)| now.saturating_sub(*since) <= WANTED * election);
        let Some(Phase::Fetching { since, asked }) = self.rebuild.phase else { return };
        if self.incoming.installing.is_some() {
            return;
        }
        // while nobody leads, nobody has refused
        let waits = self.parts.gauges.receiving_snapshot.load(Acquire) || self.node.leader() == 0;
        if waits {
            self.rebuild.phase = Some(Phase::Fetching { since: now, asked });
            return;
        }
        if now.saturating_sub(since) > PATIENCE * election {
            tracing::error!(
                "no member has sent its store: the rebuild is given up, this member keeps the store that it has"
            );
            if self.rebuild.is_required {
                self.failure = Some("the leader does not send its store; start this member again".into());
                return;
            }
            self.order_applier(ToApplier::Resume);
            return self.end_rebuild(Err(RequestError::Timeout));
        }
        let leader = self.node.leader();
        let is_due = asked.is_none_or(|asked| now.saturating_sub(asked) >= election);
        // a leader that is fenced hands leadership over first
        if leader != 0 && leader != self.config.raft.id && is_due {
            self.rebuild.phase = Some(Phase::Fetching { since, asked: Some(now) });
            let ask = StoreWanted { behind: self.node.committed() };
            self.parts.calls.ask::<WantStore>(leader, ask, ASK_PATIENCE, drop);
        }
    }

    /// Another member wants this one's store.
    pub(super) fn on_store_wanted(&mut self, by: NodeId, behind: Index) {
        let is_member = super::forwarded::is_member(by, self.node.membership());
        if is_member && self.node.is_leader() && !self.is_fenced() {
            self.rebuild.wanted.insert(by, (behind, self.now));
        }
    }

    /// Begins to send the store to those who want it, as soon as there is a checkpoint that does.
    pub(super) fn send_stores(&mut self) {
        let wanted: Vec<(NodeId, Index)> = self.rebuild.wanted.iter().map(|(id, (behind, _))| (*id, *behind)).collect();
        for (to, behind) in wanted {
            if let Ok(snapshot) = self.node.storage_mut().outgoing.snapshot(to, behind + 1) {
                self.rebuild.wanted.remove(&to);
                let term = self.node.term();
                self.send_snapshot(to, term, &snapshot);
            }
        }
    }

    /// A store has come: if it is the one to rebuild this member's from, the applier gets it. What is raft's to install is given back.
    pub(super) fn take_rebuilt(&mut self, staged: StagedStore) -> Option<StagedStore> {
        let is_wanted = matches!(self.rebuild.phase, Some(Phase::Fetching { .. }));
        if !is_wanted || staged.meta.index > self.node.committed() {
            return Some(staged);
        }
        tracing::info!(
            index = staged.meta.index,
            store = staged.name,
            "rebuilding this member from the store of the leader"
        );
        self.rebuild.phase = Some(Phase::Swapping);
        self.rebuild.staged = Some((staged, None));
        self.give_store();
        None
    }

    /// The applier gets the store once the log has everything that it holds for good: it would not fit the log of a restart otherwise.
    pub(super) fn give_store(&mut self) {
        let Some((staged, behind)) = &mut self.rebuild.staged else { return };
        if behind.is_none() && self.node.storage().last_index() >= staged.meta.index {
            *behind = Some(self.appends.newest());
        }
        let is_durable = behind.is_some_and(|behind| self.appends.oldest().is_none_or(|oldest| oldest > behind));
        if is_durable && let Some((staged, _)) = self.rebuild.staged.take() {
            self.order_applier(ToApplier::Rebuild(staged));
        }
    }

    /// The applier has it.
    pub(super) fn on_rebuilt(&mut self, done: Rebuilt) {
        let Rebuilt { index, hash, membership } = done;
        if let Some(membership) = membership {
            self.node.adopt_membership(&membership.conf_state);
            self.on_membership(membership);
        }
        tracing::info!(index, "rebuilt this member from the store of the leader");
        self.store_replaced(index, hash);
        self.end_rebuild(Ok(()));
    }

    /// It is over, one way or the other.
    pub(super) fn end_rebuild(&mut self, result: Result<(), RequestError>) {
        self.rebuild.is_required = false;
        if self.rebuild.phase.take().is_some() {
            self.parts.gauges.rebuilding.store(false, Release);
        }
        self.answer_rebuild(result);
    }

    /// Answers who waits for it.
    pub(super) fn answer_rebuild(&mut self, result: Result<(), RequestError>) {
        for (sink, token) in self.rebuild.waiting.drain(..) {
            self.out.push(sink, Reply { token, body: ReplyBody::JobDone(result) });
        }
    }

    fn order_applier(&mut self, order: ToApplier) {
        // a closed queue means that the applier ended: its death watch stops the node
        let sent = self.parts.applier.try_send(order);
        assert!(!matches!(sent, Err(crossbeam_channel::TrySendError::Full(_))), "AI-CREDITS: applier queue");
    }
}
