//! Snapshots as the core deals with them: those it has sent to followers, and the one that replaces its own store.
//!
//! Raft's message about a snapshot never travels alone: the store does, and the message is stepped where it has arrived. Must never
//! say that a snapshot was delivered before its receiver did, and never hand out an install without the store that belongs to it.

use super::core::RaftCore;
use super::incoming::Installing;
use super::outgoing::{Matched, Order};
use crate::limits::{SNAPSHOT_LOG_BYTES, SNAPSHOT_LOG_BYTES_LOW, SNAPSHOT_TRANSFERS};
use crate::wiring::snapshots::{SendSnapshot, SnapshotNotice, SnapshotStaged, StagedStore, ToSnapshotter};
use messages::RequestError;
use model::mutant::{self, Mutant};
use raft::{Body, Message, Snapshot, StepError, Storage};
use std::sync::atomic::Ordering::{Relaxed, Release};

/// A follower has caught up when it lacks no more entries than this, or than are kept for any follower.
const NEARLY: u64 = 100;

impl RaftCore {
    /// Takes in what the snapshotter and the receiver of snapshots say.
    pub(super) fn on_snapshots(&mut self) {
        while let Ok(notice) = self.parts.inbox.snapshots.try_recv() {
            match notice {
                SnapshotNotice::Built { checkpoint, meta } => {
                    let compacted = self.node.storage().first_index() - 1;
                    let order = self.node.storage_mut().outgoing.built(checkpoint, meta, compacted);
                    self.order(order);
                }
                SnapshotNotice::Sent { to, delivered } => {
                    self.node.storage_mut().outgoing.ended(to, delivered);
                    self.node.report_snapshot(to, delivered);
                }
            }
        }
        while let Ok(staged) = self.parts.inbox.staged.try_recv() {
            self.on_staged(staged);
        }
    }

    /// Has checkpoints made that raft asked for; nobody is sent anything by a member that does not lead.
    pub(super) fn order_snapshots(&mut self) {
        let applied = self.node.applied();
        let is_leader = self.node.is_leader();
        let appended = self.node.storage().appended();
        let orders = match is_leader {
            true => {
                self.send_stores();
                self.node.storage_mut().outgoing.build(applied, appended).into_iter().collect()
            }
            false => {
                self.rebuild.wanted.clear();
                self.node.storage_mut().outgoing.stop()
            }
        };
        self.order(orders);
    }

    /// Time has passed: gives up what takes too long.
    pub(super) fn expire_snapshots(&mut self) {
        let low = self.parts.gauges.disk_low.load(Relaxed);
        let most = if low { SNAPSHOT_LOG_BYTES_LOW } else { SNAPSHOT_LOG_BYTES };
        let (now, election) = (self.now, u64::from(self.config.raft.election_tick));
        let log = self.node.storage_mut();
        log.outgoing.set_time(now, election);
        let (appended, last) = (log.appended(), log.last_index());
        let enough = last.saturating_sub(self.config.catch_up_entries.max(NEARLY));
        let Some(progress) = self.node.progress() else { return };
        let matched: Matched = progress.iter().map(|(peer, progress)| (peer, progress.matched)).collect();
        let orders = self.node.storage_mut().outgoing.expire(&matched, enough, appended, most);
        self.order(orders);
    }

    fn order(&mut self, orders: impl IntoIterator<Item = Order>) {
        for order in orders {
            let message = match order {
                Order::Build(checkpoint) => ToSnapshotter::Build { checkpoint },
                Order::Cancel(to) => ToSnapshotter::Cancel { to },
                Order::Forget(checkpoint) => ToSnapshotter::Forget { checkpoint },
            };
            if self.parts.snapshots.try_send(message).is_err()
                && let Order::Build(checkpoint) = order
            {
                let none = self.node.storage_mut().outgoing.built(checkpoint, None, 0);
                debug_assert!(none.is_none(), "a checkpoint that was not made is nothing to forget");
            }
        }
    }

    /// Takes snapshots out of what goes to other members, and has them sent in their own way.
    pub(super) fn divert_snapshots(&mut self, messages: Vec<Message>) -> Vec<Message> {
        if !messages.iter().any(|message| matches!(message.body, Body::Snapshot(_))) {
            return messages;
        }
        let mut others = Vec::with_capacity(messages.len());
        for message in messages {
            match message.body {
                Body::Snapshot(snapshot) => self.send_snapshot(message.to, message.term, &snapshot),
                body => others.push(Message { body, ..message }),
            }
        }
        others
    }

    pub(super) fn send_snapshot(&mut self, to: u64, term: u64, snapshot: &Snapshot) {
        let outgoing = &mut self.node.storage_mut().outgoing;
        let room = outgoing.transfers() < SNAPSHOT_TRANSFERS;
        let checkpoint = if room { outgoing.begin(to, snapshot) } else { None };
        let begun = checkpoint.is_some_and(|checkpoint| {
            let order = ToSnapshotter::Send(SendSnapshot { checkpoint, to, term });
            self.parts.snapshots.try_send(order).is_ok()
        });
        if begun && mutant::on(Mutant::EarlyReport) {
            self.node.report_snapshot(to, true);
        }
        if begun {
            tracing::info!(
                to = format!("{to:x}"),
                index = snapshot.meta.index,
                term,
                "sending a snapshot to a follower"
            );
        } else {
            self.node.storage_mut().outgoing.ended(to, false);
            self.node.report_snapshot(to, false);
        }
    }

    /// A store has been received, verified and opened: raft is told as if its leader had just said so.
    fn on_staged(&mut self, message: SnapshotStaged) {
        let SnapshotStaged { from, term, staged, stepped } = message;
        let busy = self.incoming.staged.is_some() || self.incoming.installing.is_some();
        if busy || self.failure.is_some() {
            self.discard(staged);
            // nobody may wait for it any more
            let _ = stepped.send(false);
            return;
        }
        let Some(staged) = self.take_rebuilt(staged) else {
            // as above
            let _ = stepped.send(true);
            return;
        };
        let snapshot = Snapshot { meta: staged.meta.clone(), data: Default::default() };
        let body = Body::Snapshot(Box::new(snapshot));
        self.incoming.staged = Some(staged);
        let to = self.config.raft.id;
        if let Err(why @ StepError::LogLost { .. }) = self.node.step(Message { from, to, term, body }) {
            self.failure = Some(why.to_string());
        }
        // as above
        let _ = stepped.send(true);
    }

    /// Raft tells nobody that it did not need a snapshot: its store is removed.
    pub(super) fn drop_unneeded_store(&mut self) {
        let ahead = self.node.snapshot_ahead();
        if let Some(staged) = self.incoming.staged.take_if(|staged| ahead != Some(staged.meta.index)) {
            tracing::info!(index = staged.meta.index, "a snapshot that was received is not needed");
            self.discard(staged);
        }
    }

    fn discard(&mut self, staged: StagedStore) {
        // a queue that is full or closed leaves the folder to the next start
        let _ = self.parts.snapshots.try_send(ToSnapshotter::Discard(staged));
    }

    /// The append of this number replaces log and store by `snapshot`.
    ///
    /// # Panics
    /// When its store is not there (AI-STAGED).
    pub(super) fn begin_install(&mut self, sequence: u64, snapshot: &Snapshot) -> StagedStore {
        let staged = self.incoming.staged.take_if(|staged| staged.meta == snapshot.meta);
        let staged = staged.expect("AI-STAGED: raft installs what was staged, and nothing else");
        let index = snapshot.meta.index;
        tracing::info!(index, term = snapshot.meta.term, store = staged.name, "installing a snapshot of the leader");
        let (membership, hash) = (staged.membership.clone(), staged.hash);
        self.incoming.installing = Some(Installing { sequence, index, membership, hash });
        self.node.storage_mut().install(&snapshot.meta);
        if !mutant::on(Mutant::PlacesKept) {
            let failed = self.proposals.installed(index, RequestError::Timeout, &mut self.out);
            self.parts.gauges.proposals_failed.fetch_add(failed, Relaxed);
        }
        staged
    }

    /// Appends up to this number are durable, and if there was an install among them, the applier has the store.
    pub(super) fn finish_install(&mut self, sequence: u64) {
        let Some(install) = self.incoming.installing.take_if(|install| install.sequence <= sequence) else { return };
        let index = install.index;
        tracing::info!(index, "installed a snapshot of the leader");
        self.durable = self.durable.max(index);
        self.released = self.released.max(index);
        self.parts.gauges.applied.store(index, Release);
        self.reads.applied(index, &mut self.out);
        self.on_membership(install.membership);
        self.store_replaced(index, install.hash);
        self.end_rebuild(Ok(()));
    }
}
