//! Client URLs by etcd's rules: `http`, `https` with `host:port`, `unix`, `unixs` with a path.
//!
//! Must never ask a name server for a listening address: an IP address or `localhost`, nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
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

/// Where a socket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix domain socket.
    Unix(PathBuf),
}

/// A URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUrl {
    /// The URL as given.
    pub text: String,
    /// `https` or `unixs`.
    pub secure: bool,
    /// Host (may be empty) and port, or a path.
    pub place: Place,
}

/// Where a URL points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
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
        "unix" | "unixs" => Place::Path(rest.into()),
        "http" | "https" => host_port(text, rest)?,
        _ => return Err(UrlError::Scheme(text.into())),
    };
    Ok(ClientUrl { text: text.into(), secure, place })
}

fn host_port(text: &str, rest: &str) -> Result<Place, UrlError> {
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
    Ok(Place::Host(host.to_owned(), number))
}

impl ClientUrl {
    /// The address to open: an IP address, `localhost` (IPv4 first), or a unix socket.
    ///
    /// # Errors
    /// [`UrlError::NotAnIp`] for a domain name.
    pub fn bind_address(&self) -> Result<Address, UrlError> {
        let (host, port) = match &self.place {
            Place::Path(path) => return Ok(Address::Unix(path.clone())),
            Place::Host(host, port) => (host.as_str(), *port),
        };
        if host == "localhost" {
            return Ok(Address::Tcp(localhost(port)));
        }
        let ip: IpAddr = host.parse().map_err(|_| UrlError::NotAnIp(self.text.clone()))?;
        Ok(Address::Tcp(SocketAddr::new(ip, port)))
    }

    /// The host of a network URL: what a certificate for it must name.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Host(host, _) => Some(host),
            Place::Path(_) => None,
        }
    }
}

/// The first IPv4 address of `localhost`, as the hosts file has it.
fn localhost(port: u16) -> SocketAddr {
    let fallback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let Ok(found) = ("localhost", port).to_socket_addrs() else { return fallback };
    let found: Vec<_> = found.collect();
    found.iter().find(|a| a.is_ipv4()).or(found.first()).copied().unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(url: &str) -> Result<Address, UrlError> {
        parse_url(url)?.bind_address()
    }

    #[test]
    fn urls_of_each_kind() {
        assert_eq!(bound("http://127.0.0.1:2379"), Ok(Address::Tcp("127.0.0.1:2379".parse().unwrap())));
        assert_eq!(bound("https://[::1]:0"), Ok(Address::Tcp("[::1]:0".parse().unwrap())));
        assert_eq!(bound("http://localhost:7"), Ok(Address::Tcp("127.0.0.1:7".parse().unwrap())));
        assert_eq!(bound("unix://localhost:20000"), Ok(Address::Unix("localhost:20000".into())));
        assert_eq!(bound("unixs:///run/a"), Ok(Address::Unix("/run/a".into())));
        assert!(parse_url("unixs:/run/a").unwrap().secure);
    }

    #[test]
    fn etcds_words_for_what_is_wrong() {
        let cases = [
            ("127.0.0.1:1", "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon"),
            ("foo://127.0.0.1:1", "URL scheme must be http, https, unix, or unixs: foo://127.0.0.1:1"),
            ("localhost:1", "URL scheme must be http, https, unix, or unixs: localhost:1"),
            ("http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"),
            ("http://127.0.0.1:1/path", "URL must not contain a path: http://127.0.0.1:1/path"),
            ("http://127.0.0.1:x", "parse \"http://127.0.0.1:x\": invalid port \":x\" after host"),
            ("http://foo.com:1", "expected IP in URL for binding (http://foo.com:1)"),
            ("http://:1", "expected IP in URL for binding (http://:1)"),
        ];
        for (url, words) in cases {
            assert_eq!(bound(url).unwrap_err().to_string(), words, "{url}");
        }
    }
}
