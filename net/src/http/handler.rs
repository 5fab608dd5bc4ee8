//! Which path is served by what, and what every answer carries: etcd's rules of cross-origin requests.
//!
//! Texts, codes and headers are etcd's.

use super::access;
use super::answer::{not_found, only_get, page};
use super::debug;
use super::health;
use super::metrics::Metrics;
use super::profile::{self, Profiler};
use super::v2;
use super::version;
use crate::door::{HttpBody, HttpHandler, HttpRequest, Peer, text};
use crate::gateway::Gateway;
use crate::services::{ClientServices, storage_version};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use std::sync::Arc;

/// Settings of plain HTTP.
#[derive(Clone)]
pub struct HttpConfig {
    /// Origins whose pages may call from a browser (`--cors`); `*` or none at all for everybody.
    pub origins: Vec<String>,
    /// Host names that requests without TLS may ask for (`--host-whitelist`); `*` or none at all for every name.
    pub hosts: Vec<String>,
    /// The API is served as JSON (`--enable-grpc-gateway`).
    pub gateway: bool,
    /// Serve the v2 API (`--enable-v2`): when the member started, nanoseconds since 1970.
    pub v2_since: Option<i64>,
    /// The command line of the process, for those who ask.
    pub command_line: Arc<[String]>,
    /// Makes profiles (`--enable-pprof`); `None` for nobody.
    pub profiler: Option<Arc<dyn Profiler>>,
    /// Calls by method are shown (`--log-level debug`, as in etcd).
    pub shows_requests: bool,
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpConfig").field("origins", &self.origins).finish_non_exhaustive()
    }
}

/// Serves plain HTTP on one loop.
pub struct Http {
    this: ClientServices,
    metrics: Metrics,
    config: HttpConfig,
    gateway: Option<Gateway>,
}

impl Http {
    /// For the services of a loop.
    pub fn new(this: ClientServices, metrics: Metrics, config: HttpConfig) -> Self {
        let gateway = config.gateway.then(|| Gateway::new(this.handle().clone()));
        Self { this, metrics, config, gateway }
    }

    /// Refuses a request before its page is looked for.
    fn refuse(&self, request: &HttpRequest) -> Option<Response<HttpBody>> {
        if request.peer.metrics_only {
            return None;
        }
        let names_count =
            self.gateway.is_some() && self.this.config().client_cert_auth && self.this.ports().reads.auth_revision().0;
        access::refuse_host(&self.config.hosts, request)
            .or_else(|| access::refuse_common_name(&request.peer, request.uri.path()).filter(|_| names_count))
    }

    fn answer(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        // it has redirects of its own
        if let Some(started) = self.config.v2_since.filter(|_| v2::serves(&request)) {
            return v2::serve(self.this.clone(), started, request).boxed_local();
        }
        if !request.peer.metrics_only {
            if let Some(redirect) = access::redirect(&request, self.gateway.is_some()) {
                return ready(redirect).boxed_local();
            }
            if let Some(gateway) = self.gateway.as_ref().filter(|_| request.uri.path().starts_with(access::GATEWAY)) {
                return gateway.handle(request);
            }
        }
        let response = match request.uri.path() {
            "/metrics" => self.metrics(&request.headers),
            "/health" => {
                return health::health(self.this.clone(), self.metrics.health.clone(), request).boxed_local();
            }
            path if path.starts_with("/debug/") && !request.peer.metrics_only => return self.debug(request),
            "/version" if !request.peer.metrics_only => self.version(&request.method),
            path => match health::Probe::of(path) {
                Some(probe) => return probe.run(self.this.clone(), self.metrics.health.clone(), request).boxed_local(),
                None => not_found(),
            },
        };
        ready(response).boxed_local()
    }

    /// What developers ask for.
    fn debug(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        let path = request.uri.path();
        match &self.config.profiler {
            Some(profiler) if path.starts_with("/debug/pprof/") => {
                profile::answer(profiler.clone(), self.config.command_line.clone(), request).boxed_local()
            }
            _ if path == "/debug/vars" => {
                let (this, words) = (self.this.clone(), self.config.command_line.clone());
                async move { debug::vars(this, &words).await }.boxed_local()
            }
            _ if path == "/debug/requests" && self.config.shows_requests => {
                ready(debug::requests(&self.metrics)).boxed_local()
            }
            _ => ready(not_found()).boxed_local(),
        }
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
    fn handle(&self, mut request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        access::rename(&mut request.uri);
        if let Some(refusal) = self.refuse(&request) {
            return ready(refusal).boxed_local();
        }
        let origin = self.allowed_origin(&request.peer, &request.headers);
        // a browser asks in this way before it sends anything else
        let response = if request.method == Method::OPTIONS && !request.peer.metrics_only {
            ready(Response::new(HttpBody::Full(bytes::Bytes::new()))).boxed_local()
        } else {
            self.answer(request)
        };
        async move {
            let mut response = response.await;
            // what becomes another protocol has nothing to say to a page
            if let Some(origin) = origin.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
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
