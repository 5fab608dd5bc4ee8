//! A run second by second.
//!
//! Must keep one histogram, not one for each second: a long run would fill the memory.

use hdrhistogram::Histogram;

/// One hour; a longer latency counts as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Nanoseconds to so many digits.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, digits).expect("constant bounds, and digits between 1 and 5")
}

/// Requests that ended within one second of the run. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Seconds since the start.
    pub at: u64,
    /// Successes.
    pub count: u64,
    /// Failures.
    pub failed: u64,
    /// Least latency.
    pub min: u64,
    /// Median latency.
    pub p50: u64,
    /// 90 % were faster.
    pub p90: u64,
    /// 99 % were faster.
    pub p99: u64,
    /// 99.9 % were faster.
    pub p999: u64,
    /// Greatest latency.
    pub max: u64,
}

/// Requests that started within one second, as etcd's `--sample` has them. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleSecond {
    /// Seconds since 1970.
    pub unix: u64,
    /// Least latency.
    pub min: u64,
    /// Sum of latencies.
    pub sum: u64,
    /// Greatest latency.
    pub max: u64,
    /// Successes.
    pub count: u64,
}

/// Builds both series.
pub(super) struct Series {
    done: Vec<Second>,
    open: Second,
    current: Histogram<u64>,
    samples: Vec<SampleSecond>,
}

impl Default for Series {
    fn default() -> Self {
        Self { done: Vec::new(), open: Second::default(), current: histogram(2), samples: Vec::new() }
    }
}

fn closed(mut second: Second, latencies: &Histogram<u64>) -> Second {
    let at = |share| if latencies.is_empty() { 0 } else { latencies.value_at_quantile(share) };
    second.count = latencies.len();
    second.min = if latencies.is_empty() { 0 } else { latencies.min() };
    (second.p50, second.p90, second.p99, second.p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
    second.max = latencies.max();
    second
}

impl Series {
    fn advance(&mut self, second: u64) {
        while self.open.at < second {
            self.done.push(closed(self.open, &self.current));
            self.current.reset();
            self.open = Second { at: self.open.at + 1, ..Second::default() };
        }
    }

    pub(super) fn add(&mut self, second: u64, latency: u64) {
        self.advance(second);
        self.current.saturating_record(latency.max(1));
    }

    pub(super) fn failed(&mut self, second: u64) {
        self.advance(second);
        self.open.failed += 1;
    }

    pub(super) fn sample(&mut self, second: u64, latency: u64) {
        let at = second as usize;
        if self.samples.len() <= at {
            self.samples.resize(at + 1, SampleSecond::default());
        }
        let sample = &mut self.samples[at];
        sample.min = if sample.count == 0 { latency } else { sample.min.min(latency) };
        sample.max = sample.max.max(latency);
        sample.sum += latency;
        sample.count += 1;
    }

    pub(super) fn last(&self) -> Option<Second> {
        self.done.last().copied()
    }

    pub(super) fn seconds(&self) -> Vec<Second> {
        let mut all = self.done.clone();
        all.push(closed(self.open, &self.current));
        all
    }

    pub(super) fn samples(&self, begun_at: u64) -> Vec<SampleSecond> {
        let stamped = |(i, sample): (usize, &SampleSecond)| SampleSecond { unix: begun_at + i as u64, ..*sample };
        self.samples.iter().enumerate().map(stamped).collect()
    }
}

/// Adds up series: counts are exact, percentiles are the greatest of the parts.
pub(super) fn merged<'a>(parts: impl Iterator<Item = &'a [Second]>) -> Vec<Second> {
    let mut all: Vec<Second> = Vec::new();
    for second in parts.flatten() {
        let at = second.at as usize;
        while all.len() <= at {
            all.push(Second { at: all.len() as u64, ..Second::default() });
        }
        let sum = &mut all[at];
        sum.min = if sum.count == 0 || (second.count > 0 && second.min < sum.min) { second.min } else { sum.min };
        sum.count += second.count;
        sum.failed += second.failed;
        for (sum, part) in [
            (&mut sum.p50, second.p50),
            (&mut sum.p90, second.p90),
            (&mut sum.p99, second.p99),
            (&mut sum.p999, second.p999),
            (&mut sum.max, second.max),
        ] {
            *sum = part.max(*sum);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_seconds_are_in_the_series_too() {
        let mut series = Series::default();
        series.add(0, 1000);
        series.failed(2);
        series.add(2, 3000);
        series.add(2, 5000);
        series.sample(0, 1000);
        series.sample(2, 3000);
        let seconds = series.seconds();
        let counts: Vec<_> = seconds.iter().map(|s| (s.at, s.count, s.failed)).collect();
        assert_eq!(counts, [(0, 1, 0), (1, 0, 0), (2, 2, 1)]);
        let samples = series.samples(100);
        assert_eq!(samples[1], SampleSecond { unix: 101, ..SampleSecond::default() });
        assert_eq!(samples[2].sum, 3000);
        let both = merged([seconds.as_slice(), &seconds].into_iter());
        assert_eq!((both[2].count, both[2].failed, both[1].count), (4, 2, 0));
    }
}
