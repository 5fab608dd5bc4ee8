//! Peer URLs, and names resolved at every dial: a member that moved keeps its name.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A peer URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl {
    /// It says `https`.
    pub secure: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
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
    /// Sockets of the file system carry no datagrams.
    #[error("peers cannot be reached over a unix socket: {0}")]
    Unix(String),
}

impl FromStr for PeerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let secure = match scheme {
            "http" => false,
            "https" => true,
            "unix" | "unixs" => return Err(UrlError::Unix(text.to_owned())),
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
        Ok(Self { secure, host: host.to_owned(), port })
    }
}

impl std::fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl PeerUrl {
    /// Host and port, as in the URL.
    pub fn authority(&self) -> String {
        let brackets = self.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }

    /// Its addresses now: the one that worked last first, then those of version 4.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub async fn resolve(&self, worked: Option<SocketAddr>) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut found: Vec<SocketAddr> = found.collect();
        found.sort_by_key(|address| (Some(*address) != worked, address.is_ipv6()));
        found.dedup();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_etcd_reads_them() {
        let url = |secure, host: &str, port| Ok(PeerUrl { secure, host: host.into(), port });
        assert_eq!("http://127.0.0.1:2380".parse(), url(false, "127.0.0.1", 2380));
        assert_eq!("https://infra0.example.com:2380/".parse(), url(true, "infra0.example.com", 2380));
        assert_eq!("http://[::1]:2380".parse(), url(false, "::1", 2380));
        for shown in ["http://[::1]:2380", "https://a.b:1"] {
            assert_eq!(shown.parse::<PeerUrl>().map(|url| url.to_string()), Ok(shown.to_owned()));
        }
        for bad in
            ["127.0.0.1:2380", "ftp://a:1", "http://a", "http://:1", "http://a:b", "http://a:1/x", "http://::1:5"]
        {
            assert!(bad.parse::<PeerUrl>().is_err(), "{bad}");
        }
    }
}
