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
    begun: Instant,
    last: (Instant, u64),
}

fn grouped(number: u64) -> String {
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
    /// For a run of `total` requests that begins now; zero: nobody knows how many.
    pub fn new(name: &str, total: u64, now: Instant) -> Self {
        Self { name: name.to_owned(), total, begun: now, last: (now, 0) }
    }

    /// The line for these counts; `latency` are p50, p99 and max of the last second in nanoseconds.
    pub fn line(&mut self, done: u64, failed: u64, latency: Option<(u64, u64, u64)>, now: Instant) -> String {
        let (then, before) = std::mem::replace(&mut self.last, (now, done));
        let span = now.saturating_duration_since(then).as_secs_f64();
        let rate = if span > 0.0 { done.saturating_sub(before) as f64 / span } else { 0.0 };
        let mut line = format!("{}  {}", self.name, grouped(done));
        let elapsed = now.saturating_duration_since(self.begun).as_secs_f64();
        if self.total > 0 {
            let share = (done + failed) as f64 / self.total as f64;
            line += &format!("/{}  {:.0}%", grouped(self.total), (share * 100.0).min(100.0));
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
    pub fn start(name: &str, total: u64, recorders: &[Rc<Recorder>]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let mut progress = Progress::new(name, total, Instant::now());
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
                eprint!("\r\x1b[K{}", progress.line(done, failed, latency, Instant::now()));
                let _ = std::io::stderr().flush();
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
        let mut progress = Progress::new("put", 10_000, begun);
        let line = progress.line(2_500, 0, Some((1_500_000, 9_000_000, 20_000_000)), begun + Duration::from_secs(1));
        assert_eq!(line, "put  2,500/10,000  25%  3s left  2,500/s  p50 1.50 p99 9.00 max 20.0 ms");
        let line = progress.line(2_500, 3, None, begun + Duration::from_secs(2));
        assert!(line.contains("  0/s  3 failed"), "{line}");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
