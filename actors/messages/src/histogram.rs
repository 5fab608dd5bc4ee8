//! How long something took, in buckets whose bounds double, as etcd's histograms have them.
//!
//! Must stay plain counters: whoever renders a page reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// `BOUNDED` buckets, the first up to `FIRST_MICROS` microseconds, each next one up to twice as much; what took longer is
/// counted as well.
#[derive(Debug)]
pub struct DoublingHistogram<const FIRST_MICROS: u64, const BOUNDED: usize> {
    buckets: [AtomicU64; BOUNDED],
    longer: AtomicU64,
    micros: AtomicU64,
    /// What is left of a microsecond each time: many short ones are something together.
    nanos: AtomicU64,
}

impl<const FIRST_MICROS: u64, const BOUNDED: usize> Default for DoublingHistogram<FIRST_MICROS, BOUNDED> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            longer: AtomicU64::new(0),
            micros: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
        }
    }
}

impl<const FIRST_MICROS: u64, const BOUNDED: usize> DoublingHistogram<FIRST_MICROS, BOUNDED> {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        self.observe_many(1, took);
    }

    /// Counts so many that took equally long.
    pub fn observe_many(&self, count: u64, each: Duration) {
        if count == 0 {
            return;
        }
        let micros = each.as_micros() as u64;
        let bucket = (0..BOUNDED).find(|bucket| micros <= FIRST_MICROS << bucket);
        bucket.map_or(&self.longer, |bucket| &self.buckets[bucket]).fetch_add(count, Relaxed);
        let nanos = each.as_nanos().saturating_mul(u128::from(count));
        self.micros.fetch_add((nanos / 1_000) as u64, Relaxed);
        self.nanos.fetch_add((nanos % 1_000) as u64, Relaxed);
    }

    /// What was counted so far.
    pub fn distribution(&self) -> Distribution {
        let bounded = (0..BOUNDED).map(|bucket| (Some(FIRST_MICROS << bucket), &self.buckets[bucket]));
        let buckets = bounded.chain([(None, &self.longer)]);
        let seconds = self.micros.load(Relaxed) as f64 / 1e6 + self.nanos.load(Relaxed) as f64 / 1e9;
        Distribution::new(buckets.map(|(bound, bucket)| (bound, bucket.load(Relaxed))), seconds)
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.longer]).map(|bucket| bucket.load(Relaxed)).sum()
    }
}

/// What a histogram has counted, for whoever renders it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// For each bound in microseconds, how many took no longer; behind the last bound all of them, without one.
    pub cumulative: Vec<(Option<u64>, u64)>,
    /// Seconds that all took together.
    pub seconds: f64,
}

impl Distribution {
    /// Of buckets with their upper bounds, each with what is in it alone.
    pub fn new(buckets: impl Iterator<Item = (Option<u64>, u64)>, seconds: f64) -> Self {
        let cumulative = buckets.scan(0, |all, (bound, count)| {
            *all += count;
            Some((bound, *all))
        });
        Self { cumulative: cumulative.collect(), seconds }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.cumulative.last().map_or(0, |(_, all)| *all)
    }

    /// Adds what another histogram with the same bounds has counted.
    pub fn add(&mut self, other: &Self) {
        if self.cumulative.is_empty() {
            *self = other.clone();
            return;
        }
        for ((_, count), (_, more)) in self.cumulative.iter_mut().zip(&other.cumulative) {
            *count += more;
        }
        self.seconds += other.seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_as_long_as_a_bound_is_below_it_and_short_ones_add_up() {
        let times = DoublingHistogram::<1_000, 3>::default();
        for micros in [0, 1_000, 1_001, 2_000, 4_000, 4_001, 60_000_000] {
            times.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = times.distribution().cumulative.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 4, 5, 7]);
        assert_eq!(times.count(), 7);
        let times = DoublingHistogram::<1_000, 3>::default();
        times.observe_many(1_000, Duration::from_nanos(1_500));
        (0..2_000).for_each(|_| times.observe(Duration::from_nanos(250)));
        assert!((times.distribution().seconds - 0.002).abs() < 1e-12);
        times.observe_many(0, Duration::from_secs(1));
        assert_eq!(times.count(), 3_000);
    }
}
