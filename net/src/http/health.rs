//! `/health`, `/livez`, `/readyz`: may a client be sent here? Texts and codes are etcd's.
//!
//! A linearizable check takes the same road as a read; it ends after five seconds at the latest.

use super::{json, refusal};
use crate::door::{HttpBody, HttpRequest, text};
use crate::services::{ClientServices, maintenance, status};
use http::{Method, Response, StatusCode};
use messages::RequestError;
use messages::read::INLINE_BYTES;
use model::request::{AlarmType, RangeRequest};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest a check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// `/health`.
pub(super) async fn health(this: ClientServices, request: HttpRequest) -> Response<HttpBody> {
    if request.method != Method::GET {
        return super::not_allowed("GET");
    }
    let query = Query::of(&request);
    let serializable = query.has("serializable", "true");
    match unhealthy(&this, &query, serializable).await {
        None => json(StatusCode::OK, "{\"health\":\"true\",\"reason\":\"\"}".into()),
        Some(reason) => {
            tracing::warn!(reason, "serving /health false");
            let reason = reason.replace('"', "'");
            json(StatusCode::SERVICE_UNAVAILABLE, format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}"))
        }
    }
}

async fn unhealthy(this: &ClientServices, query: &Query, serializable: bool) -> Option<String> {
    for alarm in this.ports().reads.status().alarms.iter() {
        let name = maintenance::alarm_name(alarm.alarm);
        if !query.has("exclude", name) {
            return Some(format!("ALARM {name}"));
        }
    }
    if !serializable && this.ports().gauges.leader_id().is_none() {
        return Some("RAFT NO LEADER".into());
    }
    let read = if serializable { serializable_read(this) } else { linearizable_read(this).await };
    read.err().map(|why| format!("RANGE ERROR:{why}"))
}

fn serializable_read(this: &ClientServices) -> Result<(), String> {
    let request = RangeRequest { key: "health".into(), limit: 1, ..RangeRequest::default() };
    match this.ports().reads.range(&request, INLINE_BYTES) {
        Some(Err(why)) => Err(status::of_read(&why).message.into_owned()),
        Some(Ok(_)) | None => Ok(()),
    }
}

async fn linearizable_read(this: &ClientServices) -> Result<(), String> {
    if this.ports().gauges.stopping.load(Relaxed) {
        return Err(refusal(RequestError::Stopped));
    }
    if !this.reads_are_free() {
        let (granted, wait) = oneshot::channel();
        this.probe_read_index(granted);
        match tokio::time::timeout(PATIENCE, wait).await {
            Err(_) => return Err("context deadline exceeded".into()),
            Ok(Err(_)) => return Err(refusal(RequestError::Stopped)),
            Ok(Ok(Err(why))) => return Err(why.message.into_owned()),
            Ok(Ok(Ok(()))) => {}
        }
    }
    serializable_read(this)
}

/// `/livez`, `/readyz` and their single checks.
pub(super) async fn probe(this: ClientServices, request: HttpRequest) -> Response<HttpBody> {
    if request.method != Method::GET {
        return super::not_allowed("GET");
    }
    let path = request.uri.path().trim_start_matches('/').to_owned();
    let (probe, single) = path.split_once('/').map_or((path.as_str(), None), |(p, s)| (p, Some(s)));
    let checks: &[&str] = match probe {
        "livez" => &["serializable_read"],
        _ => &["data_corruption", "serializable_read", "linearizable_read", "non_learner"],
    };
    let query = Query::of(&request);
    let wanted: Vec<&str> = match single {
        Some(name) if checks.contains(&name) => vec![name],
        Some(_) => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
        None => checks.iter().copied().filter(|name| !query.has("exclude", name)).collect(),
    };
    let (mut lines, mut failed) = (String::new(), false);
    for name in wanted {
        match check(&this, name).await {
            Ok(()) => lines += &format!("[+]{name} ok\n"),
            Err(why) => {
                failed = true;
                lines += &format!("[-]{name} failed: {why}\n");
            }
        }
    }
    if failed {
        tracing::warn!(probe, details = lines, "probe failed");
        return text(StatusCode::SERVICE_UNAVAILABLE, lines);
    }
    if query.contains("verbose") { text(StatusCode::OK, lines + "ok\n") } else { text(StatusCode::OK, "ok\n") }
}

async fn check(this: &ClientServices, name: &str) -> Result<(), String> {
    match name {
        "data_corruption" => {
            let corrupt = this.ports().reads.status().alarms.iter().any(|a| a.alarm == AlarmType::Corrupt);
            if corrupt { Err("alarm activated: CORRUPT".into()) } else { Ok(()) }
        }
        "serializable_read" => serializable_read(this),
        "linearizable_read" => linearizable_read(this).await,
        _ => {
            if this.ports().gauges.learner.load(Acquire) {
                Err("not supported for learner".into())
            } else {
                Ok(())
            }
        }
    }
}

/// A query string, without percent-decoding: no check has a name that needs it.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &HttpRequest) -> Self {
        let pairs = request.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key.to_owned(), value.to_owned())
                })
                .collect(),
        )
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.0.iter().any(|(k, v)| k == key && v == value)
    }

    fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }
}
