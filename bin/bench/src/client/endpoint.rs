//! Addresses as etcd's tools take them: `host:port`, `http://…`, `https://…`, `unix://…`.
//!
//! Must not resolve names.

use std::fmt;
use std::path::PathBuf;

/// Where a member listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`, or the path of a socket.
    pub address: Address,
    /// Asked for by the scheme.
    pub tls: bool,
}

/// The two kinds of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Not an address.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an endpoint; write host:port, http://host:port, https://host:port or unix://path")]
pub struct BadEndpoint(String);

impl Endpoint {
    /// Reads one endpoint.
    ///
    /// # Errors
    /// Anything that is not one of the four forms.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let text = text.trim();
        let bad = || BadEndpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            let address = Address::Unix(path.into());
            return (!path.is_empty()).then_some(Self { address, tls: false }).ok_or_else(bad);
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(bad()),
            None => (false, text),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() || port.parse::<u16>().is_err() || rest.contains('/') {
            return Err(bad());
        }
        Ok(Self { address: Address::Tcp(rest.to_owned()), tls })
    }

    /// Reads endpoints separated by commas.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); an empty list is an error too.
    pub fn list(text: &str) -> Result<Vec<Self>, BadEndpoint> {
        text.split(',').map(Self::parse).collect()
    }

    /// The host without its port, for the certificate.
    pub(super) fn host(&self) -> &str {
        match &self.address {
            Address::Tcp(address) => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                host.trim_start_matches('[').trim_end_matches(']')
            }
            Address::Unix(_) => "localhost",
        }
    }

    /// `:authority` of requests.
    pub(super) fn authority(&self) -> &str {
        match &self.address {
            Address::Tcp(address) => address,
            Address::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms() {
        let all = Endpoint::list("127.0.0.1:1,http://a:2,https://[::1]:3/,unix:///x/y").unwrap();
        let words: Vec<String> = all.iter().map(|e| format!("{e} {} {}", e.tls, e.host())).collect();
        assert_eq!(
            words,
            ["127.0.0.1:1 false 127.0.0.1", "a:2 false a", "[::1]:3 true ::1", "unix:///x/y false localhost"]
        );
        for bad in ["", "a", "ftp://a:1", ":2379", "a:b", "http://a:1/v3", "a:1,"] {
            assert!(Endpoint::list(bad).is_err(), "{bad}");
        }
    }
}
