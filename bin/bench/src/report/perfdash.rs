//! etcd's `--report-perfdash`: three percentiles as a small JSON file.
//!
//! Must keep the field names; a dashboard reads them.

use super::recorder::Summary;
use serde_json::{Value, json};

/// The contents of the file.
pub fn perfdash(summary: &Summary) -> Value {
    let at = |share: f64| {
        let ms = summary.latency.value_at_quantile(share) as f64 / 1e6;
        (ms * 10_000.0).round() / 10_000.0
    };
    let data = json!({ "Perc50": at(0.5), "Perc90": at(0.9), "Perc99": at(0.99) });
    let labels = json!({ "Operation": summary.name.to_uppercase() });
    json!({ "version": "v1", "dataItems": [{ "data": data, "labels": labels, "unit": "ms" }] })
}
