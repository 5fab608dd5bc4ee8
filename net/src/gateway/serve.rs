//! One request of the gateway, from its path to its answer.
//!
//! Must never answer for a method: what it says comes from there, or is about the request's form.

use super::lines::{FirstItem, Lines};
use super::metadata;
use super::paths::PATHS;
use super::reply;
use super::requests::{NextMessage, Requests};
use super::websocket;
use crate::door::{Code, Gone, HttpBody, HttpInput, HttpRequest, LocalMeta, LocalStream, LoopHandle, Status};
use api::schema::{Flow, METHODS, Method as Rpc};
use bytes::Bytes;
use futures_util::future::{FusedFuture as _, FutureExt as _, LocalBoxFuture, ready};
use futures_util::stream::{LocalBoxStream, StreamExt as _, poll_fn as stream_of};
use http::{HeaderMap, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Serves the API as JSON on one loop.
#[derive(Clone)]
pub struct Gateway {
    handle: LoopHandle,
    routes: Rc<HashMap<&'static str, &'static Rpc>>,
}

impl Gateway {
    /// The gateway of a loop.
    pub fn new(handle: LoopHandle) -> Self {
        let route = |(path, method): &(&'static str, &str)| {
            let rpc = METHODS.iter().find(|rpc| rpc.path == *method)?;
            Some((*path, rpc))
        };
        Self { handle, routes: Rc::new(PATHS.iter().filter_map(route).collect()) }
    }

    /// Answers a request below `/v3/`.
    pub fn handle(&self, request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        if websocket::is_upgrade(&request.headers) {
            let gateway = self.clone();
            return ready(websocket::upgrade(request, move |inner| gateway.answer(inner))).boxed_local();
        }
        self.answer(request)
    }

    fn answer(&self, mut request: HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> {
        let path = percent_decode_str(request.uri.path()).decode_utf8_lossy();
        let rpc = match self.routes.get(&*path) {
            Some(rpc) if method_of(&mut request) == Method::POST => *rpc,
            Some(_) => return refuse(Code::Unimplemented, "Method Not Allowed"),
            None => return refuse(Code::NotFound, "Not Found"),
        };
        let meta = match meta_of(&request) {
            Ok(meta) => meta,
            Err(status) => return ready(reply::refusal(&status)).boxed_local(),
        };
        let handle = self.handle.clone();
        let requests = Requests::new(&handle, request.body, rpc.request);
        match rpc.flow {
            Flow::Unary => unary(handle, rpc, meta, requests).boxed_local(),
            Flow::ServerStream => server_stream(handle, rpc, meta, requests).boxed_local(),
            Flow::Bidi => bidi(&handle, rpc, meta, requests).boxed_local(),
        }
    }
}

fn refuse(code: Code, text: &'static str) -> LocalBoxFuture<'static, Response<HttpBody>> {
    ready(reply::refusal(&Status::new(code, text))).boxed_local()
}

/// The method of a request. A form may name another one in a header; it is then read as a form, and has no body any more.
fn method_of(request: &mut HttpRequest) -> Method {
    let headers = &request.headers;
    let is_form =
        headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let named = headers.get("x-http-method-override").filter(|named| !named.is_empty());
    match named {
        Some(named) if is_form && request.method == Method::POST => {
            let named = Method::from_bytes(&named.as_bytes().to_ascii_uppercase());
            request.body = HttpInput::nothing();
            named.unwrap_or(Method::GET)
        }
        _ => request.method.clone(),
    }
}

fn meta_of(request: &HttpRequest) -> Result<LocalMeta, Status> {
    let timeout = metadata::timeout(&request.headers)?;
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Status::deadline());
    }
    let headers: HeaderMap = metadata::of(&request.headers)?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    Ok(LocalMeta { headers, deadline, peer: request.peer.clone() })
}

/// The one message of a request; nothing at all is an empty one.
async fn only(requests: &mut Requests) -> Result<Bytes, Status> {
    let first = requests.next().await;
    let is_here = requests.pass_over_rest().await;
    match first {
        NextMessage::Message(message) if is_here => Ok(message),
        NextMessage::End if is_here => Ok(Bytes::new()),
        NextMessage::Refused(status) => Err(status),
        NextMessage::Message(_) | NextMessage::End | NextMessage::Gone => Err(Status::canceled()),
    }
}

async fn unary(handle: LoopHandle, rpc: &'static Rpc, meta: LocalMeta, mut requests: Requests) -> Response<HttpBody> {
    let message = match only(&mut requests).await {
        Ok(message) => message,
        Err(status) => return reply::refusal(&status),
    };
    match handle.call(rpc.path, meta, message).await {
        Ok(message) => reply::message(message, rpc.response).await,
        Err(status) => reply::refusal(&status),
    }
}

async fn server_stream(
    handle: LoopHandle,
    rpc: &'static Rpc,
    meta: LocalMeta,
    mut requests: Requests,
) -> Response<HttpBody> {
    let message = match only(&mut requests).await {
        Ok(message) => message,
        Err(status) => return reply::refusal(&status),
    };
    match handle.open(rpc.path, meta, Some(message)) {
        Ok(stream) => answer_lines(rpc, Rc::new(RefCell::new(stream)), ready(Ok(())).boxed_local()).await,
        Err(status) => reply::refusal(&status),
    }
}

fn bidi(
    handle: &LoopHandle,
    rpc: &'static Rpc,
    meta: LocalMeta,
    requests: Requests,
) -> LocalBoxFuture<'static, Response<HttpBody>> {
    match handle.open(rpc.path, meta, None) {
        Ok(stream) => {
            let stream = Rc::new(RefCell::new(stream));
            let input = send_all(requests, stream.clone()).boxed_local();
            answer_lines(rpc, stream, input).boxed_local()
        }
        Err(status) => ready(reply::refusal(&status)).boxed_local(),
    }
}

/// Hands the messages of a body to a stream, each when the one before it was taken. What is no message ends them, and nobody is told:
/// so it is in etcd. An error says that the client is gone.
async fn send_all(mut requests: Requests, stream: Rc<RefCell<LocalStream>>) -> Result<(), Gone> {
    loop {
        match requests.next().await {
            NextMessage::Message(message) => {
                stream.borrow().send(message);
                poll_fn(|cx| stream.borrow().poll_taken(cx)).await;
            }
            NextMessage::End | NextMessage::Refused(_) => break,
            NextMessage::Gone => return Err(Gone),
        }
    }
    stream.borrow().half_close();
    // whatever else comes is read, so that the connection is not held up, and means nothing
    if requests.pass_over_rest().await { Ok(()) } else { Err(Gone) }
}

/// The answer to a stream. Its head leaves with the first line, or with the end. `input` goes on beside it.
async fn answer_lines(
    rpc: &'static Rpc,
    stream: Rc<RefCell<LocalStream>>,
    input: LocalBoxFuture<'static, Result<(), Gone>>,
) -> Response<HttpBody> {
    let mut lines = Lines::new(stream, rpc.response);
    let mut input = input.fuse();
    // an error ends the answer too: nobody is there to take it
    let mut go_on = move |cx: &mut Context<'_>| match input.is_terminated() {
        true => Ok(()),
        false => match input.poll_unpin(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => Ok(()),
        },
    };
    let first = poll_fn(|cx| match go_on(cx) {
        Ok(()) => lines.poll_first(cx),
        Err(Gone) => Poll::Ready(Err(Gone)),
    });
    let (status, first) = match first.await {
        Ok(FirstItem::Piece(piece)) => (StatusCode::OK, Ok(piece)),
        Ok(FirstItem::Failed(code, line)) => (reply::http_status(code), Ok(line)),
        Ok(FirstItem::Nothing) => return Response::new(HttpBody::Stream(futures_util::stream::empty().boxed_local())),
        Err(Gone) => (StatusCode::OK, Err(Gone)),
    };
    let rest = stream_of(move |cx| match go_on(cx) {
        Ok(()) => lines.poll_piece(cx),
        Err(Gone) => Poll::Ready(Some(Err(Gone))),
    });
    let all: LocalBoxStream<'static, _> = futures_util::stream::iter([first]).chain(rest).boxed_local();
    reply::lines(status, all)
}
