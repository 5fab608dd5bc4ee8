//! The line that shows how far a run is, on a terminal only.
//!
//! Must write nothing into a pipe or a file.

use super::recorder::Recorder;
use std::io::{IsTerminal, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const EVERY: Duration = Duration::from_millis(250);

/// A line being redrawn; wiped when dropped.
pub struct Live(Option<JoinHandle<()>>);

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
            eprint!("\r\x1b[K");
        }
    }
}

/// What a line shows.
pub struct Progress {
    name: String,
    total: u64,
    limit: Option<Duration>,
    begun: Instant,
    last: (Instant, u64),
}

/// With a comma before every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Progress {
    /// For a run of `total` requests (zero: nobody knows how many) that begins now and ends after `limit` even if some are left.
    pub fn new(name: &str, total: u64, limit: Option<Duration>, now: Instant) -> Self {
        Self { name: name.to_owned(), total, limit, begun: now, last: (now, 0) }
    }

    /// The line for these counts; `latency` are p50, p99 and max of the last second in nanoseconds.
    pub fn line(&mut self, done: u64, failed: u64, latency: Option<(u64, u64, u64)>, now: Instant) -> String {
        let (then, before) = std::mem::replace(&mut self.last, (now, done));
        let span = now.saturating_duration_since(then).as_secs_f64();
        let rate = if span > 0.0 { done.saturating_sub(before) as f64 / span } else { 0.0 };
        let mut line = format!("{}  {}", self.name, grouped(done));
        let elapsed = now.saturating_duration_since(self.begun).as_secs_f64();
        let of_requests = if self.total > 0 { (done + failed) as f64 / self.total as f64 } else { 0.0 };
        let of_time = self.limit.map_or(0.0, |limit| elapsed / limit.as_secs_f64().max(1e-9));
        // what is further along ends the run
        let share = of_requests.max(of_time);
        if self.total > 0 && of_time <= of_requests {
            line += &format!("/{}", grouped(self.total));
        }
        if self.total > 0 || self.limit.is_some() {
            line += &format!("  {:.0}%", (share * 100.0).min(100.0));
            if share > 0.0 && share < 1.0 {
                line += &format!("  {:.0}s left", elapsed / share - elapsed);
            }
        } else {
            line += &format!("  {elapsed:.0}s");
        }
        line += &format!("  {}/s", grouped(rate as u64));
        if let Some((p50, p99, max)) = latency {
            let [p50, p99, max] = [p50, p99, max].map(|nanos| nanos as f64 / 1e6);
            line += &format!("  p50 {p50:.2} p99 {p99:.2} max {max:.1} ms");
        }
        if failed > 0 {
            line += &format!("  {} failed", grouped(failed));
        }
        line
    }
}

impl Live {
    /// Draws on standard error while it lives, when that is a terminal.
    pub fn start(name: &str, total: u64, limit: Option<Duration>, recorders: &[Rc<Recorder>]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let mut progress = Progress::new(name, total, limit, Instant::now());
        let recorders = recorders.to_vec();
        Self(Some(tokio::task::spawn_local(async move {
            let mut clock = tokio::time::interval(EVERY);
            loop {
                clock.tick().await;
                let counts = recorders.iter().map(|r| r.progress());
                let (done, failed) = counts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
                let worst = |a: (u64, u64, u64), b: (u64, u64, u64)| (a.0.max(b.0), a.1.max(b.1), a.2.max(b.2));
                let seconds = recorders.iter().filter_map(|r| r.last_second());
                let latency = seconds.map(|s| (s.p50, s.p99, s.max)).reduce(worst);
                let line = progress.line(done, failed, latency, Instant::now());
                // one write, or it flickers; too long a line is cut; a terminal that went away is no reason to stop
                let _ = std::io::stderr().write_all(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h").as_bytes());
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_share_rate_and_time_left() {
        let begun = Instant::now();
        let mut progress = Progress::new("put", 10_000, None, begun);
        let line = progress.line(2_500, 0, Some((1_500_000, 9_000_000, 20_000_000)), begun + Duration::from_secs(1));
        assert_eq!(line, "put  2,500/10,000  25%  3s left  2,500/s  p50 1.50 p99 9.00 max 20.0 ms");
        let line = progress.line(2_500, 3, None, begun + Duration::from_secs(2));
        assert!(line.contains("  0/s  3 failed"), "{line}");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn time_left_is_that_of_whatever_ends_the_run() {
        let begun = Instant::now();
        let after = |total, limit, done| {
            let mut progress = Progress::new("put", total, Some(Duration::from_secs(limit)), begun);
            progress.line(done, 0, None, begun + Duration::from_secs(2))
        };
        // a million requests would take 2,000 s, the run 8
        assert_eq!(after(1_000_000, 8, 1_000), "put  1,000  25%  6s left  500/s");
        // the requests are done long before an hour is over
        assert_eq!(after(2_000, 3600, 1_000), "put  1,000/2,000  50%  2s left  500/s");
        assert_eq!(after(0, 8, 1_000), "put  1,000  25%  6s left  500/s");
        // answers to what was sent in time may come later
        assert_eq!(after(1_000_000, 1, 1_000), "put  1,000  100%  500/s");
    }
}
