//! Name constraints: the names that an authority may sign for.
//!
//! A constraint of a kind that is not understood makes the extension incomplete; a critical one then refuses the certificate.

use super::refusal::Refusal;
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

/// What the alternative names of the certificates below an authority must fulfil.
#[derive(Clone, Debug)]
pub(super) struct Constraints {
    permitted: Subtrees,
    excluded: Subtrees,
    complete: bool,
}

#[derive(Clone, Debug, Default)]
struct Subtrees {
    dns: Vec<String>,
    /// A mailbox, or a domain.
    emails: Vec<String>,
    uris: Vec<String>,
    /// Address and mask, of four or of sixteen bytes.
    ips: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Names of a certificate that are checked.
pub(super) struct Checked<'a> {
    pub(super) dns: &'a [String],
    pub(super) ips: &'a [IpAddr],
    pub(super) emails: &'a [String],
    pub(super) uri_hosts: &'a [Option<String>],
}

fn malformed(what: &str) -> Refusal {
    Refusal::Malformed(format!("name constraints: {what}"))
}

impl Constraints {
    /// Reads the extension.
    pub(super) fn read(given: &NameConstraints<'_>) -> Result<Self, Refusal> {
        if given.permitted_subtrees.is_none() && given.excluded_subtrees.is_none() {
            return Err(malformed("there are none"));
        }
        let mut read = Self { permitted: Subtrees::default(), excluded: Subtrees::default(), complete: true };
        read.complete &= read.permitted.take(given.permitted_subtrees.as_deref().unwrap_or_default())?;
        read.complete &= read.excluded.take(given.excluded_subtrees.as_deref().unwrap_or_default())?;
        Ok(read)
    }

    /// All kinds of names in it are understood.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// # Errors
    /// [`Refusal::NameNotAuthorized`] with the first name that may not stand below.
    pub(super) fn check(&self, names: &Checked<'_>) -> Result<(), Refusal> {
        let permitted = &self.permitted;
        let excluded = &self.excluded;
        for ip in names.ips {
            let bytes = octets(*ip);
            let holds = |one: &_, _| network_holds(one, &bytes);
            decide(|| format!("IP address {ip}"), &permitted.ips, &excluded.ips, holds)?;
        }
        for name in names.dns {
            if !is_valid_domain(name) {
                return refuse(format!("cannot parse dnsName {name:?}"));
            }
            let holds = |one: &String, wildcards| domain_holds(one, name, wildcards);
            decide(|| format!("DNS name {name:?}"), &permitted.dns, &excluded.dns, holds)?;
        }
        for host in names.uri_hosts {
            let fit = host.as_ref().filter(|host| is_valid_domain(host) && host.parse::<IpAddr>().is_err());
            let Some(host) = fit else {
                return refuse(format!("URI with host {host:?} cannot be matched against constraints"));
            };
            let holds = |one: &String, wildcards| domain_holds(one, host, wildcards);
            decide(|| format!("URI of host {host:?}"), &permitted.uris, &excluded.uris, holds)?;
        }
        for email in names.emails {
            let Some((local, domain)) = mailbox(email) else {
                return refuse(format!("cannot parse rfc822Name {email:?}"));
            };
            let holds = |one: &String, wildcards| match mailbox(one) {
                Some((wanted, at)) => wanted == local && at.eq_ignore_ascii_case(domain),
                None => domain_holds(one, domain, wildcards),
            };
            decide(|| format!("email address {email:?}"), &permitted.emails, &excluded.emails, holds)?;
        }
        Ok(())
    }
}

/// Permitted by one of the permitted (if there are any), excluded by none of the excluded.
fn decide<T>(
    what: impl Fn() -> String,
    permitted: &[T],
    excluded: &[T],
    holds: impl Fn(&T, bool) -> bool,
) -> Result<(), Refusal> {
    if !permitted.is_empty() && !permitted.iter().any(|one| holds(one, false)) {
        return refuse(format!("{} is not permitted by any constraint", what()));
    }
    if excluded.iter().any(|one| holds(one, true)) {
        return refuse(format!("{} is excluded by a constraint", what()));
    }
    Ok(())
}

impl Subtrees {
    /// False when some are of a kind that is not understood.
    fn take(&mut self, given: &[GeneralSubtree<'_>]) -> Result<bool, Refusal> {
        let mut complete = true;
        for tree in given {
            match &tree.base {
                GeneralName::DNSName(text) => self.dns.push(domain(text)?),
                GeneralName::URI(text) if text.parse::<IpAddr>().is_err() => self.uris.push(domain(text)?),
                GeneralName::RFC822Name(text) if text.contains('@') => {
                    mailbox(text).ok_or_else(|| malformed("not a mailbox"))?;
                    self.emails.push((*text).to_owned());
                }
                GeneralName::RFC822Name(text) => self.emails.push(domain(text)?),
                GeneralName::IPAddress(bytes) => self.ips.push(network(bytes)?),
                GeneralName::URI(_) | GeneralName::Invalid(..) => return Err(malformed("not a name")),
                _ => complete = false,
            }
        }
        Ok(complete)
    }
}

fn refuse(why: String) -> Result<(), Refusal> {
    Err(Refusal::NameNotAuthorized(why))
}

/// A domain that may begin with a dot.
fn domain(text: &str) -> Result<String, Refusal> {
    let bare = text.strip_prefix('.').unwrap_or(text);
    if text.is_ascii() && is_valid_domain(bare) && (text.is_empty() || !bare.is_empty()) {
        return Ok(text.to_owned());
    }
    Err(malformed("not a domain"))
}

fn is_valid_domain(name: &str) -> bool {
    name.is_empty() || (name.bytes().all(|c| (33..=126).contains(&c)) && name.split('.').all(|label| !label.is_empty()))
}

/// Whether `name` is `tree` or below it; only below it when `tree` begins with a dot. With `wildcards`, a wildcard name is
/// in the tree too when one of the names it stands for is.
fn domain_holds(tree: &str, name: &str, wildcards: bool) -> bool {
    if tree.is_empty() {
        return true;
    }
    let tree = tree.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    if let Some(above) = name.strip_suffix(&tree)
        && (above.is_empty() || tree.starts_with('.') || above.ends_with('.'))
    {
        return true;
    }
    let parent = tree.find('.').map(|dot| &tree[dot..]);
    wildcards && parent.is_some() && name.strip_prefix('*') == parent
}

fn network(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    if !matches!(bytes.len(), 8 | 32) {
        return Err(malformed("an IP range of another length"));
    }
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let leading = mask.iter().position(|byte| *byte != 0xff).map_or(mask.len() * 8, |at| {
        at * 8 + mask[at].leading_ones() as usize
    });
    if leading != ones as usize {
        return Err(malformed("a mask with gaps"));
    }
    Ok((address.to_vec(), mask.to_vec()))
}

fn network_holds((address, mask): &(Vec<u8>, Vec<u8>), ip: &[u8]) -> bool {
    address.len() == ip.len() && (0..ip.len()).all(|at| address[at] & mask[at] == ip[at] & mask[at])
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(sixteen) => sixteen.octets().to_vec(),
    }
}

/// The two parts of a mailbox. Quoted ones are nobody's who has a certificate here.
fn mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let fits = !local.is_empty() && local.chars().all(plain) && !domain.is_empty() && is_valid_domain(domain);
    fits.then_some((local, domain))
}

/// The host of a URI, without user and port; `None` for one without.
pub(super) fn uri_host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    (!host.is_empty() && !host.starts_with('[')).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_hold_themselves_and_what_is_below() {
        assert!(domain_holds("a.b", "a.b", false) && domain_holds("a.b", "x.A.B", false) && domain_holds("", "x", false));
        assert!(!domain_holds("a.b", "xa.b", false) && !domain_holds(".a.b", "a.b", false));
        assert!(domain_holds(".a.b", "x.a.b", false));
        assert!(domain_holds("x.a.b", "*.a.b", true), "a wildcard may stand for what is excluded");
        assert!(!domain_holds("x.a.b", "*.a.b", false), "and is not permitted because one of its names is");
        assert!(!domain_holds("b", "*.a.b.c", true));
    }

    #[test]
    fn networks_need_whole_masks() {
        let ten = network(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap();
        assert!(network_holds(&ten, &[10, 1, 2, 3]) && !network_holds(&ten, &[11, 0, 0, 0]));
        assert!(!network_holds(&ten, &octets("::a00:1".parse().unwrap())));
        assert!(network(&[10, 0, 0, 0, 255, 0, 255, 0]).is_err() && network(&[1; 7]).is_err());
        assert!(network(&[0; 8]).is_ok());
    }

    #[test]
    fn hosts_of_uris() {
        for (uri, host) in [
            ("spiffe://Trust.example/ns/a", Some("trust.example")),
            ("https://u:p@h:8080?x", Some("h")),
            ("urn:uuid:1", None),
            ("https:///path", None),
            ("https://[::1]:8080/", None),
        ] {
            assert_eq!(uri_host(uri).as_deref(), host, "{uri}");
        }
    }

    #[test]
    fn mailboxes() {
        assert_eq!(mailbox("a.b@c.d"), Some(("a.b", "c.d")));
        for bad in ["@c", "a@", "\"x y\"@c", "a b@c", "a@b..c", "none"] {
            assert_eq!(mailbox(bad), None, "{bad}");
        }
    }
}
