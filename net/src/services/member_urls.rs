//! Peer URLs of a member that is to be added, by the rules of etcd's `types.NewURLs`.
//!
//! What is accepted is sorted and written as Go's `URL.String` writes it: the id of the member is made of these bytes. Must never ask
//! a name server.

/// Something that is no usable list of URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadUrls;

/// The URLs as members know them.
///
/// # Errors
/// [`BadUrls`] when there is none, or one is none.
pub(super) fn checked(given: &[String]) -> Result<Vec<String>, BadUrls> {
    let mut urls = given.iter().map(|url| one(url.trim())).collect::<Result<Vec<_>, _>>()?;
    urls.sort_unstable();
    if urls.is_empty() { Err(BadUrls) } else { Ok(urls) }
}

fn one(text: &str) -> Result<String, BadUrls> {
    let (scheme, rest) = text.split_once(':').ok_or(BadUrls)?;
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => host_and_port(rest.strip_prefix("//").ok_or(BadUrls)?)?,
        "unix" | "unixs" => {}
        _ => return Err(BadUrls),
    }
    if text.chars().any(|c| c.is_control()) { Err(BadUrls) } else { Ok(format!("{scheme}:{rest}")) }
}

/// `host:port`, perhaps behind the name of a user and before a query, without a path.
fn host_and_port(rest: &str) -> Result<(), BadUrls> {
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = host.rsplit_once(':').ok_or(BadUrls)?;
    let bare = match name.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or(BadUrls)?,
        None if name.contains(':') => return Err(BadUrls),
        None => name,
    };
    let odd = |c: char| c.is_whitespace() || "[]<>\"\\^`{|}".contains(c);
    let sound = port.bytes().all(|b| b.is_ascii_digit()) && !bare.contains(odd) && !behind.starts_with('/');
    if sound { Ok(()) } else { Err(BadUrls) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(urls: &[&str]) -> Result<Vec<String>, BadUrls> {
        checked(&urls.iter().map(|url| url.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn what_etcd_takes_is_taken_sorted() {
        let taken = check(&[" http://b:2 ", "https://[::1]:1", "HTTP://a:1", "unix:/run/x", "http://:2380"]).unwrap();
        assert_eq!(taken, ["http://:2380", "http://a:1", "http://b:2", "https://[::1]:1", "unix:/run/x"]);
    }

    #[test]
    fn what_etcd_refuses_is_refused() {
        let bad = ["", "a", "a:1", "ftp://a:1", "http://a", "http://a:1/", "http://a:1/p", "http:a:1", "http://a:x"];
        for url in
            bad.into_iter().chain(["http://a b:1", "http://::1:1", "http://[::1:1", "http://[::1]", "http://a:1\n:2"])
        {
            assert_eq!(check(&[url]), Err(BadUrls), "{url}");
            assert_eq!(check(&["http://a:1", url]), Err(BadUrls), "{url}");
        }
        assert_eq!(check(&[]), Err(BadUrls), "there must be one");
    }
}
