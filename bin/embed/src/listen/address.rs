//! Where a client URL is bound.
//!
//! Must never ask a name server for a listening address: an IP address or `localhost`, nothing else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use storage::member::{ClientUrl, UrlError, UrlTarget};

/// Where a socket is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// Unix domain socket.
    Unix(PathBuf),
}

/// The address to open: an IP address, `localhost` (IPv4 first), or a unix socket.
///
/// # Errors
/// [`UrlError::NotAnIp`] for a domain name.
pub fn bind_address(url: &ClientUrl) -> Result<Address, UrlError> {
    let (host, port) = match &url.place {
        UrlTarget::Path(path) => return Ok(Address::Unix(path.clone())),
        UrlTarget::Host(host, port) => (host.as_str(), *port),
    };
    if host == "localhost" {
        return Ok(Address::Tcp(localhost(port)));
    }
    let ip: IpAddr = host.parse().map_err(|_| UrlError::NotAnIp(url.text.clone()))?;
    Ok(Address::Tcp(SocketAddr::new(ip, port)))
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
    use storage::member::parse_url;

    fn bound(url: &str) -> Result<Address, UrlError> {
        bind_address(&parse_url(url)?)
    }

    #[test]
    fn urls_of_each_kind() {
        assert_eq!(bound("http://127.0.0.1:2379"), Ok(Address::Tcp("127.0.0.1:2379".parse().unwrap())));
        assert_eq!(bound("https://[::1]:0"), Ok(Address::Tcp("[::1]:0".parse().unwrap())));
        assert_eq!(bound("http://localhost:7"), Ok(Address::Tcp("127.0.0.1:7".parse().unwrap())));
        assert_eq!(bound("unix://localhost:20000"), Ok(Address::Unix("localhost:20000".into())));
        assert_eq!(bound("unixs:///run/a"), Ok(Address::Unix("/run/a".into())));
    }

    #[test]
    fn a_domain_name_is_no_listening_address() {
        for url in ["http://foo.com:1", "http://:1"] {
            assert_eq!(bound(url), Err(UrlError::NotAnIp(url.into())));
        }
    }
}
