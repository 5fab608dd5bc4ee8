//! Answers of the gateway: a message as JSON, a stream of lines, a refusal with the HTTP status of its code.
//!
//! Forms are grpc-gateway's.

use super::json::{Encoder, Escapes, Malformed, push_string};
use crate::door::{Code, Gone, HttpBody, LocalMessage, Status};
use api::schema::Message;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{LocalBoxStream, unfold};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What an answer's gRPC headers were: their one entry.
const GRPC_CONTENT_TYPE: HeaderName = HeaderName::from_static("grpc-metadata-content-type");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The HTTP status of a code.
pub(super) fn http_status(code: Code) -> StatusCode {
    let number = match code {
        Code::Ok => 200,
        Code::Canceled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::Unauthenticated => 401,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    // all of them are valid
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A status as JSON. Its message is escaped for markup where it stands inside a line.
pub(super) fn status_json(status: &Status, html: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + status.message.len());
    out.extend_from_slice(format!("{{\"code\":{}", status.code as u8).as_bytes());
    if !status.message.is_empty() {
        out.extend_from_slice(b",\"message\":");
        push_string(&mut out, &status.message, html);
    }
    out.push(b'}');
    out
}

/// A refusal.
pub(super) fn refusal(status: &Status) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Full(status_json(status, false).into()));
    *response.status_mut() = http_status(status.code);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if status.code == Code::Unauthenticated
        && let Ok(why) = HeaderValue::from_str(&status.message)
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, why);
    }
    response
}

/// Lines as they come.
pub(super) fn lines(status: StatusCode, lines: LocalBoxStream<'static, Result<Bytes, Gone>>) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Stream(lines));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if status == StatusCode::OK {
        response.headers_mut().insert(GRPC_CONTENT_TYPE, GRPC);
    }
    response
}

/// Messages up to this many bytes are answered in one piece.
const AT_ONCE: usize = 64 << 10;

/// A message as JSON, made while it is taken.
pub(super) async fn message(mut message: LocalMessage, of: &'static Message) -> Response<HttpBody> {
    let mut out = Vec::with_capacity((message.total_len() * 4 / 3 + 128).min(2 * AT_ONCE));
    let mut encoder = Encoder::new(of, Escapes::Json, &mut out);
    loop {
        // what cannot be read from the start is refused as long as nothing has left
        match message.chunk().await {
            Some(Ok(chunk)) => {
                if encoder.push(&chunk, &mut out).is_err() {
                    return refusal(&unreadable(of));
                }
            }
            Some(Err(status)) => return refusal(&status),
            None => {
                return match encoder.finish(&mut out) {
                    Ok(()) => whole(HttpBody::Full(out.into())),
                    Err(Malformed) => refusal(&unreadable(of)),
                };
            }
        }
        if out.len() >= AT_ONCE {
            break;
        }
    }
    let first = futures_util::stream::iter([Ok(Bytes::from(out))]);
    let rest = unfold(Some((message, encoder)), async |going| {
        let (mut message, mut encoder) = going?;
        let mut out = Vec::with_capacity(2 * AT_ONCE);
        match message.chunk().await {
            Some(Ok(chunk)) => match encoder.push(&chunk, &mut out) {
                Ok(()) => Some((Ok(Bytes::from(out)), Some((message, encoder)))),
                Err(Malformed) => Some((Err(Gone), None)),
            },
            Some(Err(_)) => Some((Err(Gone), None)),
            None => match encoder.finish(&mut out) {
                Ok(()) => Some((Ok(Bytes::from(out)), None)),
                Err(Malformed) => Some((Err(Gone), None)),
            },
        }
    });
    // a chunk may come to nothing yet, and an empty piece would end the body
    let all = first.chain(rest).filter(|piece| std::future::ready(!matches!(piece, Ok(piece) if piece.is_empty())));
    whole(HttpBody::Stream(all.boxed_local()))
}

fn whole(body: HttpBody) -> Response<HttpBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(GRPC_CONTENT_TYPE, GRPC);
    response
}

/// A service answered with something else than its message.
fn unreadable(of: &Message) -> Status {
    tracing::error!(message = of.name, "an answer of a service is not the message of its method");
    Status::new(Code::Internal, "the answer is not the message of its method")
}
