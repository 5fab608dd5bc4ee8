//! One line that shows how far a long command is: rate and time left. Only on a terminal.

use super::{dim, stderr_is_terminal};
use std::io::Write;
use std::time::{Duration, Instant};

/// Longest pause between two drawings.
const REDRAW: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Keys, requests.
    Things(&'static str),
}

/// A line of progress; it is wiped when it is dropped.
pub struct Progress {
    shown: bool,
    unit: Unit,
    total: Option<u64>,
    start: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// Begins; without a terminal it stays silent.
    pub fn start(unit: Unit, total: Option<u64>) -> Self {
        Self { shown: stderr_is_terminal(), unit, total, start: Instant::now(), drawn: None }
    }

    /// Sets what is to be reached.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Says how far it is.
    pub fn at(&mut self, done: u64) {
        if !self.shown || self.drawn.is_some_and(|last| last.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = dim(&line(self.unit, done, self.total, self.start.elapsed()));
        // one write, or it flickers; too long a line is cut; a terminal that went away is no reason to stop
        let _ = std::io::stderr().write_all(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h").as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

fn line(unit: Unit, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let amount = |n: u64| match unit {
        Unit::Bytes => units::size(n),
        Unit::Things(name) => format!("{n} {name}"),
    };
    let pace = match unit {
        Unit::Bytes => format!("{}/s", units::size(rate as u64)),
        Unit::Things(_) => format!("{rate:.0}/s"),
    };
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{}  {pace}", amount(done));
    };
    let share = (done as f64 / total as f64).min(1.0);
    let width = 24;
    let full = (share * width as f64) as usize;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(width - full));
    let left = if rate > 0.0 { total.saturating_sub(done) as f64 / rate } else { 0.0 };
    format!("{bar} {:3.0}%  {} of {}  {pace}  {left:.0}s left", share * 100.0, amount(done), amount(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left() {
        let half = line(Unit::Bytes, 50_000_000, Some(100_000_000), Duration::from_secs(5));
        assert!(half.ends_with("50%  50 MB of 100 MB  10 MB/s  5s left"), "{half}");
        assert_eq!(line(Unit::Things("keys"), 300, None, Duration::from_secs(3)), "300 keys  100/s");
    }
}
