//! The scrubber: reads the whole store and the log now and then, slowly, so that damage of data at rest is found before somebody needs it.
//!
//! Every row is read and compared with those that speak of it (`storage::check`), which also checks RocksDB's checksums; counts are
//! compared with rows. It works for a twentieth of the time and rests for the remainder. Own thread. What it finds in the store is named in
//! the log and raises the alarm CORRUPT for this member, which answers nothing about keys until it is rebuilt, unless it is the only voter.
//! What it finds in the log is [`LogScrubber`]'s. Must never repair anything, and never hold a view between two walks.

use crate::cancellable::Cancellable;
use crate::death_watch::DeathWatch;
use crate::log_scrubber::{AGAIN, LogScrubber};
use crate::pace::Pace;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use messages::Gauges;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};
use storage::check::check;
use storage::engine::Snapshot;
use storage::view::Views;

/// Problems that are named in the log; further ones are counted.
const NAMED: usize = 10;

/// What the scrubber needs.
pub struct ScrubberParts<S> {
    /// Where the newest view is.
    pub views: Arc<Views<S>>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// It ends when the other end is dropped.
    pub stop: Receiver<()>,
    /// Pause between two walks; zero for none at all.
    pub interval: Duration,
}

/// See the file header.
pub struct Scrubber<S> {
    parts: ScrubberParts<S>,
    log: LogScrubber,
}

impl<S: Snapshot> Scrubber<S> {
    /// Has read nothing yet.
    pub fn new(parts: ScrubberParts<S>, log: LogScrubber) -> Self {
        Self { parts, log }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, watch: DeathWatch) {
        let (gauges, stop) = (self.parts.gauges.clone(), self.parts.stop.clone());
        let interval = self.parts.interval;
        let pause = if interval.is_zero() { Duration::MAX } else { interval };
        let mut next = Instant::now().checked_add(pause);
        // what is damaged in the log is looked at again soon, whatever the interval is
        let soon = |damaged: bool| if damaged { Instant::now().checked_add(AGAIN) } else { None };
        while waits(&stop, soon(self.log.is_damaged()).into_iter().chain(next).min()) {
            if !gauges.serving.load(Acquire) {
                next = Instant::now().checked_add(pause);
                continue;
            }
            let is_due = next.is_some_and(|next| next <= Instant::now());
            if is_due && !gauges.fenced.load(Acquire) && !gauges.rebuilding.load(Acquire) {
                self.walk();
            }
            self.log.walk();
            if is_due {
                next = Instant::now().checked_add(pause);
            }
        }
        watch.finish();
    }

    /// Reads the whole store once.
    fn walk(&self) {
        let ScrubberParts { views, gauges, .. } = &self.parts;
        let view = views.load();
        let index = view.status.applied_index;
        let snapshot = Cancellable::view(&view, gauges).snapshot;
        drop(view);
        let mut pace = Pace::begin();
        let checked = check(&snapshot, &mut |rows| {
            gauges.scrubbed_rows.store(rows, Relaxed);
            pace.rest();
        });
        // a walk that was broken off says nothing, nor does one of a store that is not there any more
        if gauges.stopping.load(Acquire) || gauges.rebuilding.load(Acquire) {
            return;
        }
        gauges.scrubs.fetch_add(1, Relaxed);
        let (found, problems) = match checked {
            Ok(report) => (report.found, report.problems.into_iter().map(|problem| problem.what).collect()),
            Err(why) => (1, vec![why.to_string()]),
        };
        gauges.scrub_problems.store(found, Relaxed);
        if found == 0 {
            return;
        }
        problems.iter().take(NAMED).for_each(|what: &String| {
            tracing::error!(index, what, "the store of this member is damaged");
        });
        let is_alone = gauges.sole_member.load(Acquire);
        tracing::error!(
            problems = found,
            "data at rest is damaged; {}",
            if is_alone { "restore this member from a snapshot" } else { "rebuild this member: conclavectl rebuild" }
        );
        if !is_alone {
            gauges.fenced.store(true, Release);
        }
    }
}

/// False when the node stops.
fn waits(stop: &Receiver<()>, until: Option<Instant>) -> bool {
    let told = match until {
        Some(end) => stop.recv_deadline(end),
        None => stop.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    told == Err(RecvTimeoutError::Timeout)
}
