//! The end of a run: no more faults, and a minute in which everything that is owed must arrive. Must never wait for ever.

use super::checks;
use super::ports::HubMail;
use super::violation::{Checked, hold};
use super::world::World;
use messages::watch::WatchRequests;
use model::ApplyError;
use storage::boot::Stores;

/// Microseconds of quiet: more than any lease, timeout or retry takes.
const QUIET: u64 = 40_000_000;
/// Longer among several members: sessions, elections and snapshots come first.
const QUIET_CLUSTER: u64 = 75_000_000;

impl World {
    /// Faults end, everything owed arrives, and what is left is right.
    pub(super) fn heal(&mut self) -> Checked {
        self.is_quiet = true;
        self.mend();
        self.net.bulk_breaks = 0;
        self.params.loss = 0;
        for at in 0..self.machines.len() {
            let machine = &mut self.machines[at];
            (machine.hang, machine.stalled_until) = (0, 0);
            if machine.armed.is_some() || (machine.run.is_none() && !machine.is_gone && !machine.is_wiped) {
                self.crash(at, true);
            }
        }
        self.trace.line(self.now, || String::from("quiet from here"));
        self.story.note(self.now, 0, || "quiet".to_owned());
        let quiet = if self.is_cluster() { QUIET_CLUSTER } else { QUIET };
        let end = self.now + quiet;
        let mut next = self.now + quiet / 2;
        while self.now < end {
            self.next_event()?;
            if self.now >= next {
                next += quiet / 8;
                self.settle_watchers();
            }
        }
        self.judge()
    }

    fn settle_watchers(&mut self) {
        let serving: Vec<usize> = self.serving().into_iter().filter(|at| self.wanted().contains(at)).collect();
        if serving.is_empty() {
            return;
        }
        let told = if self.is_cluster() { 0 } else { self.clients.told_revision };
        let place = |stream: usize| serving[stream % serving.len()];
        let requests = self.watching.settle(&mut self.rng, told, place);
        self.trace.line(self.now, || String::from("every stream is opened and granted"));
        for (at, requests) in requests {
            if let Some(run) = &self.machines[at].run {
                // the receiving end is ours
                let _ = run.to_hub.send(HubMail::Requests(WatchRequests(requests)));
            }
        }
    }

    fn judge(&mut self) -> Checked {
        let waiting = self.clients.list.iter().find_map(|c| c.call.as_ref());
        hold("SIM-ANSWERED", waiting.is_none(), || format!("{waiting:?} was never answered"))?;
        for op in &self.refused {
            let told = self.replay.told(*op);
            // an entry that came into the log in a later term than it is bound to has no effect
            let no_effect = told.is_none_or(|told| told.applied.result == Err(ApplyError::StaleTerm));
            hold("SIM-REFUSED-STAYS", no_effect, || format!("{op:x} was refused, and applied: {told:?}"))?;
        }
        let wanted = self.wanted();
        hold("SIM-RECOVERS", !wanted.is_empty(), || String::from("nobody is left"))?;
        for at in wanted {
            self.judge_member(at)?;
        }
        self.judge_version()?;
        let transfers = self.net.transfers();
        hold("SIM-TRANSFERS-END", transfers == 0, || format!("{transfers} snapshots are still on their way"))?;
        let leases = &self.replay.now().leases;
        hold("SIM-LEASE-ENDS", leases.is_empty(), || format!("nobody renews them, and they stay: {leases:?}"))?;
        self.watching.complete(&self.replay)
    }

    /// A member that should be there is, and has everything.
    fn judge_member(&mut self, at: usize) -> Checked {
        let machine = &self.machines[at];
        hold("SIM-RECOVERS", machine.is_serving(), || {
            let node = machine.run.as_ref().map(|run| run.core.node().basic_status());
            let conf = machine.run.as_ref().map(|run| run.core.node().membership().clone());
            format!("m{at}: it does not serve after a minute without faults: {node:?} {conf:x?}")
        })?;
        let Some(run) = &machine.run else { return Ok(()) };
        let view = run.views.load();
        hold("SIM-CAUGHT-UP", view.status.applied_index == self.replay.last(), || {
            format!("m{at}: entry {} is applied, {} was", view.status.applied_index, self.replay.last())
        })?;
        checks::whole(&view, &self.replay)?;
        hold("SIM-COMPACTS", !run.applier.compacting(), || format!("m{at}: a compaction never ends"))?;
        checks::compacted(&view, &self.replay)?;
        let stores = machine.stores.list().unwrap_or_default();
        // one that is there in part waits for five minutes for its sender
        let most = if run.staging.is_parked() { 2 } else { 1 };
        hold("SIM-STAGING", stores.len() <= most, || format!("m{at}: stores are left over: {stores:?}"))
    }
}
