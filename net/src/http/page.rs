//! Prometheus' text format: families of samples, each with its help and its type.
//!
//! Must not know any metric.

use std::fmt::Write as _;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The page under construction.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(192 << 10))
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// Begins a family. `help` is one line.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A sample of the family that was begun.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        // writing into memory does not fail
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
    }

    /// A counter with one sample.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Counter, help);
        self.sample(name, "", value);
    }

    /// A gauge with one sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, "", value);
    }

    /// A gauge that is always 1 and says something by its labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &str) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, labels, 1.0);
    }
}
