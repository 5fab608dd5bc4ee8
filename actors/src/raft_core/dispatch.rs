//! The end of every round: take what raft wants done, spend credits, dispatch, publish positions.
//!
//! Must never block: without credit it leaves the work inside raft until a completion comes back.

use super::core::RaftCore;
use crate::limits::{APPENDS_IN_FLIGHT, APPLIES_IN_FLIGHT};
use crate::wiring::apply::{ApplyBatch, CommittedEntry, ToApplier};
use crate::wiring::leases::RoleChanged;
use crate::wiring::wal::{AppendBatch, ToWal};
use model::Envelope;
use model::mutant::{self, Mutant};
use raft::{Append, Apply, Body, Entry, EntryKind};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{SystemTime, UNIX_EPOCH};

impl RaftCore {
    /// Dispatches until raft has nothing more to hand out that there is credit for. Messages and reads need none, so no sign
    /// of life, vote or read ever waits for the disk or the applier; appends and applies have a credit each.
    pub(super) fn drive_ready(&mut self) {
        loop {
            self.propose_changes();
            self.ask_for_reads();
            // before anybody else can know of it
            self.parts.gauges.committed.store(self.node.committed(), Release);
            let mut moved = self.dispatch_messages();
            moved |= self.dispatch_reads();
            if self.appends.len() < APPENDS_IN_FLIGHT
                && let Some(append) = self.node.take_append()
            {
                self.dispatch_append(append);
                moved = true;
            }
            if self.applies.len() < APPLIES_IN_FLIGHT
                && let Some(apply) = self.node.take_apply()
            {
                self.dispatch_apply(apply);
                moved = true;
            }
            if !moved {
                break;
            }
        }
        self.ask_for_log();
        self.order_snapshots();
        self.drop_unneeded_store();
        self.give_store();
        self.answer_changes();
        self.end_transfers();
        self.publish();
        self.out.flush(&self.parts.sinks);
    }

    fn dispatch_messages(&mut self) -> bool {
        if mutant::on(Mutant::HeartbeatCredit) && self.appends.len() > 0 {
            return false;
        }
        let messages = self.node.take_messages();
        if messages.is_empty() {
            return false;
        }
        let messages = self.divert_snapshots(messages);
        if !messages.is_empty() {
            let appends = messages.iter().filter(|message| matches!(message.body, Body::Append(_))).count();
            self.parts.gauges.appends_sent.fetch_add(appends as u64, Relaxed);
            self.parts.peers.send(messages);
        }
        true
    }

    fn dispatch_reads(&mut self) -> bool {
        let reads = self.node.take_reads();
        for read in &reads {
            self.on_read_state(read.tag, read.index);
        }
        !reads.is_empty()
    }

    fn dispatch_append(&mut self, append: Append) {
        let (hard_state, must_sync) = (append.hard_state, append.must_sync);
        let sequence = self.appends.push(self.beats, append.token);
        self.changes.writes(sequence, hard_state, must_sync);
        let install = append.snapshot.map(|snapshot| Box::new(self.begin_install(sequence, &snapshot)));
        self.node.storage_mut().append(&append.entries);
        let batch = AppendBatch {
            sequence,
            entries: append.entries,
            hard_state: append.hard_state,
            must_sync: append.must_sync,
            release: append.responses,
            install,
        };
        // a closed queue means that the WAL writer died: its death watch stops the node
        let sent = self.parts.wal.try_send(ToWal::Append(batch));
        assert!(!matches!(sent, Err(crossbeam_channel::TrySendError::Full(_))), "AI-CREDITS: WAL queue");
    }

    fn dispatch_apply(&mut self, apply: Apply) {
        let entries: Vec<_> = apply.entries.into_iter().map(|entry| self.committed(entry)).collect();
        let sequence = self.applies.push(self.beats, apply.token);
        let sent = self.parts.applier.try_send(ToApplier::Apply(ApplyBatch { sequence, entries }));
        assert!(!matches!(sent, Err(crossbeam_channel::TrySendError::Full(_))), "AI-CREDITS: applier queue");
    }

    /// Attaches to an entry who waits for it. A conf change is answered when the store has judged it.
    fn committed(&mut self, entry: Entry) -> CommittedEntry {
        self.proposals.committed(&entry, &mut self.out);
        let waiter = if entry.kind == EntryKind::Normal { self.waiter(&entry) } else { None };
        CommittedEntry { entry, waiter }
    }

    fn waiter(&mut self, entry: &Entry) -> Option<(messages::SinkId, messages::Token)> {
        if entry.data.is_empty() {
            return None;
        }
        // what cannot be read is left to the applier, which stops the node with the reason
        let origin = Envelope::decode(&entry.data).ok()?.origin;
        let own = (origin.member, origin.epoch) == (self.config.raft.id, self.config.epoch);
        if !own && !mutant::on(Mutant::ReplyCounter) {
            return None;
        }
        self.proposals.take(origin.sequence)
    }

    /// Publishes positions and role, and opens service once this member knows what was committed before it started.
    fn publish(&mut self) {
        let gauges = &self.parts.gauges;
        gauges.term.store(self.node.term(), Relaxed);
        gauges.last_index.store(self.node.last_index(), Relaxed);
        gauges.pending.store(self.proposals.waiting() + self.held.len() as u64, Relaxed);
        gauges.learner.store(self.node.is_learner(), Relaxed);
        let leader = self.node.leader();
        let led_anew = leader != self.last_leader;
        if led_anew {
            if self.node.is_leader() {
                self.led_at = self.now;
            }
            gauges.leader.store(leader, Release);
            if leader != 0 {
                gauges.leader_changes.fetch_add(1, Relaxed);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
                gauges.led_since.store(now, Relaxed);
                tracing::info!(leader = format!("{leader:x}"), term = self.node.term(), "raft.node: elected leader");
            }
            self.last_leader = leader;
        }
        let leading = self.is_settled_leader();
        let was_sole = mutant::on(Mutant::StaleSoleVoter) && gauges.sole_member.load(Relaxed);
        gauges.sole_member.store((leading && self.is_alone()) || was_sole, Release);
        if led_anew || leading != self.was_leading {
            self.was_leading = leading;
            self.parts.leases.send(RoleChanged { leading, term: self.node.term(), leader });
        }
        self.open_service(leading);
    }
}
