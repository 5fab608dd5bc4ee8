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
}

impl<const FIRST_MICROS: u64, const BOUNDED: usize> Default for DoublingHistogram<FIRST_MICROS, BOUNDED> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            longer: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }
}

impl<const FIRST_MICROS: u64, const BOUNDED: usize> DoublingHistogram<FIRST_MICROS, BOUNDED> {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = (0..BOUNDED).find(|bucket| micros <= FIRST_MICROS << bucket);
        bucket.map_or(&self.longer, |bucket| &self.buckets[bucket]).fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// For each bound in seconds, how many took no longer; behind the last bound all of them, without one.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> + '_ {
        let bounded = (0..BOUNDED).map(|bucket| (Some((FIRST_MICROS << bucket) as f64 / 1e6), &self.buckets[bucket]));
        bounded.chain([(None, &self.longer)]).scan(0, |count, (bound, bucket)| {
            *count += bucket.load(Relaxed);
            Some((bound, *count))
        })
    }

    /// Seconds that all took together.
    pub fn seconds(&self) -> f64 {
        self.micros.load(Relaxed) as f64 / 1e6
    }
}
