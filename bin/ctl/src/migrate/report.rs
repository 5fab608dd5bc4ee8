//! What a migration says of itself: how far it is, how fast, and how long it will take.
//!
//! Must never say that nothing is behind unless the source was asked.

use crate::print::say_line;
use std::time::{Duration, Instant};

/// Lines at a steady pace.
pub struct Report {
    every: Duration,
    last: Instant,
    last_done: u64,
}

impl Report {
    /// A line each time this has passed.
    pub fn new(every: Duration) -> Self {
        Self { every, last: Instant::now(), last_done: 0 }
    }

    /// When the next line is due.
    pub fn due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    /// Begins to count anew: `done` is what there was before.
    pub fn begin(&mut self, done: u64) {
        (self.last, self.last_done) = (Instant::now(), done);
    }

    /// Says how far a part of known size is, when it is time for that.
    pub fn part(&mut self, what: &str, things: &str, done: u64, total: u64) {
        if self.due() {
            let rate = self.rate(done);
            say_line(&format!("{what}: {done} of {total} {things}, {}", pace(rate, total.saturating_sub(done))));
        }
    }

    /// Says how far behind it is, when it is time for that.
    pub fn behind(&mut self, position: i64, source: i64) {
        if self.due() {
            let done = u64::try_from(position).unwrap_or(0);
            let rate = self.rate(done);
            let behind = u64::try_from(source - position).unwrap_or(0);
            say_line(&format!("following: at revision {position}, {behind} behind, {}", pace(rate, behind)));
        }
    }

    /// Things a second since the last line.
    fn rate(&mut self, done: u64) -> f64 {
        let rate = done.saturating_sub(self.last_done) as f64 / self.last.elapsed().as_secs_f64().max(0.001);
        self.begin(done);
        rate
    }
}

fn pace(rate: f64, left: u64) -> String {
    if rate < 1.0 {
        return "0/s".to_owned();
    }
    format!("{rate:.0}/s, {:.0}s left", left as f64 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_the_rate_says() {
        assert_eq!(pace(250.0, 1000), "250/s, 4s left");
        assert_eq!(pace(0.2, 1000), "0/s");
    }
}
