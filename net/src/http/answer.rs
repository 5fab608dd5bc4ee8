//! Answers as Go's HTTP server gives them: content types, refusals, compression. Must not know any path.

use crate::door::{HttpBody, text};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::io::Write as _;

/// A refusal: plain text that ends in a newline, and that no browser guesses at.
pub(crate) fn refusal(status: StatusCode, body: &str) -> Response<HttpBody> {
    let mut response = text(status, format!("{body}\n"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Nothing is served under that path.
pub(super) fn not_found() -> Response<HttpBody> {
    refusal(StatusCode::NOT_FOUND, "404 page not found")
}

/// Only GET is served.
pub(super) fn only_get() -> Response<HttpBody> {
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// A string of JSON, with its quotes, as Go writes it.
pub(crate) fn json_string(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A page in gzip where the client takes that, as it is otherwise.
pub(super) fn page(body: String, request: &HeaderMap) -> Response<HttpBody> {
    let zipped = takes_gzip(request).then(|| gzip(body.as_bytes())).flatten();
    let Some(zipped) = zipped else { return text(StatusCode::OK, body) };
    let mut response = text(StatusCode::OK, zipped);
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    // writing into memory does not fail; if it did, the page would leave as it is
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// True when one of the encodings in `Accept-Encoding` is gzip, and not with a weight of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| {
        let mut part = part.split(';').map(str::trim);
        let is_gzip = part.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = part.find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok());
        is_gzip && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> bool {
        takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
    }

    #[test]
    fn gzip_is_given_to_those_who_ask() {
        for yes in ["gzip", "deflate, gzip", "GZIP;q=0.5", "zstd;q=1, gzip;q=0.1"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "deflate", "gzip;q=0", "gzipped", "identity"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn strings_are_gos_json() {
        assert_eq!(json_string("a\"b\\c\nd<e>\u{1}"), r#""a\"b\\c\nd\u003ce\u003e\u0001""#);
    }
}
