//! Outcomes of one kind of request, as they come, in memory that does not grow with their number.
//!
//! Must be cheap: it runs inside the measured loop.

use super::series::{SampleSecond, Second, Series, histogram};
use crate::client::CallError;
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Values are kept to a thousandth.
const DIGITS: u8 = 3;

/// Outcomes of one kind of request.
pub struct Recorder {
    name: String,
    inner: RefCell<Inner>,
}

struct Inner {
    begun: Instant,
    begun_at: u64,
    took: Option<Duration>,
    latency: Histogram<u64>,
    service: Histogram<u64>,
    sum: f64,
    squares: f64,
    errors: BTreeMap<String, u64>,
    series: Series,
    /// Latencies since the last [`Recorder::take_window`], when somebody takes them.
    window: Option<Histogram<u64>>,
}

/// Everything that was recorded, at one moment.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The command, or the operation of a mix.
    pub name: String,
    /// From start to stop.
    pub took: Duration,
    /// From when the request was due (with a rate) or sent (without) to its end, nanoseconds; failures are not in it.
    pub latency: Histogram<u64>,
    /// From when the request was sent, nanoseconds.
    pub service: Histogram<u64>,
    /// Mean latency in seconds.
    pub mean: f64,
    /// Standard deviation in seconds.
    pub deviation: f64,
    /// Texts of failures and how often each came.
    pub errors: BTreeMap<String, u64>,
    /// Second by second, by the end of requests.
    pub seconds: Vec<Second>,
    /// Second by second as etcd's tool has it: by the start of requests.
    pub samples: Vec<SampleSecond>,
}

impl Summary {
    /// Successes.
    pub fn count(&self) -> u64 {
        self.latency.len()
    }

    /// Successes per second.
    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Failures.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Recorder {
    /// For requests of this name.
    pub fn new(name: &str) -> Rc<Self> {
        let inner = Inner {
            begun: Instant::now(),
            begun_at: 0,
            took: None,
            latency: histogram(DIGITS),
            service: histogram(DIGITS),
            sum: 0.0,
            squares: 0.0,
            errors: BTreeMap::new(),
            series: Series::default(),
            window: None,
        };
        Rc::new(Self { name: name.to_owned(), inner: RefCell::new(inner) })
    }

    /// Latencies since the last call, and from the first call on; that one returns nothing.
    pub fn take_window(&self) -> Histogram<u64> {
        self.inner.borrow_mut().window.replace(histogram(DIGITS)).unwrap_or_else(|| histogram(DIGITS))
    }

    /// The clock of the report begins.
    pub fn start(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.begun = Instant::now();
        inner.begun_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        inner.took = None;
    }

    /// The clock of the report ends.
    pub fn stop(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.took = Some(inner.begun.elapsed());
    }

    /// One request: `start` is what latency counts from, `sent` when it went out, `end` when its answer was there.
    pub fn record(&self, start: Instant, sent: Instant, end: Instant, error: Option<&CallError>) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let second = end.saturating_duration_since(inner.begun).as_secs();
        if let Some(error) = error {
            *inner.errors.entry(error.to_string()).or_default() += 1;
            inner.series.failed(second);
            return;
        }
        let latency = end.saturating_duration_since(start).as_nanos() as u64;
        inner.latency.saturating_record(latency.max(1));
        if let Some(window) = &mut inner.window {
            window.saturating_record(latency.max(1));
        }
        inner.service.saturating_record((end.saturating_duration_since(sent).as_nanos() as u64).max(1));
        let seconds = latency as f64 / 1e9;
        inner.sum += seconds;
        inner.squares += seconds * seconds;
        inner.series.add(second, latency);
        inner.series.sample(start.saturating_duration_since(inner.begun).as_secs(), latency);
    }

    /// Successes and failures so far.
    pub fn progress(&self) -> (u64, u64) {
        let inner = self.inner.borrow();
        (inner.latency.len(), inner.errors.values().sum())
    }

    /// Nanoseconds below which these shares of the last second's latencies lie, and its largest.
    pub fn last_second(&self) -> Option<Second> {
        self.inner.borrow().series.last()
    }

    /// What was recorded so far.
    pub fn summary(&self) -> Summary {
        let inner = self.inner.borrow();
        let count = inner.latency.len() as f64;
        let mean = inner.sum / count.max(1.0);
        let variance = (inner.squares / count.max(1.0) - mean * mean).max(0.0);
        Summary {
            name: self.name.clone(),
            took: inner.took.unwrap_or_else(|| inner.begun.elapsed()),
            latency: inner.latency.clone(),
            service: inner.service.clone(),
            mean,
            deviation: variance.sqrt(),
            errors: inner.errors.clone(),
            seconds: inner.series.seconds(),
            samples: inner.series.samples(inner.begun_at),
        }
    }
}

/// Adds up the outcomes of several recorders, for the line "all" of a mix.
pub fn together(name: &str, parts: &[Summary]) -> Summary {
    let (mut latency, mut service) = (histogram(DIGITS), histogram(DIGITS));
    let mut errors = BTreeMap::new();
    let (mut sum, mut squares) = (0.0, 0.0);
    for part in parts {
        let added = latency.add(&part.latency).and_then(|()| service.add(&part.service));
        added.expect("histograms of one kind");
        let count = part.count() as f64;
        sum += part.mean * count;
        squares += (part.deviation * part.deviation + part.mean * part.mean) * count;
        for (text, count) in &part.errors {
            *errors.entry(text.clone()).or_default() += count;
        }
    }
    let count = (latency.len() as f64).max(1.0);
    let mean = sum / count;
    Summary {
        name: name.to_owned(),
        took: parts.iter().map(|part| part.took).max().unwrap_or_default(),
        latency,
        service,
        mean,
        deviation: (squares / count - mean * mean).max(0.0).sqrt(),
        errors,
        seconds: super::series::merged(parts.iter().map(|part| part.seconds.as_slice())),
        samples: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Code;

    fn filled(millis: &[u64]) -> Summary {
        let recorder = Recorder::new("put");
        recorder.start();
        let start = Instant::now();
        for ms in millis {
            recorder.record(start, start, start + Duration::from_millis(*ms), None);
        }
        let error = CallError::new(Code::Unavailable, "gone".into());
        recorder.record(start, start, start, Some(&error));
        recorder.stop();
        recorder.summary()
    }

    #[test]
    fn means_deviations_and_errors() {
        let summary = filled(&[10, 20, 30]);
        assert_eq!((summary.count(), summary.failed()), (3, 1));
        assert!((summary.mean - 0.020).abs() < 1e-6);
        assert!((summary.deviation - 0.008_165).abs() < 1e-5);
        assert!(summary.errors.contains_key("rpc error: code = Unavailable desc = gone"));
        let middle = summary.latency.value_at_quantile(0.5) as f64;
        assert!((middle / 20e6 - 1.0).abs() < 0.001);
    }

    #[test]
    fn latency_counts_from_the_due_time_and_service_from_the_sending() {
        let recorder = Recorder::new("put");
        recorder.start();
        let due = Instant::now();
        let sent = due + Duration::from_millis(90);
        recorder.record(due, sent, sent + Duration::from_millis(10), None);
        let summary = recorder.summary();
        assert!((summary.latency.max() as f64 / 100e6 - 1.0).abs() < 0.001);
        assert!((summary.service.max() as f64 / 10e6 - 1.0).abs() < 0.001);
    }

    #[test]
    fn parts_add_up() {
        let all = together("all", &[filled(&[10, 20]), filled(&[30])]);
        let whole = filled(&[10, 20, 30]);
        assert_eq!((all.count(), all.failed()), (3, 2));
        assert!((all.mean - whole.mean).abs() < 1e-9 && (all.deviation - whole.deviation).abs() < 1e-6);
    }
}
