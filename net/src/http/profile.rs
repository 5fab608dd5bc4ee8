//! `/debug/pprof/`: a CPU profile of the process that `go tool pprof` opens.
//!
//! A profile is of the whole process and needs a signal handler, so whoever runs the process brings the profiler; without one there is
//! nothing below that path. Must never make one by itself.

use super::answer::{not_found, only_get, refusal};
use super::health::Query;
use crate::door::{HttpBody, HttpRequest, text};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// Makes profiles.
pub trait Profiler: Send + Sync {
    /// A CPU profile of so long, in the format of pprof.
    ///
    /// Fails with a sentence: another one is being made, say.
    fn cpu(&self, length: Duration) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// Length of a profile whose client names none, as in Go.
const DEFAULT_SECONDS: u64 = 30;
/// A longer profile is refused: one at a time is made, and others would wait for it.
const MOST_SECONDS: u64 = 300;

/// Answers a path below `/debug/pprof/`.
pub(super) async fn answer(
    profiler: Arc<dyn Profiler>,
    command_line: Arc<[String]>,
    request: HttpRequest,
) -> Response<HttpBody> {
    if request.method != Method::GET && request.method != Method::POST {
        return only_get();
    }
    match request.uri.path() {
        "/debug/pprof/" => index(),
        "/debug/pprof/cmdline" => text(StatusCode::OK, command_line.join("\0")),
        "/debug/pprof/profile" => cpu(&*profiler, &Query::new(request.uri.query().unwrap_or_default())).await,
        _ => not_found(),
    }
}

/// What there is, for people.
fn index() -> Response<HttpBody> {
    let body = "<html><head><title>/debug/pprof/</title></head><body>\n<p>Profiles of this process:</p>\n<ul>\n\
         <li><a href=\"profile?seconds=30\">profile</a>: CPU; open it with <code>go tool pprof</code></li>\n\
         <li><a href=\"cmdline\">cmdline</a>: the command line</li>\n</ul>\n</body></html>\n";
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn cpu(profiler: &dyn Profiler, query: &Query) -> Response<HttpBody> {
    let seconds = match query.get("seconds").map(str::parse::<u64>) {
        // as in Go, what is no length counts as not there
        None | Some(Err(_) | Ok(0)) => DEFAULT_SECONDS,
        Some(Ok(seconds)) if seconds > MOST_SECONDS => {
            return refusal(StatusCode::BAD_REQUEST, &format!("a profile takes at most {MOST_SECONDS} seconds"));
        }
        Some(Ok(seconds)) => seconds,
    };
    match profiler.cpu(Duration::from_secs(seconds)).await {
        Ok(profile) => {
            let mut response = Response::new(HttpBody::Full(Bytes::from(profile)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"profile\""));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
        Err(why) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("Could not enable CPU profiling: {why}")),
    }
}
