//! The report of etcd's tool, word for word, and the finer percentiles below it.
//!
//! Must not change a word that scripts look for; what is ours comes after what is etcd's.

use super::gofmt::number;
use super::recorder::Summary;
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::time::Duration;

/// Shares that etcd's report names, in percent.
const ETCD: [f64; 8] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9];

/// Shares of the finer report, in percent.
pub const PERCENTILES: [f64; 9] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99];
const BUCKETS: usize = 10;
const BAR: usize = 40;

/// How a report is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// All digits.
    pub precise: bool,
    /// With a table second by second.
    pub sample: bool,
    /// With the finer percentiles.
    pub fine: bool,
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The report of one kind of request; ends with a line break, begins with an empty line.
pub fn text(summary: &Summary, style: Style) -> String {
    let mut out = String::new();
    let sec = |value: f64| format!("{} secs", number(value, style.precise));
    if summary.count() > 0 {
        let (slowest, fastest) = (seconds(summary.latency.max()), seconds(summary.latency.min()));
        let lines = [
            ("Total", summary.took.as_secs_f64()),
            ("Slowest", slowest),
            ("Fastest", fastest),
            ("Average", summary.mean),
            ("Stddev", summary.deviation),
        ];
        out.push_str("\nSummary:\n");
        for (name, value) in lines {
            let _ = writeln!(out, "  {name}:\t{}.", sec(value));
        }
        let _ = writeln!(out, "  Requests/sec:\t{}", number(summary.rate(), style.precise));
        histogram(&mut out, &summary.latency, style.precise);
        out.push_str("\nLatency distribution:\n");
        for (share, value) in etcd_percentiles(&summary.latency) {
            let _ = writeln!(out, "  {share}% in {}.", sec(seconds(value)));
        }
        if style.sample {
            samples(&mut out, summary);
        }
    }
    if !summary.errors.is_empty() {
        out.push_str("\nError distribution:\n");
        for (error, count) in &summary.errors {
            let _ = writeln!(out, "  [{count}]\t{error}");
        }
    }
    if style.fine && summary.count() > 0 {
        out.push_str(&fine_percentiles(summary));
    }
    out
}

/// The smallest value that is not faster than this share; left out when there are too few values to have one.
fn etcd_percentiles(latency: &Histogram<u64>) -> impl Iterator<Item = (f64, u64)> {
    let count = latency.len();
    ETCD.iter().filter_map(move |share| {
        let index = (share * count as f64 / 100.0).ceil() as u64;
        (index < count).then(|| (*share, latency.value_at_quantile((index + 1) as f64 / count as f64)))
    })
}

fn histogram(out: &mut String, latency: &Histogram<u64>, precise: bool) {
    let (low, high) = (latency.min(), latency.max());
    let step = (high - low) as f64 / BUCKETS as f64;
    let mut counts = [0; BUCKETS + 1];
    for value in latency.iter_recorded() {
        // the recorded value lies anywhere in its slot; counted as the slot's start, the least is in the first bucket
        let at = latency.lowest_equivalent(value.value_iterated_to()).clamp(low, high);
        let bucket = if step > 0.0 { ((at - low) as f64 / step).ceil() as usize } else { 0 };
        counts[bucket.min(BUCKETS)] += value.count_at_value();
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    out.push_str("\nResponse time histogram:\n");
    for (bucket, count) in counts.iter().enumerate() {
        let edge = if bucket == BUCKETS { seconds(high) } else { (low as f64 + step * bucket as f64) / 1e9 };
        let bar = "∎".repeat((count * BAR as u64 / most) as usize);
        let _ = writeln!(out, "  {} [{count}]\t|{bar}", number(edge, precise));
    }
}

fn samples(out: &mut String, summary: &Summary) {
    out.push_str("\nSample in one second (unix latency throughput):\n");
    out.push_str("UNIX-SECOND,MIN-LATENCY-MS,AVG-LATENCY-MS,MAX-LATENCY-MS,AVG-THROUGHPUT\n");
    for second in &summary.samples {
        let mean = second.sum.checked_div(second.count).unwrap_or(0);
        let text = |nanos| units::show_duration(Duration::from_nanos(nanos));
        let (min, mean, max) = (text(second.min), text(mean), text(second.max));
        let _ = writeln!(out, "{},{min},{mean},{max},{}", second.unix, second.count);
    }
    out.push('\n');
}

/// Percentiles to 99.99; with a rate, also those counted from the sending.
pub fn fine_percentiles(summary: &Summary) -> String {
    let paced = summary.latency.max() != summary.service.max() || summary.latency.min() != summary.service.min();
    let mut out = String::from("\nPercentiles (ms):\n");
    if paced {
        out.push_str("              since due   since sent\n");
    }
    let mut line = |name: &str, latency: u64, service: u64| {
        let _ = write!(out, "  {name:<9}{:>12.3}", latency as f64 / 1e6);
        if paced {
            let _ = write!(out, " {:>12.3}", service as f64 / 1e6);
        }
        out.push('\n');
    };
    for share in PERCENTILES {
        let at = |values: &Histogram<u64>| values.value_at_quantile(share / 100.0);
        line(&format!("{share}%"), at(&summary.latency), at(&summary.service));
    }
    line("max", summary.latency.max(), summary.service.max());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;
    use std::time::Instant;

    fn summary(millis: impl Iterator<Item = u64>) -> Summary {
        let recorder = Recorder::new("put");
        recorder.start();
        let start = Instant::now();
        millis.for_each(|ms| recorder.record(start, start, start + Duration::from_millis(ms), None));
        recorder.stop();
        let mut summary = recorder.summary();
        summary.took = Duration::from_secs(2);
        summary
    }

    #[test]
    fn the_words_are_etcds() {
        let report = text(&summary(1..=100), Style::default());
        for words in [
            "\nSummary:\n  Total:\t2.0000 secs.\n  Slowest:\t0.10",
            "  Fastest:\t0.0010 secs.\n  Average:\t0.0505 secs.\n  Stddev:\t0.0289 secs.\n  Requests/sec:\t50.0000\n",
            "\nResponse time histogram:\n  0.0010 [1]\t|∎∎∎∎\n  0.0109 [9]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎\n  0.0208 [10]\t|",
            "\nLatency distribution:\n  10% in 0.0110 secs.\n  25% in 0.0260 secs.\n  50% in 0.0510 secs.\n",
            "  99% in 0.10",
        ] {
            assert!(report.contains(words), "{words:?} is not in\n{report}");
        }
        assert!(!report.contains("99.9%"), "a hundred values have no 99.9 %:\n{report}");
        assert!(!report.contains("Error") && !report.contains("Percentiles"));
    }

    #[test]
    fn one_value_and_none() {
        let one = text(&summary([5].into_iter()), Style { fine: true, ..Style::default() });
        assert!(one.contains("  0.0050 [1]\t|") && one.contains("  99.99%"), "{one}");
        assert_eq!(text(&summary([].into_iter()), Style::default()), "");
    }

    #[test]
    fn samples_have_etcds_columns() {
        let report = text(&summary([1, 3].into_iter()), Style { sample: true, ..Style::default() });
        assert!(report.contains("MAX-LATENCY-MS,AVG-THROUGHPUT\n"));
        assert!(report.contains(",1ms,2ms,3ms,2\n"), "{report}");
    }
}
