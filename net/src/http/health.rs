//! `/health`, `/livez`, `/readyz`: may a client be sent here? Texts and codes are etcd's.
//!
//! A linearizable check takes the same road as a read; it ends after five seconds at the latest.

use super::answer::{json_string, only_get, refusal};
use super::health_counts::HealthCounts;
use crate::door::{HttpBody, HttpRequest, text};
use crate::services::{ClientServices, maintenance, status};
use http::{HeaderValue, Method, Response, StatusCode, header};
use messages::read::INLINE_BYTES;
use messages::{Ports, RequestError};
use model::request::{AlarmType, RangeRequest};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest a check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// `/health`.
pub(super) async fn health(
    this: ClientServices,
    counts: Arc<HealthCounts>,
    request: HttpRequest,
) -> Response<HttpBody> {
    if request.method != Method::GET {
        return only_get();
    }
    let query = Query::of(&request);
    let serializable = query.has("serializable", "true");
    let unhealthy = unhealthy(&this, &query, serializable).await;
    counts.health(unhealthy.is_none());
    match unhealthy {
        None => text(StatusCode::OK, "{\"health\":\"true\",\"reason\":\"\"}"),
        Some(reason) => {
            tracing::warn!(reason, "serving /health false");
            let body = format!("{{\"health\":\"false\",\"reason\":{}}}", json_string(&reason));
            refusal(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

async fn unhealthy(this: &ClientServices, query: &Query, serializable: bool) -> Option<String> {
    if let Some(why) = alarm(this.ports(), query) {
        return Some(why);
    }
    if !serializable && this.ports().gauges.leader_id().is_none() {
        return Some("RAFT NO LEADER".into());
    }
    let read = if serializable { serializable_read(this.ports()) } else { linearizable_read(this).await };
    read.err().map(|why| format!("RANGE ERROR:{why}"))
}

/// Why a member is not healthy, as far as it can tell by itself; `None` when it is.
pub(super) fn without_asking_others(ports: &Ports, query: &Query) -> Option<String> {
    if let Some(why) = alarm(ports, query) {
        return Some(why);
    }
    if !query.has("serializable", "true") && ports.gauges.leader_id().is_none() {
        return Some("RAFT NO LEADER".into());
    }
    serializable_read(ports).err().map(|why| format!("RANGE ERROR:{why}"))
}

fn alarm(ports: &Ports, query: &Query) -> Option<String> {
    let alarms = ports.reads.status().alarms;
    let mut names = alarms.iter().map(|alarm| maintenance::alarm_name(alarm.alarm));
    names.find(|name| !query.has("exclude", name)).map(|name| format!("ALARM {name}"))
}

fn serializable_read(ports: &Ports) -> Result<(), String> {
    let request = RangeRequest { key: "health".into(), limit: 1, ..RangeRequest::default() };
    match ports.reads.range(&request, INLINE_BYTES) {
        Some(Err(why)) => Err(status::of_read(&why).message.into_owned()),
        Some(Ok(_)) | None => Ok(()),
    }
}

async fn linearizable_read(this: &ClientServices) -> Result<(), String> {
    if this.ports().gauges.stopping.load(Relaxed) {
        return Err(failure_text(RequestError::Stopped));
    }
    if !this.reads_are_free() {
        let (granted, wait) = oneshot::channel();
        this.probe_read_index(granted);
        match tokio::time::timeout(PATIENCE, wait).await {
            Err(_) => return Err("context deadline exceeded".into()),
            Ok(Err(_)) => return Err(failure_text(RequestError::Stopped)),
            Ok(Ok(Err(why))) => return Err(why.message.into_owned()),
            Ok(Ok(Ok(()))) => {}
        }
    }
    serializable_read(this.ports())
}

/// Text of a failure, as etcd's health answers carry it.
fn failure_text(why: RequestError) -> String {
    status::of_request(why).message.into_owned()
}

/// `/livez`, `/readyz` or one of their checks.
pub(super) struct Probe {
    name: &'static str,
    checks: &'static [&'static str],
    /// One check, asked for by its name.
    is_single: bool,
}

const PROBES: [(&str, &[&str]); 2] = [
    ("livez", &["serializable_read"]),
    ("readyz", &["data_corruption", "serializable_read", "linearizable_read", "non_learner"]),
];

impl Probe {
    /// The probe of a path, which must name a check that there is.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let probe = path.split_once('/').map_or(path, |(probe, _)| probe);
        let (name, checks) = PROBES.into_iter().find(|(name, _)| *name == probe)?;
        let Some((_, single)) = path.split_once('/') else { return Some(Self { name, checks, is_single: false }) };
        let at = checks.iter().position(|check| *check == single)?;
        Some(Self { name, checks: &checks[at..=at], is_single: true })
    }

    /// Runs the checks and reports on them.
    pub(super) async fn run(
        self,
        this: ClientServices,
        counts: Arc<HealthCounts>,
        request: HttpRequest,
    ) -> Response<HttpBody> {
        if request.method != Method::GET {
            return only_get();
        }
        let query = Query::of(&request);
        let mut lines = String::new();
        let mut failed = false;
        for name in self.checks.iter().filter(|name| self.is_single || !query.has("exclude", name)) {
            let checked = check(&this, name).await;
            counts.check(self.name, name, checked.is_ok());
            match checked {
                Ok(()) => lines += &format!("[+]{name} ok\n"),
                Err(why) => {
                    failed = true;
                    lines += &format!("[-]{name} failed: {why}\n");
                }
            }
        }
        if failed {
            tracing::warn!(probe = self.name, details = lines, "probe failed");
            return refusal(StatusCode::SERVICE_UNAVAILABLE, &lines);
        }
        let details = if query.contains("verbose") { lines } else { String::new() };
        let mut response = text(StatusCode::OK, details + "ok\n");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

async fn check(this: &ClientServices, name: &str) -> Result<(), String> {
    match name {
        "data_corruption" => {
            if this.ports().gauges.fenced.load(std::sync::atomic::Ordering::Acquire) {
                return Err("this member has other data than the others".into());
            }
            let corrupt = this.ports().reads.status().alarms.iter().any(|a| a.alarm == AlarmType::Corrupt);
            if corrupt { Err("alarm activated: CORRUPT".into()) } else { Ok(()) }
        }
        "serializable_read" => serializable_read(this.ports()),
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
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn of(request: &HttpRequest) -> Self {
        Self::new(request.uri.query().unwrap_or_default())
    }

    pub(super) fn new(query: &str) -> Self {
        let pairs = query.split('&').filter(|p| !p.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key.to_owned(), value.to_owned())
                })
                .collect(),
        )
    }

    /// The first value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.0.iter().any(|(k, v)| k == key && v == value)
    }

    fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }
}
