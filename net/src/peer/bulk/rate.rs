//! Bytes per second of a transfer. Bursts of a tenth of a second are let through at once.

use std::time::Duration;
use tokio::time::Instant;

/// Says how long to wait.
#[derive(Debug)]
pub struct Rate {
    per_second: u64,
    paid_until: Instant,
}

impl Rate {
    /// So many bytes per second; zero for no limit.
    pub fn new(per_second: u64) -> Self {
        Self { per_second, paid_until: Instant::now() }
    }

    /// When `bytes` may go, at `now`.
    pub fn after(&mut self, bytes: usize, now: Instant) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        const BURST: Duration = Duration::from_millis(100);
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        self.paid_until = self.paid_until.max(now.checked_sub(BURST).unwrap_or(now)) + cost;
        self.paid_until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_spread_over_time() {
        let start = Instant::now();
        let mut rate = Rate { per_second: 1_000, paid_until: start };
        let mut now = start;
        for _ in 0..20 {
            now += rate.after(100, now);
        }
        let took = now - start;
        assert!(took >= Duration::from_millis(1_800) && took <= Duration::from_millis(2_100), "{took:?}");
        assert_eq!(Rate::new(0).after(1 << 30, start), Duration::ZERO);
    }
}
