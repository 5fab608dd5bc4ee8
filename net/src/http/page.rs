//! Prometheus' text format: families of samples, each with its help and its type.
//!
//! Must not know any metric.

use messages::histogram::DoublingHistogram;
use std::fmt::Write as _;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
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
    pub(crate) fn histogram<const FIRST: u64, const BOUNDED: usize>(
        &mut self,
        name: &str,
        labels: &str,
        histogram: &DoublingHistogram<FIRST, BOUNDED>,
    ) {
        let separator = if labels.is_empty() { "" } else { "," };
        let mut all = 0;
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".into(), |bound| bound.to_string());
            self.sample(&format!("{name}_bucket"), &format!("{labels}{separator}le=\"{bound}\""), count as f64);
            all = count;
        }
        self.sample(&format!("{name}_sum"), labels, histogram.seconds());
        self.sample(&format!("{name}_count"), labels, all as f64);
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
