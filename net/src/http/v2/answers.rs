//! Answers of the v2 API: bodies, headers, and the refusals of its pages.
//!
//! Must never know a path.

use super::super::answer::refusal;
use super::json;
use crate::door::{HttpBody, Status};
use crate::services::ClientServices;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use model::v2::{Error, code};
use std::sync::atomic::Ordering::Relaxed;

pub(super) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// A refusal on its way up, in a box: answers are large.
pub(super) type Refusal = Box<Response<HttpBody>>;

/// JSON.
pub(super) fn json(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Says which cluster answers.
pub(super) fn with_cluster(services: &ClientServices, mut response: Response<HttpBody>) -> Response<HttpBody> {
    let id = format!("{:x}", services.ports().identity.cluster_id);
    set(&mut response, CLUSTER_ID, &id);
    response
}

/// Says where the tree and the log stand.
pub(super) fn with_indices(
    services: &ClientServices,
    mut response: Response<HttpBody>,
    index: u64,
) -> Response<HttpBody> {
    let gauges = &services.ports().gauges;
    set(&mut response, ETCD_INDEX, &index.to_string());
    set(&mut response, RAFT_INDEX, &gauges.committed.load(Relaxed).to_string());
    set(&mut response, RAFT_TERM, &gauges.term.load(Relaxed).to_string());
    response
}

fn set(response: &mut Response<HttpBody>, name: HeaderName, value: &str) {
    // digits are always a value
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An error of the keys API.
pub(super) fn error(error: &Error) -> Response<HttpBody> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, json::error(error));
    set(&mut response, ETCD_INDEX, &error.index.to_string());
    response
}

/// What the server could not do, as an error of the keys API.
pub(super) fn failure(why: &Status) -> Response<HttpBody> {
    error(&Error::new(code::RAFT_INTERNAL, why.message.as_ref().to_owned(), 0))
}

/// A refusal of the pages beside the keys.
pub(super) fn message(status: StatusCode, text: &str) -> Response<HttpBody> {
    let mut body = String::from("{\"message\":");
    json::string(&mut body, text.as_bytes());
    body.push('}');
    json(status, body)
}

/// What the server could not do, as a refusal of the pages beside the keys. etcd writes the reason into its log alone.
pub(super) fn internal(why: &Status) -> Response<HttpBody> {
    tracing::warn!(error = %why.message, "failed to serve a request of the v2 API");
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

/// The methods that a path takes; the answer to others.
pub(super) fn allow(method: &Method, methods: &[Method]) -> Result<(), Refusal> {
    if methods.contains(method) {
        return Ok(());
    }
    let names: Vec<_> = methods.iter().map(Method::as_str).collect();
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    set(&mut response, header::ALLOW, &names.join(","));
    Err(response.into())
}

/// Leaves the body out for a HEAD, and says how long it would be.
pub(super) fn for_method(method: &Method, mut response: Response<HttpBody>) -> Response<HttpBody> {
    if *method == Method::HEAD
        && let HttpBody::Full(body) = response.body()
    {
        let length = body.len().to_string();
        set(&mut response, header::CONTENT_LENGTH, &length);
        *response.body_mut() = HttpBody::Full(bytes::Bytes::new());
    }
    response
}
