//! Name constraints: the names that an authority may sign for.
//!
//! A constraint of a kind that is not understood makes the extension incomplete; a critical one then refuses the certificate.

use super::refusal::Refusal;
use std::fmt::{self, Display};
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
    ips: Vec<Network>,
}

/// Address and mask, of four or of sixteen bytes.
#[derive(Clone, Debug)]
struct Network {
    address: Vec<u8>,
    mask: Vec<u8>,
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
            let holds = |one: &Network, _| one.holds(&bytes);
            decide(("IP address", &ip), &permitted.ips, &excluded.ips, holds)?;
        }
        for name in names.dns {
            if !is_valid_domain(name) {
                return refuse(format!("cannot parse dnsName {name:?}"));
            }
            let holds = |one: &String, wildcards| domain_holds(one, name, wildcards);
            decide(("DNS name", name), &permitted.dns, &excluded.dns, holds)?;
        }
        for host in names.uri_hosts {
            let fit = host.as_ref().filter(|host| is_valid_domain(host) && host.parse::<IpAddr>().is_err());
            let Some(host) = fit else {
                return refuse(format!("URI with host {host:?} cannot be matched against constraints"));
            };
            let holds = |one: &String, wildcards| domain_holds(one, host, wildcards);
            decide(("URI", host), &permitted.uris, &excluded.uris, holds)?;
        }
        for email in names.emails {
            let Some((local, domain)) = mailbox(email) else {
                return refuse(format!("cannot parse rfc822Name {email:?}"));
            };
            let holds = |one: &String, wildcards| match mailbox(one) {
                Some((wanted, at)) => wanted == local && at.eq_ignore_ascii_case(domain),
                None => domain_holds(one, domain, wildcards),
            };
            decide(("email address", email), &permitted.emails, &excluded.emails, holds)?;
        }
        Ok(())
    }
}

/// Permitted by one of the permitted (if there are any), excluded by none of the excluded.
fn decide<T: Display>(
    (kind, name): (&str, &dyn Display),
    permitted: &[T],
    excluded: &[T],
    holds: impl Fn(&T, bool) -> bool,
) -> Result<(), Refusal> {
    let name = name.to_string();
    if !permitted.is_empty() && !permitted.iter().any(|one| holds(one, false)) {
        return refuse(format!("{kind} {name:?} is not permitted by any constraint"));
    }
    match excluded.iter().find(|one| holds(one, true)) {
        Some(one) => refuse(format!("{kind} {name:?} is excluded by constraint {:?}", one.to_string())),
        None => Ok(()),
    }
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
                GeneralName::IPAddress(bytes) => self.ips.push(Network::read(bytes)?),
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

impl Network {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if !matches!(bytes.len(), 8 | 32) {
            return Err(malformed("an IP range of another length"));
        }
        let (address, mask) = bytes.split_at(bytes.len() / 2);
        let network = Self { address: address.to_vec(), mask: mask.to_vec() };
        let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        if network.prefix() != ones as usize { Err(malformed("a mask with gaps")) } else { Ok(network) }
    }

    /// How many bits of the mask are set, from the front.
    fn prefix(&self) -> usize {
        let whole = self.mask.iter().take_while(|byte| **byte == 0xff).count();
        whole * 8 + self.mask.get(whole).map_or(0, |byte| byte.leading_ones() as usize)
    }

    fn holds(&self, ip: &[u8]) -> bool {
        let fits = |at: usize| self.address[at] & self.mask[at] == ip[at] & self.mask[at];
        self.address.len() == ip.len() && (0..ip.len()).all(fits)
    }
}

impl Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match <[u8; 4]>::try_from(self.address.as_slice()) {
            Ok(four) => Some(IpAddr::from(four)),
            Err(_) => <[u8; 16]>::try_from(self.address.as_slice()).ok().map(IpAddr::from),
        };
        match address {
            Some(address) => write!(out, "{address}/{}", self.prefix()),
            None => out.write_str("not an address"),
        }
    }
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
        assert!(
            domain_holds("a.b", "a.b", false) && domain_holds("a.b", "x.A.B", false) && domain_holds("", "x", false)
        );
        assert!(!domain_holds("a.b", "xa.b", false) && !domain_holds(".a.b", "a.b", false));
        assert!(domain_holds(".a.b", "x.a.b", false));
        assert!(domain_holds("x.a.b", "*.a.b", true), "a wildcard may stand for what is excluded");
        assert!(!domain_holds("x.a.b", "*.a.b", false), "and is not permitted because one of its names is");
        assert!(!domain_holds("b", "*.a.b.c", true));
    }

    #[test]
    fn networks_need_whole_masks() {
        let ten = Network::read(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap();
        assert!(ten.holds(&[10, 1, 2, 3]) && !ten.holds(&[11, 0, 0, 0]));
        assert!(!ten.holds(&octets("::a00:1".parse().unwrap())));
        assert_eq!(ten.to_string(), "10.0.0.0/8");
        assert!(Network::read(&[10, 0, 0, 0, 255, 0, 255, 0]).is_err() && Network::read(&[1; 7]).is_err());
        assert!(Network::read(&[0; 8]).is_ok());
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
