//! The end of a run: no more faults, and a minute in which everything that is owed must arrive. Must never wait for ever.

use super::checks;
use super::ports::HubMail;
use super::violation::{Checked, hold};
use super::world::World;
use messages::watch::WatchRequests;
use model::ApplyError;
use std::sync::atomic::Ordering::Acquire;

/// Microseconds of quiet: more than any lease, timeout or retry takes.
const QUIET: u64 = 40_000_000;

impl World {
    /// Faults end, everything owed arrives, and what is left is right.
    pub(super) fn heal(&mut self) -> Checked {
        if self.armed.is_some() || self.run.is_none() {
            self.crash(true);
        }
        self.hang = 0;
        self.trace.line(self.now, || String::from("quiet from here"));
        let end = self.now + QUIET;
        let mut next = self.now + QUIET / 2;
        while self.now < end {
            self.next_event()?;
            if self.now >= next {
                next += QUIET / 8;
                self.settle_watchers();
            }
        }
        self.judge()
    }

    fn settle_watchers(&mut self) {
        let Some(run) = &self.run else { return };
        let requests = self.watching.settle(&mut self.rng, self.clients.told_revision);
        self.trace.line(self.now, || format!("every stream is opened and granted: {} requests", requests.len()));
        // the receiving end is ours
        let _ = run.to_hub.send(HubMail::Requests(WatchRequests(requests)));
    }

    fn judge(&mut self) -> Checked {
        let serving = self.run.as_ref().is_some_and(|run| run.gauges.serving.load(Acquire));
        hold("SIM-RECOVERS", serving, || String::from("it does not serve after a minute without faults"))?;
        let Some(run) = &self.run else { return Ok(()) };
        let waiting = self.clients.list.iter().find_map(|c| c.call.as_ref());
        hold("SIM-ANSWERED", waiting.is_none(), || format!("{waiting:?} was never answered"))?;
        for op in &self.refused {
            let told = self.replay.told(*op);
            // an entry that came into the log in a later term than it is bound to has no effect
            let no_effect = told.is_none_or(|told| told.applied.result == Err(ApplyError::StaleTerm));
            hold("SIM-REFUSED-STAYS", no_effect, || format!("{op:x} was refused, and applied: {told:?}"))?;
        }
        let view = run.views.load();
        hold("SIM-CAUGHT-UP", view.status.applied_index == self.replay.last(), || {
            format!("entry {} is applied, {} was", view.status.applied_index, self.replay.last())
        })?;
        checks::whole(&view, &self.replay)?;
        hold("SIM-COMPACTS", !run.applier.compacting(), || String::from("a compaction never ends"))?;
        checks::compacted(&view, &self.replay)?;
        let leases = &self.replay.now().leases;
        hold("SIM-LEASE-ENDS", leases.is_empty(), || format!("nobody renews them, and they stay: {leases:?}"))?;
        self.watching.complete(&self.replay)
    }
}
