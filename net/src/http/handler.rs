//! Which path is served by what, and what every answer carries: etcd's rules of cross-origin requests.
//!
//! Texts, codes and headers are etcd's.

use super::answer::{not_found, only_get, page};
use super::health;
use super::metrics::Metrics;
use super::v2;
use super::version;
use crate::door::{HttpBody, HttpHandler, HttpRequest, Peer, text};
use crate::services::{ClientServices, storage_version};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

/// Settings of plain HTTP.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Origins whose pages may call from a browser (`--cors`); `*` or none at all for everybody.
    pub origins: Vec<String>,
    /// Serve the v2 API (`--enable-v2`): when the member started, nanoseconds since 1970.
    pub v2_since: Option<i64>,
}

/// Serves plain HTTP on one loop.
pub struct Http {
    this: ClientServices,
    metrics: Metrics,
    config: HttpConfig,
}

impl Http {
    /// For the services of a loop.
    pub fn new(this: ClientServices, metrics: Metrics, config: HttpConfig) -> Self {
        Self { this, metrics, config }
    }

    fn answer(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        if let Some(started) = self.config.v2_since.filter(|_| v2::serves(&request)) {
            return v2::serve(self.this.clone(), started, request).boxed_local();
        }
        let response = match request.uri.path() {
            "/metrics" => self.metrics(&request.headers),
            "/health" => return health::health(self.this.clone(), request).boxed_local(),
            "/version" if !request.peer.metrics_only => self.version(&request.method),
            path => match health::Probe::of(path) {
                Some(probe) => return probe.run(self.this.clone(), request).boxed_local(),
                None => not_found(),
            },
        };
        ready(response).boxed_local()
    }

    fn version(&self, method: &Method) -> Response<HttpBody> {
        if method != Method::GET {
            return only_get();
        }
        let cluster = self.this.ports().reads.cluster_version().unwrap_or_default();
        let config = &self.this.config();
        let body = version::page(&config.server_version, &cluster, storage_version(&cluster, &config.storage_version));
        with_type(text(StatusCode::OK, body), "application/json")
    }

    fn metrics(&self, request: &HeaderMap) -> Response<HttpBody> {
        let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
        with_type(page(self.metrics.render(&self.this), request), kind)
    }

    /// The origin that an answer names as allowed; `None` for none.
    fn allowed_origin(&self, peer: &Peer, request: &HeaderMap) -> Option<HeaderValue> {
        // etcd does not speak of origins on `--listen-metrics-urls`
        if peer.metrics_only {
            return None;
        }
        let origins = &self.config.origins;
        if origins.is_empty() || origins.iter().any(|origin| origin == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = request.get(header::ORIGIN)?;
        origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

impl HttpHandler for Http {
    fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        let origin = self.allowed_origin(&request.peer, &request.headers);
        // a browser asks in this way before it sends anything else
        let response = if request.method == Method::OPTIONS && !request.peer.metrics_only {
            ready(Response::new(HttpBody::Full(bytes::Bytes::new()))).boxed_local()
        } else {
            self.answer(request)
        };
        async move {
            let mut response = response.await;
            if let Some(origin) = origin {
                allow(response.headers_mut(), origin);
            }
            response
        }
        .boxed_local()
    }
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    let methods = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
    let names = HeaderValue::from_static("accept, content-type, authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}

fn with_type(mut response: Response<HttpBody>, kind: &'static str) -> Response<HttpBody> {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
