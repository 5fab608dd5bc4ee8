//! Linearizable reads: when raft is asked for a round, and when service opens.
//!
//! Must never let a read join a round that was begun before it.

use super::core::RaftCore;
use super::pending_reads::ServiceStart;
use messages::read::ReadIndex;
use raft::Index;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl RaftCore {
    /// Notes reads; raft is asked for them when no round is under way.
    pub(super) fn on_reads(&mut self, lists: impl Iterator<Item = ReadIndex>) {
        let deadline = self.now + self.config.request_ticks;
        for list in lists {
            self.reads.ask(list, deadline);
        }
    }

    /// Asks raft for the rounds that are due: the one that opens service, as soon as there is a leader to ask; the next one
    /// for waiting reads; and whatever was asked of another leader, who cannot answer any more.
    pub(super) fn ask_for_reads(&mut self) {
        let leader = (self.node.term(), self.node.leader());
        if leader != self.asked_of && self.node.leader() != 0 {
            self.asked_of = leader;
            self.ask_again();
            if self.service_start == ServiceStart::NoLeader {
                let tag = self.tag();
                self.service_start = ServiceStart::Asked { tag };
                self.node.read_index(tag);
            }
        }
        if self.reads.wants_round() {
            let tag = self.tag();
            self.reads.begin(tag);
            self.node.read_index(tag);
        }
    }

    /// Asks once more for what raft has not granted: a round can be lost with a message or with a leader.
    pub(super) fn ask_again(&mut self) {
        if let Some(tag) = self.reads.unconfirmed() {
            self.node.read_index(tag);
        }
        if let ServiceStart::Asked { tag } = self.service_start {
            self.node.read_index(tag);
        }
    }

    /// As [`Self::ask_again`], twice per election timeout: a round that is as old as that is slow.
    pub(super) fn ask_again_for_slow_reads(&mut self) {
        let round = self.reads.unconfirmed();
        if let Some(tag) = round.filter(|_| self.slow_round == round) {
            self.parts.gauges.measured.slow_read_indexes.fetch_add(1, Relaxed);
            let retry = self.config.tick * self.config.raft.election_tick / 2;
            tracing::warn!("sent-request-id" = tag, "retry-timeout" = ?retry, "waiting for ReadIndex response took too long, retrying");
        }
        self.slow_round = round;
        self.ask_again();
    }

    /// Raft granted a round.
    pub(super) fn on_read_state(&mut self, tag: u64, index: Index) {
        if self.service_start == (ServiceStart::Asked { tag }) {
            self.service_start = ServiceStart::Granted { index };
        }
        self.reads.grant(tag, index);
        let applied = self.parts.gauges.applied.load(Acquire);
        self.reads.applied(applied, &mut self.out);
    }

    /// Opens service once this member knows what was committed before it started.
    pub(super) fn open_service(&mut self, leading: bool) {
        let applied = self.parts.gauges.applied.load(Relaxed);
        // raft answers a singleton's read index before the first entry of its term is applied; service waits for that too
        if let ServiceStart::Granted { index } = self.service_start
            && applied >= index
            && (leading || !self.node.is_leader())
        {
            self.service_start = ServiceStart::Open;
            self.parts.gauges.serving.store(true, Release);
        }
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }
}
