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

/// Decides when to compact, and up to where. Between two samples lies one interval.
#[derive(Debug)]
struct Rules {
    keep: AutoCompaction,
    /// Revisions seen, oldest first, one per interval; the newest is at the back.
    seen: VecDeque<i64>,
    /// Intervals since the last compaction that succeeded.
    since: usize,
    /// A compaction was due before. The first one waits for a whole period, however long.
    was_due: bool,
    /// Revision of the last compaction that succeeded.
    last: i64,
}

impl Rules {
    fn new(keep: AutoCompaction) -> Self {
        Self { keep, seen: VecDeque::new(), since: 0, was_due: false, last: 0 }
    }

    /// Time between two looks.
    fn interval(&self) -> Duration {
        match self.keep {
            AutoCompaction::Periodic(period) => (period.min(HOUR) / 10).max(Duration::from_millis(1)),
            AutoCompaction::Revision(_) => REVISION_INTERVAL,
        }
    }

    /// Intervals of a period.
    fn intervals(&self) -> usize {
        match self.keep {
            AutoCompaction::Periodic(period) => period.as_nanos().div_ceil(self.interval().as_nanos()) as usize,
            AutoCompaction::Revision(_) => 0,
        }
    }

    /// Notes the current revision. Also while this member does not lead: a leader that was elected a moment ago knows what was current a
    /// period ago, or a cluster that elects often would never compact.
    fn sample(&mut self, revision: i64) {
        self.seen.push_back(revision);
        while self.seen.len() > self.intervals() + 1 {
            self.seen.pop_front();
        }
    }

    /// An interval has passed since the last sample; the revision to compact to, when it is time and this member leads.
    fn look(&mut self, leads: bool) -> Option<i64> {
        self.since += 1;
        let oldest = *self.seen.front().filter(|_| leads)?;
        let (target, wait) = match self.keep {
            AutoCompaction::Revision(keep) => (oldest - keep, 1),
            // ten intervals are the period, or an hour when that is longer
            AutoCompaction::Periodic(_) => (oldest, if self.was_due { 10 } else { self.intervals() }),
        };
        if target <= 0 || target == self.last || self.since < wait {
            return None;
        }
        self.was_due = true;
        Some(target)
    }

    /// What was due is done. When it fails instead, it is due again after the next interval.
    fn done(&mut self, target: i64) {
        self.last = target;
        self.since = 0;
    }
}

/// Compacts until the node ends.
pub(crate) async fn run(client: Client, keep: AutoCompaction) {
    let mut rules = Rules::new(keep);
    let ports = client.ports();
    loop {
        rules.sample(ports.reads.position().0);
        actix_rt::time::sleep(rules.interval()).await;
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
        let leads = ports.gauges.leader_id() == Some(ports.identity.member_id);
        let Some(revision) = rules.look(leads) else { continue };
        tracing::info!(revision, "starting auto compaction");
        let request = CompactionRequest { revision, physical: false };
        match client.execute(Command::Compaction(request)).await {
            Ok(_) | Err(ClientError::Apply(ApplyError::Compacted)) => {
                rules.done(revision);
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

    const MINUTE: Duration = Duration::from_secs(60);

    /// What is due after each of so many intervals, at which the revision is the number of the interval, while `leads` says yes. What is
    /// due succeeds unless `fails`.
    fn due(rules: &mut Rules, intervals: i64, leads: fn(i64) -> bool, fails: fn(i64) -> bool) -> Vec<(i64, i64)> {
        let mut out = Vec::new();
        for at in 1..=intervals {
            rules.sample(at);
            if let Some(target) = rules.look(leads(at)) {
                out.push((at, target));
                if !fails(at) {
                    rules.done(target);
                }
            }
        }
        out
    }

    #[test]
    fn periodic_keeps_a_whole_period() {
        let mut rules = Rules::new(AutoCompaction::Periodic(10 * MINUTE));
        assert_eq!(rules.interval(), MINUTE);
        assert_eq!(due(&mut rules, 31, |_| true, |_| false), [(10, 1), (20, 10), (30, 20)]);
    }

    #[test]
    fn long_periods_are_compacted_hourly_after_a_whole_one() {
        let mut rules = Rules::new(AutoCompaction::Periodic(120 * MINUTE));
        assert_eq!(rules.interval(), 6 * MINUTE);
        assert_eq!(due(&mut rules, 41, |_| true, |_| false), [(20, 1), (30, 10), (40, 20)]);
    }

    #[test]
    fn a_member_that_comes_to_lead_compacts_at_once_what_is_old_enough() {
        let mut rules = Rules::new(AutoCompaction::Periodic(10 * MINUTE));
        assert_eq!(due(&mut rules, 24, |at| at >= 15, |_| false), [(15, 5)]);
    }

    #[test]
    fn a_compaction_that_fails_is_due_again_after_an_interval() {
        let mut rules = Rules::new(AutoCompaction::Periodic(10 * MINUTE));
        assert_eq!(due(&mut rules, 14, |_| true, |at| at < 13), [(10, 1), (11, 1), (12, 2), (13, 3)]);
    }

    #[test]
    fn nothing_is_compacted_twice() {
        let mut rules = Rules::new(AutoCompaction::Periodic(10 * MINUTE));
        for _ in 0..11 {
            rules.sample(5);
            let _ = rules.look(true).map(|target| rules.done(target));
        }
        assert_eq!(rules.last, 5);
        for _ in 0..30 {
            rules.sample(5);
            assert_eq!(rules.look(true), None);
        }
    }

    #[test]
    fn revision_mode_keeps_a_number() {
        let mut rules = Rules::new(AutoCompaction::Revision(1000));
        rules.sample(900);
        assert_eq!(rules.look(true), None);
        rules.sample(1500);
        assert_eq!((rules.look(false), rules.look(true)), (None, Some(500)));
    }
}
