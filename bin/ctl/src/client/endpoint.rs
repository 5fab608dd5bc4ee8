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
        let host = path.rsplit('/').next().unwrap_or(path).to_owned();
        let security = if scheme == "unixs" { Security::Required } else { Security::Optional };
        return Endpoint { address: Address::Unix(path.into()), host, security };
    }
    let (security, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Security::Required, rest),
        Some(("http", rest)) => (Security::Dropped, rest),
        Some((_, rest)) => (Security::Optional, rest),
        None => (Security::Optional, text),
    };
    let host_port = if text.contains("://") { rest.split(['/', '?']).next().unwrap_or(rest) } else { rest };
    Endpoint { address: Address::Tcp(host_port.to_owned()), host: host_of(host_port).to_owned(), security }
}

/// The host without its port and brackets.
fn host_of(host_port: &str) -> &str {
    let host = match host_port.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => host_port,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

/// What `:authority` says for an endpoint: everything behind the scheme.
pub fn authority(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.strip_prefix("unix:").or_else(|| rest.strip_prefix("unixs:")).unwrap_or(rest);
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(authority("https://a:1"), "a:1");
    }
}
