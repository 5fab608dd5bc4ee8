//! From a request that asks for WebSocket to the answer that grants it, as gorilla's library and grpc-websocket-proxy do it.

use super::connection;
use crate::door::{HttpBody, HttpInput, HttpRequest};
use crate::http::answer::refusal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// The constant of RFC 6455.
const ACCEPT_SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether one of the words of a header is this one.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}

/// Whether a request asks for WebSocket.
pub(in crate::gateway) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_word(headers, header::CONNECTION, "upgrade") && has_word(headers, header::UPGRADE, "websocket")
}

/// Grants a request for WebSocket: what comes over it is the body of a POST to the same path, which `answer` answers.
pub(in crate::gateway) fn upgrade(
    request: HttpRequest,
    answer: impl FnOnce(HttpRequest) -> LocalBoxFuture<'static, Response<HttpBody>> + 'static,
) -> Response<HttpBody> {
    if request.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    }
    let key = request.headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_key = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if !has_word(&request.headers, header::SEC_WEBSOCKET_VERSION, "13") || !is_key {
        return refuse(StatusCode::BAD_REQUEST, "Bad Request");
    }
    let accept = accept_of(key);
    let names_bearer = protocol_of(&request.headers).starts_with(b"Bearer");
    let (pipe, body) = HttpInput::pipe();
    let headers = forwarded(&request.headers);
    let inner = HttpRequest { method: Method::POST, uri: request.uri, headers, body, peer: request.peer };
    let go_on = move |io| connection::serve(io, pipe, answer(inner)).boxed_local();
    let mut response = Response::new(HttpBody::Upgrade(Box::new(go_on)));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if names_bearer {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("Bearer"));
    }
    response
}

fn refuse(status: StatusCode, text: &str) -> Response<HttpBody> {
    let mut response = refusal(status, text);
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn accept_of(key: &[u8]) -> String {
    // SHA-1 because the protocol says so; nothing is kept secret by it
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT_SALT].concat());
    STANDARD.encode(hash)
}

fn protocol_of(headers: &HeaderMap) -> &[u8] {
    headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes).unwrap_or_default()
}

/// Headers of the request inside: where the page came from, and the token. A browser cannot set headers, so a token may come as a
/// protocol (`Bearer, x`) or in a cookie.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for name in [header::ORIGIN, header::REFERER, header::HOST] {
        if let Some(value) = headers.get(&name) {
            out.insert(name, value.clone());
        }
    }
    let protocol = String::from_utf8_lossy(protocol_of(headers));
    let by_protocol = (!protocol.is_empty()).then(|| match protocol.split_once("Bearer,") {
        Some((_, token)) => format!("Bearer {}", token.trim_matches(' ')),
        None => String::new(),
    });
    let token = cookie(headers, "token").map(|token| format!("Bearer {token}")).or(by_protocol);
    if let Some(value) = token.and_then(|token| HeaderValue::try_from(token).ok()) {
        out.insert(header::AUTHORIZATION, value);
    }
    out
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_rfc_shows() {
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_token_comes_as_a_protocol_or_in_a_cookie() {
        let of = |list: &[(HeaderName, &'static str)]| {
            let headers = list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            forwarded(&headers).get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or("?").to_owned())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(header::SEC_WEBSOCKET_PROTOCOL, "Bearer, x.1")]).as_deref(), Some("Bearer x.1"));
        assert_eq!(of(&[(header::SEC_WEBSOCKET_PROTOCOL, "Bearer,x.1")]).as_deref(), Some("Bearer x.1"));
        assert_eq!(of(&[(header::SEC_WEBSOCKET_PROTOCOL, "chat")]).as_deref(), Some(""));
        let cookies = (header::COOKIE, "a=b; token=y.2");
        assert_eq!(of(&[(header::SEC_WEBSOCKET_PROTOCOL, "Bearer, x.1"), cookies]).as_deref(), Some("Bearer y.2"));
    }
}
