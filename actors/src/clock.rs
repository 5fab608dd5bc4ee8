//! Time that goes on while the machine is suspended.
//!
//! `Instant` stands still then, on Linux. Whoever asks whether another leader may have been elected meanwhile must not use it:
//! the others were awake.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of time, counted from any moment. Never goes back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// Time since the machine was started, suspends included (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // the kernel counts up from zero, and nanoseconds stay below a second
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Seconds since 1970, for people and metrics: this clock may be set.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel itself calls its uptime, which includes suspends.
    fn uptime() -> Duration {
        let text = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let seconds = text.split(' ').next().expect("two numbers");
        Duration::from_secs_f64(seconds.parse().expect("a number"))
    }

    #[test]
    fn the_clock_is_the_kernels_uptime_which_includes_suspends() {
        let before = uptime();
        let now = since_boot();
        let after = uptime();
        // the page is cut to hundredths of a second
        let cut = Duration::from_millis(10);
        assert!(before <= now && now <= after + cut, "{before:?}, {now:?}, {after:?}");
    }
}
