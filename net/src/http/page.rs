//! Prometheus' text format: families of samples, each with its help and its type.
//!
//! Must not know any metric.

use messages::histogram::Distribution;
use std::fmt::Write as _;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// In what lengths of time are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    fn micros(self) -> f64 {
        match self {
            Self::Seconds => 1e6,
            Self::Milliseconds => 1e3,
        }
    }
}

/// A bound as Go writes it: rules that name one must find it.
fn number(value: f64) -> String {
    if value < 1e6 {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}e+{exponent:0>2}")
}

/// The page under construction.
pub struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(192 << 10))
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// Begins a family. `help` is one line.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of the family that was begun.
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        // writing into memory does not fail
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    /// The samples of a histogram, each with these labels.
    pub(crate) fn histogram(&mut self, name: &str, labels: &str, counted: &Distribution, unit: Unit) {
        let separator = if labels.is_empty() { "" } else { "," };
        for (bound, count) in &counted.cumulative {
            let bound = bound.map_or_else(|| "+Inf".into(), |micros| number(micros as f64 / unit.micros()));
            self.sample(&format!("{name}_bucket"), &format!("{labels}{separator}le=\"{bound}\""), *count as f64);
        }
        self.sample(&format!("{name}_sum"), labels, counted.seconds * 1e6 / unit.micros());
        self.sample(&format!("{name}_count"), labels, counted.count() as f64);
    }

    /// A histogram without labels, of lengths of time.
    pub(crate) fn durations(&mut self, name: &str, help: &str, counted: &Distribution) {
        self.family(name, Kind::Histogram, help);
        let unit = if name.ends_with("_milliseconds") { Unit::Milliseconds } else { Unit::Seconds };
        self.histogram(name, "", counted, unit);
    }

    /// A counter with one sample.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Counter, help);
        self.sample(name, "", value);
    }

    /// A gauge with one sample.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, "", value);
    }

    /// A gauge that is always 1 and says something by its labels.
    pub(crate) fn info(&mut self, name: &str, help: &str, labels: &str) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::histogram::DoublingHistogram;
    use std::time::Duration;

    #[test]
    fn a_histogram_is_cumulative_and_its_bounds_are_written_as_go_writes_them() {
        let mut page = Page::new();
        let times = DoublingHistogram::<1_000_000, 24>::default();
        times.observe(Duration::from_secs(60));
        times.observe(Duration::from_secs(3_000_000));
        page.durations("ttl", "Help.", &times.distribution());
        let text = page.into_text();
        for line in ["ttl_bucket{le=\"32\"} 0", "ttl_bucket{le=\"64\"} 1", "ttl_bucket{le=\"524288\"} 1"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        for line in ["ttl_bucket{le=\"4.194304e+06\"} 2", "ttl_bucket{le=\"+Inf\"} 2", "ttl_sum 3000060", "ttl_count 2"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        let mut page = Page::new();
        let times = DoublingHistogram::<500, 14>::default();
        times.observe(Duration::from_micros(750));
        page.durations("pause_milliseconds", "Help.", &times.distribution());
        let text = page.into_text();
        for line in ["_bucket{le=\"0.5\"} 0", "_bucket{le=\"1\"} 1", "_bucket{le=\"4096\"} 1", "_sum 0.75"] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
