//! A line on the terminal that says how far a long command has come, how fast it goes, and how long it will take.
//!
//! Must never write anything when stderr is no terminal.

use std::io::{self, IsTerminal, Read, Write};
use std::time::{Duration, Instant};
use units::size;

/// Nothing is shown of what is done sooner.
const FIRST: Duration = Duration::from_millis(500);
/// Least time between two looks of the line.
const EVERY: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Rows of a store.
    Rows,
}

/// The line.
pub struct Meter {
    what: &'static str,
    unit: Unit,
    /// Everything there is to do, when that is known.
    total: Option<u64>,
    done: u64,
    begun: Instant,
    shown: Option<Instant>,
    /// None where nobody looks.
    terminal: Option<io::Stderr>,
}

impl Meter {
    /// Says nothing yet.
    pub fn new(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal().then_some(stderr);
        Self { what, unit, total, done: 0, begun: Instant::now(), shown: None, terminal }
    }

    /// So much is done, in all.
    pub fn at(&mut self, done: u64) {
        self.done = done;
        let is_early = self.shown.map_or(self.begun.elapsed() < FIRST, |last| last.elapsed() < EVERY);
        if self.terminal.is_none() || is_early {
            return;
        }
        self.shown = Some(Instant::now());
        let line = self.line(self.begun.elapsed());
        if let Some(terminal) = &mut self.terminal {
            // one write, or it flickers; too long a line is cut; a terminal that went away is no reason to stop
            let _ = terminal.write_all(format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h").as_bytes());
        }
    }

    fn amount(&self, amount: u64) -> String {
        match self.unit {
            Unit::Bytes => size(amount),
            Unit::Rows => format!("{amount} rows"),
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let rate = self.done as f64 / seconds;
        let mut line = format!("{} {}", self.what, self.amount(self.done));
        if let Some(total) = self.total {
            let percent = (self.done as f64 * 100.0 / total.max(1) as f64).min(100.0);
            line += &format!(" of {} ({percent:.0} %)", self.amount(total));
        }
        line += &format!(", {}/s", self.amount(rate as u64));
        if let Some(total) = self.total
            && rate > 0.0
        {
            let left = total.saturating_sub(self.done) as f64 / rate;
            line += &format!(", {left:.0} s left");
        }
        line
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let (Some(terminal), Some(_)) = (&mut self.terminal, self.shown) {
            let _ = write!(terminal, "\r\x1b[2K").and_then(|()| terminal.flush());
        }
    }
}

/// A reader whose bytes are counted on a meter.
pub struct Metered<'m, R> {
    reader: R,
    meter: &'m mut Meter,
    read: u64,
}

impl<'m, R> Metered<'m, R> {
    /// Around a reader at its start.
    pub fn new(reader: R, meter: &'m mut Meter) -> Self {
        Self { reader, meter, read: 0 }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read += read as u64;
        self.meter.at(self.read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_far_how_fast_and_how_long() {
        let mut meter = Meter::new("restoring", Unit::Bytes, Some(100_000_000));
        meter.done = 25_000_000;
        let line = meter.line(Duration::from_secs(1));
        assert_eq!(line, "restoring 25 MB of 100 MB (25 %), 25 MB/s, 3 s left");
        let mut meter = Meter::new("checking", Unit::Rows, None);
        meter.done = 500;
        assert_eq!(meter.line(Duration::from_secs(2)), "checking 500 rows, 250 rows/s");
    }
}
