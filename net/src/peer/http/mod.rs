//! Plain HTTP of the peer port: who the members are, which version runs, whether it is healthy. Must never change anything.
//!
//! [`ask`] is the other side of `/members`: a member that starts asks those it was told of.

pub mod ask;

use crate::http::answer::json_string;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::MemberInfo;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Patience with the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// What the pages show.
pub trait Pages: Send + Sync {
    /// Id of the cluster.
    fn cluster(&self) -> u64;
    /// All members, by id.
    fn members(&self) -> Vec<MemberInfo>;
    /// The JSON of `/version`, as the client port gives it.
    fn version(&self) -> String;
    /// Whether it is healthy, and the JSON of `/health`, for a query as in `serializable=true`.
    fn health(&self, query: &str) -> BoxFuture<'static, (bool, String)>;
    /// Whether the cluster is being downgraded, as far as this member has heard.
    fn is_downgrading(&self) -> bool;
}

/// Serves one connection to its end.
pub async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<dyn Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(answer(&*pages, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
    // a client that hangs up, or speaks something else, is nobody's business
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// Path of the page that says whether the cluster is being downgraded.
const DOWNGRADE_ENABLED: &str = "/downgrade/enabled";

async fn answer(pages: &dyn Pages, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/members" | "/version" | "/health" | DOWNGRADE_ENABLED) {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if request.method() != Method::GET {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    match path {
        "/members" => of_cluster(pages, json(StatusCode::OK, members(&pages.members()))),
        DOWNGRADE_ENABLED => {
            let mut page = text(StatusCode::OK, if pages.is_downgrading() { "true" } else { "false" });
            page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            of_cluster(pages, page)
        }
        "/version" => json(StatusCode::OK, pages.version()),
        _ => {
            let (healthy, body) = pages.health(request.uri().query().unwrap_or_default()).await;
            json(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
        }
    }
}

/// A page that names the cluster.
fn of_cluster(pages: &dyn Pages, mut page: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let cluster = format!("{:x}", pages.cluster());
    let cluster = HeaderValue::from_str(&cluster).expect("hexadecimal digits are a header's value");
    page.headers_mut().insert("x-etcd-cluster-id", cluster);
    page
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The list as etcd writes it: ids are numbers, empty fields are left out.
fn members(list: &[MemberInfo]) -> String {
    let mut out = String::from("[");
    for (at, member) in list.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{{\"id\":{},\"peerURLs\":{}", member.id, strings(&member.peer_urls));
        if member.is_learner {
            out += ",\"isLearner\":true";
        }
        if !member.name.is_empty() {
            let _ = write!(out, ",\"name\":{}", json_string(&member.name));
        }
        if !member.client_urls.is_empty() {
            let _ = write!(out, ",\"clientURLs\":{}", strings(&member.client_urls));
        }
        out.push('}');
    }
    out += "]\n";
    out
}

fn strings(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| json_string(text)).collect();
    format!("[{}]", quoted.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_etcd_writes_them() {
        let urls = |url: &str| vec![url.to_owned()];
        let plain = MemberInfo {
            id: 10_276_657_743_932_975_437,
            peer_urls: urls("http://localhost:2380"),
            name: "default".into(),
            client_urls: urls("http://localhost:2379"),
            is_learner: false,
        };
        let fresh = MemberInfo { id: 7, peer_urls: urls("http://a:1"), is_learner: true, ..MemberInfo::default() };
        let odd = MemberInfo { id: 8, name: "a\"<\u{1}".into(), ..MemberInfo::default() };
        assert_eq!(
            members(&[plain, fresh, odd]),
            "[{\"id\":10276657743932975437,\"peerURLs\":[\"http://localhost:2380\"],\"name\":\"default\",\
             \"clientURLs\":[\"http://localhost:2379\"]},{\"id\":7,\"peerURLs\":[\"http://a:1\"],\"isLearner\":true},\
             {\"id\":8,\"peerURLs\":[],\"name\":\"a\\\"\\u003c\\u0001\"}]\n"
        );
        assert_eq!(members(&[]), "[]\n");
    }
}
