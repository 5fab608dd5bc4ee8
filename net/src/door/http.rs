//! Plain HTTP on the same port: health, metrics, JSON. HTTP/1.1 by hyper, HTTP/2 by the connection it came on.
//!
//! Not a hot path: requests are collected, handlers are futures. Must not know any URL.

use super::conn::Accepted;
use super::peer::Peer;
use super::reservation::AssemblyPermit;
use super::state::LoopState;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use h2::SendStream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A whole HTTP request.
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// Its target; path and query are in here.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most `DoorLimits::http_body` long.
    pub body: Bytes,
    /// Who asks.
    pub peer: Rc<Peer>,
}

/// Body of an answer.
pub enum HttpBody {
    /// All of it.
    Full(Bytes),
    /// Chunks as they come; pulled while the peer takes them.
    Stream(LocalBoxStream<'static, Bytes>),
}

/// Serves plain HTTP requests of a loop.
pub trait HttpHandler {
    /// Answers one request.
    fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>>;

    /// Whether requests for this `Host` are served; a refused one gets 421. `secure` is true over TLS.
    fn allow_host(&self, host: &str, secure: bool) -> bool {
        let _ = (host, secure);
        true
    }
}

/// An answer with a plain text body.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Full(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

async fn answer(
    handler: &dyn HttpHandler,
    peer: Rc<Peer>,
    head: http::request::Parts,
    body: Result<Bytes, StatusCode>,
) -> Response<HttpBody> {
    let host = head.uri.authority().map(|a| a.as_str().to_owned());
    let header = || Some(head.headers.get(http::header::HOST)?.to_str().ok()?.to_owned());
    let host = host.or_else(header).unwrap_or_default();
    if !handler.allow_host(&host, peer.tls.is_some()) {
        return text(StatusCode::MISDIRECTED_REQUEST, "");
    }
    let body = match body {
        Ok(body) => body,
        Err(StatusCode::SERVICE_UNAVAILABLE) => return text(StatusCode::SERVICE_UNAVAILABLE, "too many requests\n"),
        Err(status) => return text(status, "request body too large\n"),
    };
    let request = HttpRequest { method: head.method, uri: head.uri, headers: head.headers, body, peer };
    handler.handle(request).await
}

/// The permit to put a body together; none is needed where nothing comes.
fn permit(state: &Rc<LoopState>, empty: bool) -> Result<Option<AssemblyPermit>, StatusCode> {
    if empty {
        return Ok(None);
    }
    let bytes = state.limits.http_body.min(state.limits.assembly_bytes);
    AssemblyPermit::take(state, bytes).map(Some).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// Serves a non-gRPC request that came over HTTP/2.
pub(super) async fn serve_h2(handler: Rc<dyn HttpHandler>, accepted: Accepted, state: Rc<LoopState>) {
    let Accepted { conn, request, mut respond } = accepted;
    let peer = conn.0.peer.clone();
    let (head, mut rx) = request.into_parts();
    let body = match permit(&state, rx.is_end_stream()) {
        Err(busy) => Err(busy),
        Ok(_permit) => {
            let mut body = BytesMut::new();
            loop {
                match rx.data().await {
                    Some(Ok(chunk)) if body.len() + chunk.len() > state.limits.http_body => {
                        break Err(StatusCode::PAYLOAD_TOO_LARGE);
                    }
                    Some(Ok(chunk)) => {
                        let _ = rx.flow_control().release_capacity(chunk.len());
                        body.extend_from_slice(&chunk);
                    }
                    Some(Err(_)) => return,
                    None => break Ok(body.freeze()),
                }
            }
        }
    };
    let without_body = head.method == Method::HEAD;
    let response = answer(&*handler, peer, head, body).await;
    let (mut head, body) = response.into_parts();
    head.version = http::Version::HTTP_2;
    if without_body {
        // an error means that the peer is gone
        let _ = respond.send_response(Response::from_parts(head, ()), true);
        return;
    }
    let Ok(mut tx) = respond.send_response(Response::from_parts(head, ()), false) else { return };
    let sent = match body {
        HttpBody::Full(bytes) => send_all(&mut tx, bytes).await,
        HttpBody::Stream(mut stream) => loop {
            match stream.next().await {
                Some(chunk) => {
                    if send_all(&mut tx, chunk).await.is_none() {
                        break None;
                    }
                }
                None => break Some(()),
            }
        },
    };
    if sent.is_some() {
        let _ = tx.send_data(Bytes::new(), true);
    }
}

/// Writes bytes as the peer's window allows; `None` when the peer is gone.
async fn send_all(tx: &mut SendStream<Bytes>, mut bytes: Bytes) -> Option<()> {
    while !bytes.is_empty() {
        tx.reserve_capacity(bytes.len().min(64 << 10));
        let mut window = tx.capacity();
        if window == 0 {
            window = poll_fn(|cx| tx.poll_capacity(cx)).await?.ok()?;
        }
        tx.send_data(bytes.split_to(window.min(bytes.len())), false).ok()?;
    }
    Some(())
}

/// A stream of chunks as hyper wants it.
struct Chunks(LocalBoxStream<'static, Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_next(cx).map(|chunk| chunk.map(|c| Ok(Frame::data(c))))
    }
}

/// Body of an HTTP/1.1 answer.
pub(super) enum H1Body {
    Full(UnsyncBoxBody<Bytes, Infallible>),
    Stream(Box<dyn Body<Data = Bytes, Error = Infallible> + Unpin>),
}

impl Body for H1Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// Serves one HTTP/1.1 request.
pub(super) async fn serve_h1(
    handler: Rc<dyn HttpHandler>,
    peer: Rc<Peer>,
    state: Rc<LoopState>,
    request: Request<Incoming>,
) -> Result<Response<H1Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let body = match permit(&state, body.is_end_stream()) {
        Err(busy) => Err(busy),
        Ok(_permit) => match Limited::new(body, state.limits.http_body).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(e) => return Err(e),
        },
    };
    let response = answer(&*handler, peer, head, body).await;
    Ok(response.map(|body| match body {
        HttpBody::Full(bytes) => H1Body::Full(Full::new(bytes).boxed_unsync()),
        HttpBody::Stream(stream) => H1Body::Stream(Box::new(Chunks(stream))),
    }))
}
