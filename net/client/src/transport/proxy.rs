//! A connection through the HTTP proxy that the environment names, as gRPC clients make it.
//!
//! `HTTPS_PROXY` (or `https_proxy`) names the proxy whatever the endpoint's scheme is, and `NO_PROXY` the hosts that are
//! reached without it; loopback addresses always are. Source: grpc-go and Go's `httpproxy`. Must never look a name up that
//! the proxy is to look up.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest answer to a CONNECT that is read.
const LONGEST_ANSWER: usize = 16 << 10;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Host and port.
    pub address: String,
    /// Value of the `Proxy-Authorization` header.
    authorization: Option<String>,
}

/// The proxy for an address (`host:port`), `None` when it is reached without one.
///
/// # Errors
/// A proxy that cannot be used.
pub fn for_address(address: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let of = |upper: &str, lower: &str| variable(upper).or_else(|| variable(lower)).unwrap_or_default();
    let url = of("HTTPS_PROXY", "https_proxy");
    if url.is_empty() || is_excluded(address, &of("NO_PROXY", "no_proxy")) {
        return Ok(None);
    }
    parse(&url).map(Some)
}

/// Reads `[http://][user[:password]@]host[:port]`.
fn parse(url: &str) -> Result<Proxy, String> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => return Err(format!("the proxy in HTTPS_PROXY speaks {scheme:?}; only http is supported")),
        None => url,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let authorization = user.map(|user| {
        let mut both: Vec<u8> = percent_decode_str(user).collect();
        if !user.contains(':') {
            both.push(b':');
        }
        format!("Basic {}", BASE64_STANDARD.encode(both))
    });
    Ok(Proxy { address, authorization })
}

/// Whether an address is reached without the proxy.
fn is_excluded(address: &str, exceptions: &str) -> bool {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    let listed = exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase());
    listed.filter(|entry| !entry.is_empty()).any(|entry| excludes(&entry, &host, ip, port))
}

fn excludes(entry: &str, host: &str, ip: Option<IpAddr>, port: &str) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = entry.split_once('/') {
        let network = network.parse().ok().zip(length.parse().ok());
        return ip.zip(network).is_some_and(|(ip, (network, length))| is_in(ip, network, length));
    }
    if let Ok(listed) = entry.parse::<IpAddr>() {
        return ip == Some(listed);
    }
    let (name, only_port) = match entry.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
        _ => (entry, None),
    };
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    match name.strip_prefix('.') {
        // only what lies below the domain
        Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|below| below.ends_with('.')),
    }
}

fn is_in(ip: IpAddr, network: IpAddr, length: u32) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => (u128::from(u32::from(ip)), u128::from(u32::from(network)), 32),
        (IpAddr::V6(ip), IpAddr::V6(network)) => (u128::from(ip), u128::from(network), 128),
        _ => return false,
    };
    length <= width && (length == 0 || ip >> (width - length) == network >> (width - length))
}

/// Asks the proxy behind `socket` for a connection to `address`.
///
/// # Errors
/// What the proxy answered instead.
pub async fn connect<S>(socket: &mut S, proxy: &Proxy, address: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let authorization = proxy.authorization.iter().map(|value| format!("Proxy-Authorization: {value}\r\n"));
    let authorization: String = authorization.collect();
    let request =
        format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: conclave\r\n{authorization}\r\n");
    let failed =
        |why: std::io::Error| format!("failed to do connect handshake with the proxy {}: {why}", proxy.address);
    socket.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    // byte by byte: what follows the answer belongs to the server
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < LONGEST_ANSWER {
        answer.push(socket.read_u8().await.map_err(failed)?);
    }
    let first = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let accepted = first.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    match accepted && first.starts_with("HTTP/1.") {
        true => Ok(()),
        false => Err(format!("failed to do connect handshake, response: {first:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str, exceptions: &str) -> bool {
        let variable = |name: &str| match name {
            "https_proxy" => Some("http://proxy:3128".to_owned()),
            "NO_PROXY" => Some(exceptions.to_owned()),
            _ => None,
        };
        for_address(address, variable).unwrap().is_some()
    }

    #[test]
    fn the_proxy_is_used_for_every_host_that_is_not_excluded() {
        assert!(found("10.1.2.3:2379", "") && found("a.example.com:2379", "b.example.com,10.0.0.0/8"));
        for (address, exceptions) in [
            ("localhost:2379", ""),
            ("127.0.0.1:2379", ""),
            ("[::1]:2379", ""),
            ("10.1.2.3:2379", "192.168.0.0/16, 10.0.0.0/8"),
            ("10.1.2.3:2379", "10.1.2.3"),
            ("a.example.com:2379", "example.com"),
            ("a.example.com:2379", ".example.com"),
            ("A.Example.com:2379", "*.example.com"),
            ("a.example.com:2379", "a.example.com:2379"),
            ("a.example.com:2379", "*"),
        ] {
            assert!(!found(address, exceptions), "{address} is excluded by {exceptions:?}");
        }
        assert!(found("example.com:2379", ".example.com") && found("a.example.com:1", "a.example.com:2379"));
        assert!(found("notexample.com:1", "example.com"));
    }

    #[test]
    fn a_proxy_may_have_a_user_and_needs_no_port() {
        let proxy = parse("http://us%40er:pass@proxy.example.com/").unwrap();
        assert_eq!(proxy.address, "proxy.example.com:80");
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNAZXI6cGFzcw=="));
        assert_eq!(parse("[::1]:3128").unwrap(), Proxy { address: "[::1]:3128".into(), authorization: None });
        assert!(parse("socks5://proxy:1080").unwrap_err().contains("only http is supported"));
    }

    #[tokio::test]
    async fn the_tunnel_begins_behind_the_answer() {
        let (mut near, mut far) = tokio::io::duplex(1 << 12);
        let proxy = Proxy { address: "p:1".into(), authorization: None };
        far.write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nserver").await.unwrap();
        connect(&mut near, &proxy, "10.1.2.3:2379").await.unwrap();
        let mut rest = [0; 6];
        near.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"server");
        let mut asked = vec![0; 29];
        far.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, b"CONNECT 10.1.2.3:2379 HTTP/1.");
        far.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        let refused = connect(&mut near, &proxy, "10.1.2.3:2379").await.unwrap_err();
        assert!(refused.contains("407"), "{refused}");
    }
}
