//! A page with charts of a run: latency and throughput over time, and latency by percentile.
//!
//! Must be one file that opens anywhere.

use super::live::grouped;
use super::plot::{Line, Plot, escaped};
use super::recorder::Summary;
use super::series::Second;
use super::text::PERCENTILES;
use std::fmt::Write;

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:14px/1.5 system-ui,sans-serif;margin:32px auto;max-width:1000px;padding:0 16px;background:#fff;color:#1c2126}\
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 0}\
code{font:13px ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere;opacity:.75}p{margin:0 0 20px}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;white-space:nowrap}\
td,th{padding:5px 6px;border-bottom:1px solid #8884;text-align:right}th{font-weight:600;font-size:12px;opacity:.75}\
td:first-child,th:first-child{text-align:left;padding-left:0}td:first-child{font-weight:600}.bad{color:#e15759}\
svg{display:block;width:100%;height:auto;margin:20px 0}\
svg text{font:12px system-ui,sans-serif;fill:currentColor}svg .title{font-weight:600;font-size:13px}\
.grid{stroke:#8883}.middle{text-anchor:middle}.end{text-anchor:end}\
@media(prefers-color-scheme:dark){body{background:#15181c;color:#dde2e8}}";

/// The page.
pub fn html(command: &str, flags: &[(String, String)], summaries: &[Summary]) -> String {
    let title = escaped(&format!("conclave-bench {command}"));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    let words: Vec<String> = flags.iter().map(|(name, value)| format!("--{name}={value}")).collect();
    let _ = writeln!(out, "<p><code>{}</code></p>", escaped(&words.join(" ")));
    table(&mut out, summaries);
    for summary in summaries.iter().filter(|summary| summary.count() > 0) {
        let _ = writeln!(out, "<h2>{}</h2>", escaped(&summary.name));
        over_time(&mut out, summary);
    }
    out.push_str(&by_percentile(summaries).svg());
    out.push_str("</body></html>\n");
    out
}

fn table(out: &mut String, summaries: &[Summary]) {
    out.push_str(
        "<div class=\"wide\"><table><tr><th></th><th>requests</th><th>failed</th><th>per second</th><th>mean, ms</th>",
    );
    for share in PERCENTILES {
        let _ = write!(out, "<th>{share}%</th>");
    }
    out.push_str("<th>max</th></tr>\n");
    for s in summaries {
        let bad = if s.failed() > 0 { " class=\"bad\"" } else { "" };
        let (count, failed, rate) = (grouped(s.count()), grouped(s.failed()), grouped(s.rate().round() as u64));
        let _ = write!(out, "<tr><td>{}</td><td>{count}</td><td{bad}>{failed}</td>", escaped(&s.name));
        let _ = write!(out, "<td>{rate}</td><td>{}</td>", millis(s.mean * 1e3));
        let shares = PERCENTILES.iter().map(|share| s.latency.value_at_quantile(share / 100.0));
        for nanos in shares.chain([s.latency.max()]) {
            let _ = write!(out, "<td>{}</td>", millis(nanos as f64 / 1e6));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table></div>\n");
}

/// Four digits or so: more say nothing, and the table has to fit.
fn millis(value: f64) -> String {
    let digits = if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    format!("{value:.digits$}")
}

fn over_time(out: &mut String, summary: &Summary) {
    // the last second is cut short by the end of the run
    let whole = summary.seconds.len().saturating_sub(1).max(1);
    let seconds = &summary.seconds[..whole];
    let line = |name: &str, get: fn(&Second) -> f64, all: bool| {
        let shown = seconds.iter().filter(|s| all || s.count > 0);
        Line { name: name.into(), points: shown.map(|s| (s.at as f64, get(s))).collect() }
    };
    let latency = Plot {
        title: "Latency over time".into(),
        x: "seconds".into(),
        y: "ms".into(),
        log_y: true,
        x_ticks: Vec::new(),
        lines: vec![
            // named from above as they lie
            line("max", |s| s.max as f64 / 1e6, false),
            line("p99.9", |s| s.p999 as f64 / 1e6, false),
            line("p99", |s| s.p99 as f64 / 1e6, false),
            line("p90", |s| s.p90 as f64 / 1e6, false),
            line("p50", |s| s.p50 as f64 / 1e6, false),
        ],
    };
    let mut lines = vec![line("succeeded", |s| s.count as f64, true)];
    if summary.failed() > 0 {
        lines.push(line("failed", |s| s.failed as f64, true));
    }
    let throughput = Plot {
        title: "Requests per second".into(),
        x: "seconds".into(),
        y: "requests".into(),
        log_y: false,
        x_ticks: Vec::new(),
        lines,
    };
    out.push_str(&latency.svg());
    out.push_str(&throughput.svg());
}

/// Each further nine is one step to the right.
fn by_percentile(summaries: &[Summary]) -> Plot {
    let place = |share: f64| -(1.0 - share).log10();
    let steps = 100;
    let top = 4.0;
    let shares: Vec<f64> = (0..=steps).map(|i| 1.0 - 10f64.powf(-top * f64::from(i) / f64::from(steps))).collect();
    let mut lines = Vec::new();
    for summary in summaries.iter().filter(|summary| summary.count() > 0) {
        let points = shares.iter().map(|q| (place(*q), summary.latency.value_at_quantile(*q) as f64 / 1e6));
        lines.push(Line { name: summary.name.clone(), points: points.collect() });
    }
    let ticks = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999];
    let x_ticks = ticks.iter().map(|q| (place(*q).abs(), format!("{}%", (q * 1e6_f64).round() / 1e4))).collect();
    Plot {
        title: "Latency by percentile".into(),
        x: "percent of requests that were at least as fast".into(),
        y: "ms".into(),
        log_y: true,
        x_ticks,
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;
    use std::time::{Duration, Instant};

    #[test]
    fn the_page_has_its_charts_and_nothing_from_elsewhere() {
        let recorder = Recorder::new("put");
        recorder.start();
        let start = Instant::now();
        for ms in 1..200 {
            recorder.record(start, start, start + Duration::from_millis(ms * 15), None);
        }
        let page = html("put", &[("clients".into(), "\"<8>".into())], &[recorder.summary()]);
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("<polyline").count(), 7);
        assert!(page.contains("99.99%") && page.contains("&quot;&lt;8&gt;"));
        assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("NaN"));
    }
}
