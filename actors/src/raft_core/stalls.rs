//! Grey failures: a disk or an applier that hangs while the member still talks.
//!
//! A member that hangs for longer than an election timeout neither campaigns nor is handed leadership. A leader that hangs takes no
//! proposals and hands leadership to a voter that says that it is well; if there is none it stays: resigning on a hiccup that all
//! of them share would leave nobody. Ages are counted in ticks, which come whatever disk and applier do.

use super::core::RaftCore;
use super::forwarded;
use super::health::{Healthy, Stall};
use raft::NodeId;
use std::sync::atomic::Ordering::Relaxed;

impl RaftCore {
    /// With every tick: notes how the others are, looks at the own disk and applier, and tells the others.
    pub(super) fn look_at_health(&mut self) {
        while let Ok((from, vitals)) = self.parts.inbox.vitals.try_recv() {
            self.agreement.note(from, &vitals.hashes);
            self.health.note(from, vitals, self.beats);
        }
        let members = self.node.membership();
        self.health.keep(|id| forwarded::is_member(id, members));
        self.agreement.keep(|id| forwarded::is_member(id, members));
        if self.node.is_leader() {
            let own = self.config.raft.id;
            let others = forwarded::all_members(members).filter(|id| *id != own);
            self.parts.gauges.set_other_versions(self.health.versions(others));
        }
        let patience = u64::from(self.config.raft.election_tick);
        let unsynced = self.appends.age(self.beats);
        let hangs = unsynced > patience || self.applies.age(self.beats) > patience;
        if hangs != self.stall.hangs {
            self.stall = Stall { hangs, tried: Vec::new() };
            tracing::warn!(hangs, "the disk or the applier of this member hangs, or does not any more");
        }
        self.compare_hashes();
        // nobody else could lead in its place
        let electable = (!(hangs || self.is_fenced()) || self.is_sole_voter()) && !self.is_leaving();
        self.node.set_electable(electable);
        self.resign_if_hanging();
        let tick = self.config.tick.as_micros() as u64;
        self.parts.vitals.send(self.own_vitals(unsynced * tick));
    }

    /// A leader that was asleep for longer than two heartbeats has sent none of them meanwhile.
    pub(super) fn note_late_heartbeats(&self, ticks: u32) {
        if ticks > 2 && self.node.is_leader() && !self.is_sole_voter() {
            self.parts.gauges.measured.late_heartbeats.fetch_add(1, Relaxed);
            let (heartbeat, exceeded) = (self.config.tick, self.config.tick * (ticks - 1));
            let msg = "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk";
            tracing::warn!("heartbeat-interval" = ?heartbeat, "exceeded-duration" = ?exceeded, "{msg}");
        }
    }

    /// True while this member leads others and could not carry out what it is asked: what is proposed is refused at once.
    pub(super) fn refuses_to_lead(&self) -> bool {
        (self.stall.hangs || self.is_fenced()) && self.node.is_leader() && !self.is_sole_voter()
    }

    fn resign_if_hanging(&mut self) {
        if !self.refuses_to_lead() || self.node.lead_transferee() != 0 {
            return;
        }
        let own = self.config.raft.id;
        let mut voters = self.node.membership().voters.clone();
        voters.retain(|voter| *voter != own && self.is_well(*voter));
        let Some(target) = voters.iter().copied().find(|voter| !self.stall.tried.contains(voter)) else {
            // all were tried, or none is well: from the beginning, should that change
            self.stall.tried.clear();
            return;
        };
        self.stall.tried.push(target);
        tracing::warn!(
            to = format!("{target:x}"),
            "this leader hangs, or has other data than the others: it hands leadership over"
        );
        self.node.transfer_leader(target);
    }

    /// Whether a member has said within an election timeout that its disk answers within half of one.
    pub(super) fn is_well(&self, member: NodeId) -> bool {
        let election = u64::from(self.config.raft.election_tick);
        let unsynced_micros = election * self.config.tick.as_micros() as u64 / 2;
        self.health.is_healthy(member, self.beats, Healthy { silence: election, unsynced_micros })
    }
}
