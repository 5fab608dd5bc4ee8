//! What is looked at before any page: whom the client thinks it talks to, whether a certificate would mislead it, and how its path is
//! written. Texts, codes and their order are etcd's.
//!
//! Must not know any page.

use super::answer::refusal;
use crate::door::{HttpBody, HttpRequest, Peer};
use crate::throttle::Throttle;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use std::time::Duration;

/// Below it the API is served as JSON.
pub(super) const GATEWAY: &str = "/v3/";
/// Its name in old clients.
const OLD_GATEWAY: &str = "/v3beta/";

/// Requests for hosts that are not listed: one is logged now and then, because a flood of them must not fill a disk.
static REFUSED: Throttle = Throttle::new(Duration::from_secs(5));

/// Calls paths of old clients by their present names.
pub(super) fn rename(uri: &mut Uri) {
    let Some(rest) = uri.path().strip_prefix(OLD_GATEWAY) else { return };
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(renamed) = format!("{GATEWAY}{rest}{query}").parse() {
        *uri = renamed;
    }
}

/// Refuses a request without TLS for a host that is not listed (`--host-whitelist`): a page of somebody else may have led a browser here.
pub(super) fn refuse_host(hosts: &[String], request: &HttpRequest) -> Option<Response<HttpBody>> {
    if request.peer.tls.is_some() || hosts.is_empty() {
        return None;
    }
    let host = name_of(request.host());
    if hosts.iter().any(|allowed| allowed == "*" || allowed == host) {
        return None;
    }
    if let Some(left_out) = REFUSED.admit("host") {
        tracing::warn!(host, left_out, "rejecting HTTP request to prevent DNS rebinding attacks");
    }
    let text = format!(
        "\netcd received your request, but the Host header was unrecognized.\n\n\
         To fix this, choose one of the following options:\n\
         - Enable TLS, then any HTTPS request will be allowed.\n\
         - Add the hostname you want to use to the whitelist in settings.\n  - e.g. etcd --host-whitelist {host:?}\n\n\
         This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n"
    );
    Some(refusal(StatusCode::MISDIRECTED_REQUEST, &text))
}

/// A host without its port; as it stands when it has none, or is no host.
fn name_of(host: &str) -> &str {
    let Some((name, _)) = host.rsplit_once(':') else { return host };
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(inside) => inside,
        None if name.contains([':', '[', ']']) => host,
        None => name,
    }
}

/// Refuses a caller of the gateway whose certificate names a user while users count: the gateway does not look at certificates
/// (CVE-2018-16886), and the caller would take the answers of another user, or of nobody, for his own.
pub(super) fn refuse_common_name(peer: &Peer, path: &str) -> Option<Response<HttpBody>> {
    let name = peer.tls.as_ref()?.common_name()?;
    if name.is_empty() || !path.starts_with(GATEWAY) {
        return None;
    }
    let text = "CommonName of client sending a request against gateway will be ignored and not used as expected";
    Some(refusal(StatusCode::BAD_REQUEST, text))
}

/// Sends a client whose path is not in its plain form there, as Go's server does.
pub(super) fn redirect(request: &HttpRequest, has_gateway: bool) -> Option<Response<HttpBody>> {
    let path = request.uri.path();
    let mut clean = cleaned(path);
    if has_gateway && clean == "/v3" {
        clean.push('/');
    }
    if clean == path || request.method == Method::CONNECT || request.method == Method::OPTIONS && path == "*" {
        return None;
    }
    let query = request.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target = HeaderValue::try_from(format!("{clean}{query}")).ok()?;
    let is_read = request.method == Method::GET;
    let page = format!("<a href=\"{clean}{query}\">Temporary Redirect</a>.\n\n").replace('&', "&amp;");
    let mut response = Response::new(HttpBody::Full(if is_read { page.into() } else { Default::default() }));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, target);
    if is_read || request.method == Method::HEAD {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
    }
    Some(response)
}

/// A path without empty parts, `.` and `..`. A slash at its end stays.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut out = format!("/{}", parts.join("/"));
    if path.ends_with('/') && out.len() > 1 {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_ports() {
        for (host, name) in [
            ("localhost:2379", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:2379", "::1"),
            ("::1", "::1"),
            ("a:b:c", "a:b:c"),
            ("", ""),
        ] {
            assert_eq!(name_of(host), name, "{host}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [
            ("/", "/"),
            ("/v3/kv/range", "/v3/kv/range"),
            ("/v3//kv/range", "/v3/kv/range"),
            ("/v3/./kv/../watch/", "/v3/watch/"),
            ("//", "/"),
            ("/../health", "/health"),
        ] {
            assert_eq!(cleaned(path), clean, "{path}");
        }
    }

    #[test]
    fn old_paths_have_new_names() {
        for (old, new) in [
            ("/v3beta/kv/put?a=b", "/v3/kv/put?a=b"),
            ("http://a:1/v3beta/watch", "/v3/watch"),
            ("/v3alpha/kv/put", "/v3alpha/kv/put"),
            ("/v3beta", "/v3beta"),
        ] {
            let mut uri: Uri = old.parse().expect("a URI");
            rename(&mut uri);
            assert_eq!(uri.to_string(), new);
        }
    }
}
