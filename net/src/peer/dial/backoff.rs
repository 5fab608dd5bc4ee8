//! Pauses between dials: short at first, doubling, never the same for two members.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Grows with every failure in a row.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses between `first` and `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        let grown = self.first.saturating_mul(1 << self.failures.min(16)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        // half to whole: members that lost each other together do not come back together
        let random = RandomState::new().build_hasher().finish();
        grown / 2 + grown.mul_f64(random as f64 / u64::MAX as f64 / 2.0)
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_success() {
        let first = Duration::from_millis(100);
        let mut backoff = Backoff::new(first, Duration::from_secs(1));
        for grown in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.next_pause();
            let grown = Duration::from_millis(grown);
            assert!(pause >= grown / 2 && pause <= grown, "{pause:?} of {grown:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= first);
    }
}
