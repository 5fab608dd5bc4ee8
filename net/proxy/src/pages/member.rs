//! `/metrics`: the page of a member, fetched when it is asked for.

use super::text;
use crate::upstream::{Pool, open};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tonic::body::Body;

/// Longest that a member may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The page of a member that is connected. Its body flows through.
pub(super) async fn metrics(pool: &Pool) -> Response<Body> {
    match tokio::time::timeout(PATIENCE, fetch(pool)).await {
        Ok(Ok(mut answer)) => {
            answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
            answer
        }
        Ok(Err(why)) => failed(&why),
        Err(_) => failed("no answer in time"),
    }
}

fn failed(why: &str) -> Response<Body> {
    tracing::warn!(error = why, "cannot fetch the metrics of a member");
    text(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error\n".into())
}

async fn fetch(pool: &Pool) -> Result<Response<Body>, String> {
    let endpoint = pool.connected().await.map_err(|why| why.message().to_owned())?;
    let socket = open(pool.config(), &endpoint, b"http/1.1").await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|why| why.to_string())?;
    // ends with the answer's body, or with whoever reads it
    tokio::spawn(connection);
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
    let request = Request::get("/metrics").header(header::HOST, host).header(header::CONNECTION, "close");
    let request = request.body(Body::empty()).map_err(|why| why.to_string())?;
    let answer = sender.send_request(request).await.map_err(|why| why.to_string())?;
    let (head, body) = answer.into_parts();
    let mut passed = Response::new(Body::new(body));
    *passed.status_mut() = head.status;
    Ok(passed)
}
