//! Plain HTTP: health and metrics of the cluster and of the proxy itself.
//!
//! Must never show a key or a value.

mod call_counts;
mod counters;
mod member;

use crate::upstream::{Context, Pool, Repeat};
use crate::watch::{Subscription, Watches};
use api::etcdserverpb as pb;
use bytes::Bytes;
pub(crate) use call_counts::CallCounts;
pub(crate) use counters::Counters;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;

/// Longest that the cluster may take to show that it is healthy.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest that a watch through the proxy may take to begin.
const WATCH_PATIENCE: Duration = Duration::from_secs(3);

/// The pages.
pub(crate) struct Pages {
    pub(crate) pool: Pool,
    pub(crate) watches: Arc<Watches>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) counts: Arc<CallCounts>,
    /// Families of the process, as text.
    pub(crate) process: fn() -> String,
}

impl Pages {
    /// Answers a request that is not gRPC's.
    pub(crate) async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        let is_health = matches!(path, "/health" | "/proxy/health");
        if is_health && method != Method::GET {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into());
            answer.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("GET"));
            return answer;
        }
        match path {
            "/health" => told(self.cluster_health().await),
            "/proxy/health" => told(self.own_health().await),
            "/metrics" => member::metrics(&self.pool).await,
            "/proxy/metrics" => {
                let mut text = self.counters.page();
                self.counts.write(&mut text);
                text.push_str(&(self.process)());
                page(text)
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".into()),
        }
    }

    /// Whether the cluster answers a linearizable read.
    async fn cluster_health(&self) -> Result<(), String> {
        let request = pb::RangeRequest { key: Bytes::from_static(b"a"), ..Default::default() };
        let context = Context::default();
        let read = self.pool.unary::<_, pb::RangeResponse>("/etcdserverpb.KV/Range", &context, request, Repeat::Safe);
        let read = tokio::time::timeout(PATIENCE, read).await;
        match read.unwrap_or_else(|_| Err(Status::deadline_exceeded("context deadline exceeded"))) {
            Ok(_) => Ok(()),
            // somebody answered, after asking a majority who is allowed what
            Err(why) if why.message() == "etcdserver: permission denied" => Ok(()),
            Err(why) => Err(format!("GET ERROR:{}", why.message())),
        }
    }

    /// Whether the cluster is healthy and the proxy can begin a watch.
    async fn own_health(&self) -> Result<(), String> {
        self.cluster_health().await?;
        let mut subscription = Subscription::new(&self.watches, Context::default());
        let create = pb::WatchCreateRequest { key: Bytes::from_static(b"a"), ..Default::default() };
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        subscription.request(pb::WatchRequest { request_union: Some(union) });
        let begun = tokio::time::timeout(WATCH_PATIENCE, subscription.next()).await;
        begun.map_err(|_| "WATCH TIMEOUT".to_owned()).map(drop)
    }
}

fn told(health: Result<(), String>) -> Response<Body> {
    match health {
        Ok(()) => text(StatusCode::OK, r#"{"health":"true","reason":""}"#.into()),
        Err(why) => {
            tracing::warn!(reason = why, "serving health false");
            let reason = serde_json::Value::String(why);
            text(StatusCode::SERVICE_UNAVAILABLE, format!("{{\"health\":\"false\",\"reason\":{reason}}}\n"))
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    with_type(status, body, "text/plain; charset=utf-8")
}

fn page(body: String) -> Response<Body> {
    with_type(StatusCode::OK, body, "text/plain; version=0.0.4")
}

fn with_type(status: StatusCode, body: String, kind: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::new(Full::new(Bytes::from(body))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}
