//! A request whose body has been read whole: forms and JSON of this API are short.
//!
//! Must never hold more than a gRPC request may have, and counts against the same memory budget while it is read.

use crate::door::{HttpBody, HttpInput, HttpRequest, LoopHandle, Peer, text};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use std::rc::Rc;
use tokio::time::timeout;

/// See the file header.
pub(super) struct WholeRequest {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) peer: Rc<Peer>,
}

/// What the client is told whose body cannot be taken.
type Refusal = Box<Response<HttpBody>>;

impl WholeRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is too long, comes too slowly or breaks off, or too much is being read already.
    pub(super) async fn read(handle: &LoopHandle, request: HttpRequest) -> Result<Self, Refusal> {
        let HttpRequest { method, uri, headers, body, peer } = request;
        let body = collect(handle, body).await?;
        Ok(Self { method, uri, headers, body, peer })
    }
}

async fn collect(handle: &LoopHandle, mut input: HttpInput) -> Result<Bytes, Refusal> {
    let limits = handle.limits();
    let mut room = handle.request_room();
    let refuse = |status: StatusCode, why: &'static str| Box::new(text(status, why));
    let mut body = BytesMut::new();
    loop {
        let piece = match timeout(limits.body_idle, input.piece()).await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => return Err(refuse(StatusCode::BAD_REQUEST, "the body breaks off\n")),
            Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body does not go on\n")),
        };
        let length = body.len() + piece.len();
        if length > limits.max_recv_message {
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"));
        }
        if !room.grow(length) {
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "too many requests are being read, try again\n"));
        }
        body.extend_from_slice(&piece);
    }
}
