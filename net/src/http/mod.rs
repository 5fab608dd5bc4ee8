//! Plain HTTP of the client port: health, version, metrics.
//!
//! Must never change anything: every path here only reads.

mod health;
pub mod metrics;

use crate::door::{HttpBody, HttpHandler, HttpRequest, text};
use crate::services::{ClientServices, status};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use http::{HeaderValue, Method, Response, StatusCode, header};
use messages::RequestError;

pub use metrics::{LoopMetrics, Metrics};

/// Serves plain HTTP on one loop.
pub struct Http {
    this: ClientServices,
    metrics: Metrics,
}

impl Http {
    /// For the services of a loop.
    pub fn new(this: ClientServices, metrics: Metrics) -> Self {
        Self { this, metrics }
    }

    fn version(&self, method: &Method) -> Response<HttpBody> {
        if method != Method::GET {
            return not_allowed("GET");
        }
        let cluster = self.this.ports().reads.cluster_version().unwrap_or_default();
        let cluster = if cluster.is_empty() { "not_decided" } else { &cluster };
        let config = self.this.config();
        json(
            StatusCode::OK,
            format!(
                "{{\"etcdserver\":\"{}\",\"etcdcluster\":\"{cluster}\",\"storage\":\"{}\"}}",
                config.server_version, config.storage_version
            ),
        )
    }

    fn metrics(&self) -> Response<HttpBody> {
        let mut response = text(StatusCode::OK, self.metrics.render(&self.this));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl HttpHandler for Http {
    fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        let path = request.uri.path();
        let response = match path {
            "/version" => self.version(&request.method),
            "/metrics" => self.metrics(),
            "/health" => return health::health(self.this.clone(), request).boxed_local(),
            _ if is_probe(path, "/livez") || is_probe(path, "/readyz") => {
                return health::probe(self.this.clone(), request).boxed_local();
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        };
        ready(response).boxed_local()
    }
}

fn is_probe(path: &str, probe: &str) -> bool {
    path.strip_prefix(probe).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn not_allowed(allow: &'static str) -> Response<HttpBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn json(status: StatusCode, body: String) -> Response<HttpBody> {
    let mut response = text(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Text of a refusal, as etcd's health answers carry it.
fn refusal(why: RequestError) -> String {
    status::of_request(why).message.into_owned()
}
