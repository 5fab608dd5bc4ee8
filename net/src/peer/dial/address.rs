//! Peer URLs, and names resolved at every dial: a member that moved keeps its name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// A peer URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl {
    /// It says `https` or `unixs`.
    pub secure: bool,
    /// Where it points.
    pub place: Place,
}

/// Where a peer URL points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Name or address, without brackets, and port.
    Host(String, u16),
    /// Path of a unix socket; `unix://a:1` names the file `a:1`.
    Path(PathBuf),
}

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// UDP or TCP.
    Net(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is no peer URL. The texts are etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// No host and port.
    #[error("URL address does not have the form \"host:port\": {0}")]
    Form(String),
    /// More than an address.
    #[error("URL must not contain a path: {0}")]
    Path(String),
    /// No path of a unix socket.
    #[error("URL must name the socket's path: {0}")]
    NoSocketPath(String),
}

impl FromStr for PeerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = match text.split_once(':') {
            // unix:path is allowed
            Some((scheme @ ("unix" | "unixs"), rest)) => (scheme, rest.strip_prefix("//").unwrap_or(rest)),
            _ => text.split_once("://").ok_or_else(|| UrlError::Scheme(text.to_owned()))?,
        };
        let secure = match scheme {
            "http" => false,
            "https" => true,
            "unix" | "unixs" if rest.is_empty() => return Err(UrlError::NoSocketPath(text.to_owned())),
            "unix" | "unixs" => return Ok(Self { secure: scheme == "unixs", place: Place::Path(rest.into()) }),
            _ => return Err(UrlError::Scheme(text.to_owned())),
        };
        let form = || UrlError::Form(text.to_owned());
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('/') {
            return Err(UrlError::Path(text.to_owned()));
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(form)?;
        let port = port.parse().map_err(|_| form())?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(form()),
            None if host.contains(':') => return Err(form()),
            None => host,
        };
        if host.is_empty() {
            return Err(form());
        }
        Ok(Self { secure, place: Place::Host(host.to_owned(), port) })
    }
}

impl std::fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match (&self.place, self.secure) {
            (Place::Host(..), false) => "http",
            (Place::Host(..), true) => "https",
            (Place::Path(_), false) => "unix",
            (Place::Path(_), true) => "unixs",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl PeerUrl {
    /// Host and port as in the URL, or the path.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Host(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Host(host, port) => format!("{host}:{port}"),
            Place::Path(path) => path.display().to_string(),
        }
    }

    /// What a certificate there must name: of a path what stands in it before a port, or `localhost`.
    pub fn host(&self) -> &str {
        const HERE: &str = "localhost";
        match &self.place {
            Place::Host(host, _) => host,
            Place::Path(path) => path
                .to_str()
                .and_then(|path| path.split_once(':'))
                .map_or(HERE, |(host, _)| if host.is_empty() || host.contains('/') { HERE } else { host }),
        }
    }

    /// Whether only a unix socket leads there.
    pub fn is_path(&self) -> bool {
        matches!(self.place, Place::Path(_))
    }

    /// What to dial now: the address that worked last first, then those of version 4.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub async fn resolve(&self, worked: Option<SocketAddr>) -> std::io::Result<Vec<Target>> {
        let (host, port) = match &self.place {
            Place::Path(path) => return Ok(vec![Target::Unix(path.clone())]),
            Place::Host(host, port) => (host.as_str(), *port),
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![Target::Net(SocketAddr::new(address, port))]);
        }
        let found = tokio::net::lookup_host((host, port)).await?;
        let mut found: Vec<SocketAddr> = found.collect();
        found.sort_by_key(|address| (Some(*address) != worked, address.is_ipv6()));
        found.dedup();
        Ok(found.into_iter().map(Target::Net).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_etcd_reads_them() {
        let url = |secure, host: &str, port| Ok(PeerUrl { secure, place: Place::Host(host.into(), port) });
        assert_eq!("http://127.0.0.1:2380".parse(), url(false, "127.0.0.1", 2380));
        assert_eq!("https://infra0.example.com:2380/".parse(), url(true, "infra0.example.com", 2380));
        assert_eq!("http://[::1]:2380".parse(), url(false, "::1", 2380));
        let path = |secure, path: &str| Ok(PeerUrl { secure, place: Place::Path(path.into()) });
        assert_eq!("unix://etcd.unix:1".parse(), path(false, "etcd.unix:1"));
        assert_eq!("unixs:/run/peer".parse(), path(true, "/run/peer"));
        for (url, host) in [("unixs://m0:1", "m0"), ("unixs:///run/peer", "localhost"), ("https://a.b:1", "a.b")] {
            assert_eq!(url.parse::<PeerUrl>().expect("a URL").host(), host);
        }
        for shown in ["http://[::1]:2380", "https://a.b:1", "unix://etcd.unix:1", "unixs:///run/peer"] {
            assert_eq!(shown.parse::<PeerUrl>().map(|url| url.to_string()), Ok(shown.to_owned()));
        }
        for bad in [
            "127.0.0.1:2380",
            "unix://",
            "ftp://a:1",
            "http://a",
            "http://:1",
            "http://a:b",
            "http://a:1/x",
            "http://::1:5",
        ] {
            assert!(bad.parse::<PeerUrl>().is_err(), "{bad}");
        }
    }
}
