//! Plain HTTP on the same port: health, metrics, JSON. HTTP/1.1 by hyper, HTTP/2 by the connection it came on.
//!
//! Not a hot path: handlers are futures. Bodies flow both ways as they are read and taken; nothing is collected here. Must not know
//! any URL.

use super::conn::Accepted;
use super::input::{Gone, HttpInput};
use super::limits::DoorLimits;
use super::peer::Peer;
use super::upgraded::UpgradeFn;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use h2::SendStream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::timeout;

/// An HTTP request.
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// Its target; path and query are in here.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, which comes as it is read.
    pub body: HttpInput,
    /// Who asks.
    pub peer: Rc<Peer>,
}

impl HttpRequest {
    /// Whom the client wants to reach, as it says, with the port; empty when it does not say.
    pub fn host(&self) -> &str {
        let header = || self.headers.get(http::header::HOST)?.to_str().ok();
        self.uri.authority().map(|authority| authority.as_str()).or_else(header).unwrap_or_default()
    }
}

/// Body of an answer.
pub enum HttpBody {
    /// All of it.
    Full(Bytes),
    /// Chunks as they come; pulled while the peer takes them. An error breaks the answer off.
    Stream(LocalBoxStream<'static, Result<Bytes, Gone>>),
    /// None: the connection goes on with another protocol. HTTP/1.1 alone, with status 101.
    Upgrade(UpgradeFn),
}

/// Serves plain HTTP requests of a loop.
pub trait HttpHandler {
    /// Answers one request.
    fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>>;
}

/// An answer with a plain text body.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Full(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

/// Serves a non-gRPC request that came over HTTP/2.
pub(super) async fn serve_h2(handler: Rc<dyn HttpHandler>, accepted: Accepted, limits: Rc<DoorLimits>) {
    let Accepted { conn, request, mut respond } = accepted;
    let peer = conn.0.peer.clone();
    let (head, body) = request.into_parts();
    let without_body = head.method == Method::HEAD;
    let body = HttpInput::h2(body);
    let request = HttpRequest { method: head.method, uri: head.uri, headers: head.headers, body, peer };
    let mut answering = handler.handle(request);
    let response = poll_fn(|cx| match respond.poll_reset(cx) {
        // nobody waits for the answer any more
        Poll::Ready(_) => Poll::Ready(None),
        Poll::Pending => answering.as_mut().poll(cx).map(Some),
    });
    let Some(response) = response.await else { return };
    let (mut head, body) = response.into_parts();
    head.version = http::Version::HTTP_2;
    if without_body {
        // an error means that the peer is gone
        let _ = respond.send_response(Response::from_parts(head, ()), true);
        return;
    }
    let Ok(mut tx) = respond.send_response(Response::from_parts(head, ()), false) else { return };
    let sent = match body {
        HttpBody::Full(bytes) => send_all(&mut tx, bytes, &limits).await,
        HttpBody::Stream(stream) => send_stream(&mut tx, stream, &limits).await,
        // handlers upgrade HTTP/1.1 alone
        HttpBody::Upgrade(_) => None,
    };
    match sent {
        Some(()) => {
            let _ = tx.send_data(Bytes::new(), true);
        }
        None => tx.send_reset(h2::Reason::INTERNAL_ERROR),
    }
}

async fn send_stream(
    tx: &mut SendStream<Bytes>,
    mut stream: LocalBoxStream<'static, Result<Bytes, Gone>>,
    limits: &DoorLimits,
) -> Option<()> {
    loop {
        let next = poll_fn(|cx| match tx.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Some(Err(Gone))),
            Poll::Pending => stream.poll_next_unpin(cx),
        });
        match next.await {
            Some(chunk) => send_all(tx, chunk.ok()?, limits).await?,
            None => return Some(()),
        }
    }
}

/// Writes bytes as the peer's window allows; `None` when the peer is gone, or takes nothing for too long.
async fn send_all(tx: &mut SendStream<Bytes>, mut bytes: Bytes, limits: &DoorLimits) -> Option<()> {
    while !bytes.is_empty() {
        tx.reserve_capacity(bytes.len().min(64 << 10));
        let mut window = tx.capacity();
        if window == 0 {
            let more = timeout(limits.write_stall, poll_fn(|cx| tx.poll_capacity(cx)));
            window = more.await.ok()??.ok()?;
        }
        tx.send_data(bytes.split_to(window.min(bytes.len())), false).ok()?;
    }
    Some(())
}

/// Body of an HTTP/1.1 answer.
pub(super) enum H1Body {
    Full(Bytes),
    Stream(LocalBoxStream<'static, Result<Bytes, Gone>>),
}

impl Body for H1Body {
    type Data = Bytes;
    type Error = Gone;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Gone>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => stream.poll_next_unpin(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Serves one HTTP/1.1 request. Whoever goes on with the connection behind it is left in `upgrade`.
pub(super) async fn serve_h1(
    handler: Rc<dyn HttpHandler>,
    peer: Rc<Peer>,
    upgrade: Rc<RefCell<Option<UpgradeFn>>>,
    request: Request<Incoming>,
) -> Result<Response<H1Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = HttpInput::h1(body);
    let request = HttpRequest { method: head.method, uri: head.uri, headers: head.headers, body, peer };
    let response = handler.handle(request).await;
    Ok(response.map(|body| match body {
        HttpBody::Full(bytes) => H1Body::Full(bytes),
        HttpBody::Stream(stream) => H1Body::Stream(stream),
        HttpBody::Upgrade(go_on) => {
            upgrade.replace(Some(go_on));
            H1Body::Full(Bytes::new())
        }
    }))
}
