//! Automatic compaction: by age or by number of revisions, while this member leads.
//!
//! The rules are a plain struct that is told the time; the task around it asks and proposes. Source: etcd's
//! behaviour. Must never compact what is younger than asked.

use crate::client::{Client, ClientError};
use crate::config::AutoCompaction;
use messages::RequestError;
use model::request::CompactionRequest;
use model::{ApplyError, Command};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// How often revision mode looks.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);

/// Decides when to compact, and up to where.
#[derive(Debug)]
struct Rules {
    keep: AutoCompaction,
    /// Revisions seen, oldest first, one per sample interval.
    seen: VecDeque<i64>,
    /// Samples since the last compaction.
    since: usize,
}

impl Rules {
    fn new(keep: AutoCompaction) -> Self {
        Self { keep, seen: VecDeque::new(), since: 0 }
    }

    /// Time between two looks.
    fn interval(&self) -> Duration {
        match self.keep {
            AutoCompaction::Periodic(period) => (period.min(HOUR) / 10).max(Duration::from_millis(1)),
            AutoCompaction::Revision(_) => REVISION_INTERVAL,
        }
    }

    /// Looks at the current revision; the revision to compact to, when it is time.
    fn look(&mut self, revision: i64) -> Option<i64> {
        let period = match self.keep {
            AutoCompaction::Revision(keep) => return Some(revision - keep).filter(|target| *target > 0),
            AutoCompaction::Periodic(period) => period,
        };
        let samples = period.as_nanos().div_ceil(self.interval().as_nanos()) as usize;
        self.seen.push_back(revision);
        self.since += 1;
        while self.seen.len() > samples + 1 {
            self.seen.pop_front();
        }
        // ten looks are one compaction interval: the period, or an hour when that is longer
        let due = self.seen.len() > samples && self.since >= 10;
        if !due {
            return None;
        }
        self.since = 0;
        self.seen.front().copied()
    }

    /// Not leading: what was seen says nothing about what this member may compact later.
    fn forget(&mut self) {
        self.seen.clear();
        self.since = 0;
    }
}

/// Compacts until the node ends.
pub(crate) async fn run(client: Client, keep: AutoCompaction) {
    let mut rules = Rules::new(keep);
    let mut last = 0;
    loop {
        actix_rt::time::sleep(rules.interval()).await;
        let ports = client.ports();
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
        if ports.gauges.leader_id() != Some(ports.identity.member_id) {
            rules.forget();
            continue;
        }
        let Some(revision) = rules.look(ports.reads.position().0).filter(|target| *target > last) else { continue };
        tracing::info!(revision, "starting auto compaction");
        let request = CompactionRequest { revision, physical: false };
        match client.execute(Command::Compaction(request)).await {
            Ok(_) | Err(ClientError::Apply(ApplyError::Compacted)) => {
                last = revision;
                tracing::info!(revision, "completed auto compaction");
            }
            Err(ClientError::Request(RequestError::Stopped)) => return,
            Err(why) => tracing::warn!(revision, error = %why, "auto compaction failed, it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periodic_keeps_a_whole_period() {
        let mut rules = Rules::new(AutoCompaction::Periodic(Duration::from_secs(600)));
        assert_eq!(rules.interval(), Duration::from_secs(60));
        let targets: Vec<_> = (1..=31).map(|minute| rules.look(minute * 100)).collect();
        let due: Vec<_> = targets.iter().enumerate().filter_map(|(at, t)| Some((at as i64 + 1, (*t)?))).collect();
        // after the first full period, then once per period, always to what was current a period ago
        assert_eq!(due, [(11, 100), (21, 1100), (31, 2100)]);
    }

    #[test]
    fn long_periods_are_compacted_hourly() {
        let mut rules = Rules::new(AutoCompaction::Periodic(Duration::from_secs(7200)));
        assert_eq!(rules.interval(), Duration::from_secs(360));
        let first = (1..=100).position(|look| rules.look(look).is_some());
        assert_eq!(first, Some(20));
        let next = (101..=200).position(|look| rules.look(look).is_some());
        assert!(next.is_some_and(|looks| looks < 10));
    }

    #[test]
    fn revision_mode_keeps_a_number() {
        let mut rules = Rules::new(AutoCompaction::Revision(1000));
        assert_eq!((rules.look(900), rules.look(1500)), (None, Some(500)));
    }
}
