//! Reports for programs: JSON with everything, CSV second by second.
//!
//! Must name units in keys and headers.

use super::recorder::Summary;
use super::text::PERCENTILES;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::fmt::Write;

fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn percentiles(values: &Histogram<u64>) -> Value {
    let mut map = Map::new();
    for share in PERCENTILES {
        map.insert(format!("p{share}"), json!(ms(values.value_at_quantile(share / 100.0))));
    }
    map.insert("max".into(), json!(ms(values.max())));
    Value::Object(map)
}

fn one(summary: &Summary) -> Value {
    let seconds: Vec<Value> = summary
        .seconds
        .iter()
        .map(|s| {
            json!({ "second": s.at, "count": s.count, "failed": s.failed, "min_ms": ms(s.min), "p50_ms": ms(s.p50),
                    "p90_ms": ms(s.p90), "p99_ms": ms(s.p99), "p99.9_ms": ms(s.p999), "max_ms": ms(s.max) })
        })
        .collect();
    json!({
        "name": summary.name,
        "seconds_total": summary.took.as_secs_f64(),
        "succeeded": summary.count(),
        "failed": summary.failed(),
        "requests_per_second": summary.rate(),
        "mean_ms": summary.mean * 1e3,
        "stddev_ms": summary.deviation * 1e3,
        "min_ms": ms(if summary.count() > 0 { summary.latency.min() } else { 0 }),
        "latency_ms": percentiles(&summary.latency),
        "latency_since_sent_ms": percentiles(&summary.service),
        "errors": summary.errors,
        "seconds": seconds,
    })
}

/// Everything, with the flags of the run.
pub fn json(command: &str, flags: &Value, client_cpu_seconds: f64, summaries: &[Summary]) -> Value {
    let requests: u64 = summaries.iter().map(|s| s.count() + s.failed()).sum();
    json!({
        "command": command,
        "flags": flags,
        "client_cpu_seconds": client_cpu_seconds,
        "client_cpu_us_per_request": client_cpu_seconds * 1e6 / (requests as f64).max(1.0),
        "reports": summaries.iter().map(one).collect::<Vec<_>>(),
    })
}

/// One line for each second and kind of request.
pub fn csv(summaries: &[Summary]) -> String {
    let mut out = String::from("name,second,count,failed,min_ms,p50_ms,p90_ms,p99_ms,p99.9_ms,max_ms\n");
    for summary in summaries {
        for s in &summary.seconds {
            let _ = write!(out, "{},{},{},{}", summary.name, s.at, s.count, s.failed);
            for value in [s.min, s.p50, s.p90, s.p99, s.p999, s.max] {
                let _ = write!(out, ",{:.3}", ms(value));
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;
    use std::time::{Duration, Instant};

    #[test]
    fn both_formats_hold_the_same_run() {
        let recorder = Recorder::new("put");
        recorder.start();
        let start = Instant::now();
        for ms in [1, 2, 3, 4] {
            recorder.record(start, start, start + Duration::from_millis(ms), None);
        }
        recorder.stop();
        let all = [recorder.summary()];
        let value = json("put", &json!({ "clients": "4" }), 0.001, &all);
        assert_eq!(value["reports"][0]["succeeded"], 4);
        assert_eq!(value["client_cpu_us_per_request"], 250.0);
        assert_eq!(value["reports"][0]["seconds"][0]["count"], 4);
        let lines: Vec<String> = csv(&all).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("put,0,4,0,"), "{lines:?}");
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    }
}
