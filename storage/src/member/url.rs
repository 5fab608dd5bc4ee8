//! URLs of members by etcd's rules: `http`, `https` with `host:port`, `unix`, `unixs` with a path.
//!
//! Must never ask a name server: it reads texts, nothing else.

use std::path::PathBuf;

/// Why a text is no usable URL. The texts are etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No scheme, or a broken one.
    #[error("parse {0:?}: first path segment in URL cannot contain colon")]
    NoScheme(String),
    /// A scheme nobody speaks.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// No port.
    #[error("URL address does not have the form \"host:port\": {0}")]
    NoPort(String),
    /// Something after the port.
    #[error("URL must not contain a path: {0}")]
    Path(String),
    /// Not a port number.
    #[error("parse {url:?}: invalid port {port:?} after host")]
    Port {
        /// The URL.
        url: String,
        /// The port as given.
        port: String,
    },
    /// A domain name where a socket is to be opened.
    #[error("expected IP in URL for binding ({0})")]
    NotAnIp(String),
    /// No path of a unix socket.
    #[error("URL must name the socket's path: {0}")]
    NoSocketPath(String),
}

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUrl {
    /// The URL as given.
    pub text: String,
    /// `https` or `unixs`.
    pub secure: bool,
    /// Host (may be empty) and port, or a path.
    pub place: UrlTarget,
}

/// Where a URL points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlTarget {
    /// Host without brackets, and port.
    Host(String, u16),
    /// Path of a unix socket; `unix://a:1` names the file `a:1`.
    Path(PathBuf),
}

/// Reads one URL.
///
/// # Errors
/// [`UrlError`] in etcd's words.
pub fn parse_url(text: &str) -> Result<ClientUrl, UrlError> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some(parts) => parts,
        // unix:path is allowed
        None => match text.split_once(':') {
            Some((scheme @ ("unix" | "unixs"), rest)) => (scheme, rest),
            Some((scheme, _)) if scheme.contains('.') || scheme.is_empty() => {
                return Err(UrlError::NoScheme(text.into()));
            }
            _ => return Err(UrlError::Scheme(text.into())),
        },
    };
    let secure = matches!(scheme, "https" | "unixs");
    let place = match scheme {
        "unix" | "unixs" if rest.is_empty() => return Err(UrlError::NoSocketPath(text.into())),
        "unix" | "unixs" => UrlTarget::Path(rest.into()),
        "http" | "https" => host_port(text, rest)?,
        _ => return Err(UrlError::Scheme(text.into())),
    };
    Ok(ClientUrl { text: text.into(), secure, place })
}

fn host_port(text: &str, rest: &str) -> Result<UrlTarget, UrlError> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = match authority.rfind(']') {
        Some(end) if authority.starts_with('[') => (&authority[1..end], authority[end + 1..].strip_prefix(':')),
        _ => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|p| !p.is_empty()).ok_or_else(|| UrlError::NoPort(text.into()))?;
    let number = port.parse().map_err(|_| UrlError::Port { url: text.into(), port: format!(":{port}") })?;
    if !path.is_empty() {
        return Err(UrlError::Path(text.into()));
    }
    Ok(UrlTarget::Host(host.to_owned(), number))
}

impl ClientUrl {
    /// The host of a network URL: what a certificate for it must name.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            UrlTarget::Host(host, _) => Some(host),
            UrlTarget::Path(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_words_for_what_is_wrong() {
        let cases = [
            ("127.0.0.1:1", "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon"),
            ("foo://127.0.0.1:1", "URL scheme must be http, https, unix, or unixs: foo://127.0.0.1:1"),
            ("localhost:1", "URL scheme must be http, https, unix, or unixs: localhost:1"),
            ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
            ("http://127.0.0.1:1/path", "URL must not contain a path: http://127.0.0.1:1/path"),
            ("http://127.0.0.1:x", "parse \"http://127.0.0.1:x\": invalid port \":x\" after host"),
        ];
        for (url, words) in cases {
            assert_eq!(parse_url(url).unwrap_err().to_string(), words, "{url}");
        }
        assert!(parse_url("unixs:/run/a").unwrap().secure);
    }
}
