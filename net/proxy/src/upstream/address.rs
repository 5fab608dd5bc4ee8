//! What an endpoint's text says: an address, and whether TLS is wanted.

use std::path::PathBuf;

/// Where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// `https` and `unixs`.
    Required,
    /// `http`.
    Dropped,
    /// As the settings say.
    Optional,
}

/// An endpoint, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) place: Place,
    /// Name that a certificate must have.
    pub(super) host: String,
    pub(super) security: Security,
}

impl Address {
    /// Whatever does not fit fails when it is dialled.
    pub(super) fn read(text: &str) -> Self {
        if let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| matches!(*scheme, "unix" | "unixs")) {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let security = if scheme == "unixs" { Security::Required } else { Security::Optional };
            let host = host_of(path.rsplit('/').next().unwrap_or(path)).to_owned();
            return Self { place: Place::Unix(path.into()), host, security };
        }
        let (security, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Security::Required, rest),
            Some(("http", rest)) => (Security::Dropped, rest),
            _ => (Security::Optional, text),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        // a user and password must not reach a resolver or a log
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        Self { place: Place::Tcp(authority.to_owned()), host: host_of(authority).to_owned(), security }
    }

    /// What `:authority` says.
    pub(super) fn authority(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.clone(),
            Place::Unix(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// The host without its port and brackets.
fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_endpoint() {
        let tcp = |text: &str| Place::Tcp(text.into());
        let cases = [
            ("127.0.0.1:2379", tcp("127.0.0.1:2379"), "127.0.0.1", Security::Optional),
            ("http://a:1", tcp("a:1"), "a", Security::Dropped),
            ("https://user:pw@[::1]:1/x", tcp("[::1]:1"), "::1", Security::Required),
            ("unix:///run/m:1", Place::Unix("/run/m:1".into()), "m", Security::Optional),
            ("unixs:localhost:1", Place::Unix("localhost:1".into()), "localhost", Security::Required),
        ];
        for (text, place, host, security) in cases {
            assert_eq!(Address::read(text), Address { place, host: host.into(), security }, "{text}");
        }
        assert_eq!(Address::read("unix:///run/m:1").authority(), "m:1");
    }
}
