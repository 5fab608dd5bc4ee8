//! Paths of requests as Go's server takes them: decoded, and redirected when they are not clean.
//!
//! Must never give a path on that could lead out of the part of the tree that the API shows.

use super::super::answer::refusal;
use super::answers::Refusal;
use crate::door::{HttpBody, text};
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};

/// Decodes `%` escapes, and with `plus` also spaces that are written as `+`.
///
/// # Errors
/// Go's text about an escape that is none.
pub(super) fn unescape(text: &[u8], plus: bool) -> Result<Vec<u8>, String> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16)).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let (Some(high), Some(low)) = (digit(behind.first()), digit(behind.get(1))) else {
                    let shown = [b"%", &behind[..behind.len().min(2)]].concat();
                    return Err(format!("invalid URL escape \"{}\"", String::from_utf8_lossy(&shown)));
                };
                out.push(high << 4 | low);
                rest = &behind[2..];
            }
            byte => out.push(byte),
        }
    }
    Ok(out)
}

/// The path of a request.
///
/// # Errors
/// The answer to one that cannot be read, or that has to be asked for under another name.
pub(super) fn path(method: &Method, uri: &Uri) -> Result<Vec<u8>, Refusal> {
    let path = unescape(uri.path().as_bytes(), false)
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, "400 Bad Request: invalid path"))?;
    let clean = clean(&path);
    if clean == path { Ok(path) } else { Err(redirect(method, &clean, uri.query()).into()) }
}

/// What stands behind a prefix, which must be followed by a slash or by nothing.
pub(super) fn below<'p>(path: &'p [u8], prefix: &str) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(prefix.as_bytes())?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// The shortest path that means the same; a slash at its end stays.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out: Vec<u8> = parts.iter().flat_map(|part| [b"/", *part].concat()).collect();
    if out.is_empty() || path.ends_with(b"/") {
        out.push(b'/');
    }
    out
}

fn redirect(method: &Method, path: &[u8], query: Option<&str>) -> Response<HttpBody> {
    let mut target = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => target.push(byte as char),
            b'-' | b'_' | b'.' | b'~' | b'/' | b'$' | b'&' | b'+' | b',' | b':' | b';' | b'=' | b'@' => {
                target.push(byte as char);
            }
            byte => target.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    // for a person who looks at it
    let page = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", target.replace('&', "&amp;"));
    let body = if *method == Method::GET { page } else { String::new() };
    let mut response = text(StatusCode::MOVED_PERMANENTLY, body);
    match *method {
        Method::GET | Method::HEAD => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
        }
        _ => drop(response.headers_mut().remove(header::CONTENT_TYPE)),
    }
    // everything else was escaped, and the query came as part of a URI
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_or_refused_in_gos_words() {
        assert_eq!(unescape(b"a%20b+c", true).unwrap(), b"a b c");
        assert_eq!(unescape(b"a%2Fb+c", false).unwrap(), b"a/b+c");
        assert_eq!(unescape(b"a%zz1", true).unwrap_err(), "invalid URL escape \"%zz\"");
        assert_eq!(unescape(b"a%4", true).unwrap_err(), "invalid URL escape \"%4\"");
    }

    #[test]
    fn what_is_not_clean_is_redirected() {
        let location = |uri: &'static str| {
            let response = path(&Method::PUT, &Uri::from_static(uri)).unwrap_err();
            assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
            response.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        assert_eq!(location("/v2/keys//a?x=1"), "/v2/keys/a?x=1");
        assert_eq!(location("/v2/keys/%2e%2e/%2e%2e/0"), "/0");
        assert_eq!(location("/v2/keys/a%20/./b/"), "/v2/keys/a%20/b/");
        let clean = path(&Method::GET, &Uri::from_static("/v2/keys/a%20b/"));
        assert_eq!(clean.ok().as_deref(), Some(&b"/v2/keys/a b/"[..]));
    }

    #[test]
    fn prefixes_end_at_slashes() {
        assert_eq!(below(b"/v2/keys", "/v2/keys"), Some(&b""[..]));
        assert_eq!(below(b"/v2/keys/a", "/v2/keys"), Some(&b"/a"[..]));
        assert_eq!(below(b"/v2/keysa", "/v2/keys"), None);
    }
}
