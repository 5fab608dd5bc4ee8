//! Log lines that repeat are written once in a while, with the number of equal ones that were left out.
//!
//! It decides, the caller writes: a line keeps its own level, target and fields. Must stay bounded: causes come from peers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Causes that are told apart; what goes beyond them shares one line.
const MOST_CAUSES: usize = 64;
/// Name of the line that the causes beyond [`MOST_CAUSES`] share.
const OTHERS: &str = "";

/// Lets one line per cause and interval through and counts the others.
///
/// ```
/// use net::throttle::Throttle;
/// use std::time::Duration;
///
/// static REFUSED: Throttle = Throttle::new(Duration::from_secs(5));
/// if let Some(left_out) = REFUSED.admit("certificate expired") {
///     tracing::warn!(left_out, "a client's certificate was refused");
/// }
/// ```
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    causes: Mutex<BTreeMap<String, Cause>>,
}

#[derive(Debug)]
struct Cause {
    written: Instant,
    left_out: u64,
}

impl Throttle {
    /// One line per cause in each `interval`.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, causes: Mutex::new(BTreeMap::new()) }
    }

    /// Whether a line about `cause` is to be written now: `Some` with the number of lines about it that were left out since
    /// the last one, `None` when this one is to be left out too. The cause must not contain what differs from line to line,
    /// such as the port of a peer.
    pub fn admit(&self, cause: &str) -> Option<u64> {
        self.admit_at(cause, Instant::now())
    }

    fn admit_at(&self, cause: &str, now: Instant) -> Option<u64> {
        // a panic between two statements leaves a usable table
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        if causes.len() >= MOST_CAUSES && !causes.contains_key(cause) {
            causes.retain(|_, seen| seen.left_out > 0 || now.saturating_duration_since(seen.written) < self.interval);
        }
        let cause = if causes.len() < MOST_CAUSES || causes.contains_key(cause) { cause } else { OTHERS };
        let Some(seen) = causes.get_mut(cause) else {
            causes.insert(cause.to_owned(), Cause { written: now, left_out: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(seen.written) < self.interval {
            seen.left_out += 1;
            return None;
        }
        seen.written = now;
        Some(std::mem::take(&mut seen.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn a_repeated_line_is_written_once_per_interval_with_the_count_of_the_others() {
        let throttle = Throttle::new(INTERVAL);
        let start = Instant::now();
        assert_eq!(throttle.admit_at("no descriptors", start), Some(0));
        for _ in 0..276 {
            assert_eq!(throttle.admit_at("no descriptors", start + INTERVAL / 2), None);
        }
        assert_eq!(throttle.admit_at("no descriptors", start + INTERVAL), Some(276));
        assert_eq!(throttle.admit_at("no descriptors", start + INTERVAL), None);
        assert_eq!(throttle.admit_at("no descriptors", start + 2 * INTERVAL), Some(1));
    }

    #[test]
    fn another_cause_has_a_line_of_its_own() {
        let throttle = Throttle::new(INTERVAL);
        let start = Instant::now();
        assert_eq!(throttle.admit_at("expired", start), Some(0));
        assert_eq!(throttle.admit_at("revoked", start), Some(0));
        assert_eq!(throttle.admit_at("expired", start), None);
    }

    #[test]
    fn causes_without_end_take_bounded_memory_and_share_a_line() {
        let throttle = Throttle::new(INTERVAL);
        let start = Instant::now();
        let written = (0..10_000).filter(|n| throttle.admit_at(&n.to_string(), start).is_some()).count();
        assert_eq!(written, MOST_CAUSES + 1);
        assert_eq!(throttle.causes.lock().expect("no panic").len(), MOST_CAUSES + 1);
        // the quiet ones make room for new ones
        assert_eq!(throttle.admit_at("new", start + INTERVAL), Some(0));
        assert_eq!(throttle.causes.lock().expect("no panic").len(), 2);
    }
}
