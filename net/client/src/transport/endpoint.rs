//! What an endpoint means: an address, a name for certificates, and whether TLS is spoken.

use std::path::PathBuf;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What the scheme says about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// `https`, `unixs`: always.
    Required,
    /// `http`: never.
    Dropped,
    /// No scheme: when a certificate or a CA is given.
    Optional,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Name its certificate must have.
    pub host: String,
    /// Its scheme's word about TLS.
    pub security: Security,
}

/// Reads an endpoint: `host:port`, `http(s)://host:port`, `unix(s)://path`. Whatever does not fit fails when it is dialled.
pub fn read(text: &str) -> Endpoint {
    if let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| matches!(*scheme, "unix" | "unixs")) {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let host = host_of(path.rsplit('/').next().unwrap_or(path)).to_owned();
        let security = if scheme == "unixs" { Security::Required } else { Security::Optional };
        return Endpoint { address: Address::Unix(path.into()), host, security };
    }
    let (security, host_port) = match text.split_once("://") {
        Some(("https", rest)) => (Security::Required, authority_of(rest)),
        Some(("http", rest)) => (Security::Dropped, authority_of(rest)),
        // another scheme is no address: dialling it says so
        Some(_) | None => (Security::Optional, text),
    };
    Endpoint { address: Address::Tcp(host_port.to_owned()), host: host_of(host_port).to_owned(), security }
}

/// Host and port of a URL. A user and password in it are dropped: they must not reach a resolver or a log.
fn authority_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host_port)| host_port)
}

/// Why text is no `host:port`, in Go's words.
///
/// # Errors
/// A port that is missing, or colons that leave open where the host ends.
pub fn check_host_port(text: &str) -> Result<(), &'static str> {
    const MISSING: &str = "missing port in address";
    const COLONS: &str = "too many colons in address";
    if let Some(bracketed) = text.strip_prefix('[') {
        let (_, behind) = bracketed.split_once(']').ok_or("missing ']' in address")?;
        return match behind.strip_prefix(':') {
            Some(port) if !port.contains(':') => Ok(()),
            Some(_) => Err(COLONS),
            None => Err(MISSING),
        };
    }
    match text.split(':').count() {
        1 => Err(MISSING),
        2 => Ok(()),
        _ => Err(COLONS),
    }
}

/// The host without its port and brackets.
fn host_of(host_port: &str) -> &str {
    let host = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => host_port,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What `:authority` says for an endpoint: host and port, or the name of a socket.
pub fn authority(text: &str) -> String {
    let endpoint = read(text);
    match endpoint.address {
        Address::Tcp(address) => address,
        Address::Unix(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_password_in_a_url_are_dropped() {
        for text in ["http://user:pw@h:1", "http://us@er:p@w@h:1/x?y"] {
            let endpoint = read(text);
            assert_eq!((endpoint.address, endpoint.host), (Address::Tcp("h:1".into()), "h".to_owned()), "{text}");
            assert_eq!(authority(text), "h:1");
        }
        assert_eq!(check_host_port("user:pw@h:1"), Err("too many colons in address"), "nobody looks it up");
    }

    #[test]
    fn an_address_is_checked_before_a_name_is_looked_up() {
        for good in ["h:1", ":1", "[::1]:1", "h:"] {
            assert_eq!(check_host_port(good), Ok(()), "{good}");
        }
        assert_eq!(check_host_port("h"), Err("missing port in address"));
        assert_eq!(check_host_port("[::1]"), Err("missing port in address"));
        assert_eq!(check_host_port("::1"), Err("too many colons in address"));
        assert_eq!(check_host_port("[::1"), Err("missing ']' in address"));
    }

    #[test]
    fn schemes() {
        let tcp = |text: &str| Address::Tcp(text.into());
        assert_eq!(read("127.0.0.1:2379").address, tcp("127.0.0.1:2379"));
        assert_eq!(read("127.0.0.1:2379").security, Security::Optional);
        assert_eq!(read("https://a.b:1/x").address, tcp("a.b:1"));
        assert_eq!(read("https://a.b:1/x").host, "a.b");
        assert_eq!(read("https://[::1]:1").host, "::1");
        assert_eq!(read("http://h:1").security, Security::Dropped);
        assert_eq!(read("unix:///run/x").address, Address::Unix("/run/x".into()));
        assert_eq!(read("unix://localhost:m1").address, Address::Unix("localhost:m1".into()));
        assert_eq!(read("unixs:local").security, Security::Required);
        assert_eq!(read("unixs:localhost:1").host, "localhost");
        assert_eq!(authority("https://a:1"), "a:1");
        assert_eq!(read("ftp://h:1").address, tcp("ftp://h:1"));
        assert_eq!(check_host_port("ftp://h:1"), Err("too many colons in address"));
        assert_eq!(authority("unix:///run/x/localhost:1"), "localhost:1");
    }
}
