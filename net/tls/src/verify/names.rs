//! Whether a certificate is for a host, and for one of those that are allowed.
//!
//! The common name of the subject never counts: only alternative names do.

use super::certificate::Certificate;
use super::refusal::Refusal;
use std::net::IpAddr;

/// As many names as a message shows.
const SHOWN: usize = 100;

impl Certificate {
    /// The certificate is for this host: a DNS name or an IP address, which may stand in brackets.
    ///
    /// # Errors
    /// [`Refusal::NotForName`], which says for what it is.
    pub fn verify_hostname(&self, host: &str) -> Result<(), Refusal> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let fits = self.names.ips.iter().any(|own| own.to_canonical() == ip.to_canonical());
            return if fits { Ok(()) } else { Err(self.not_for_ip(bare)) };
        }
        let wanted = host.to_ascii_lowercase();
        let fits = self.names.dns.iter().any(|own| {
            if is_valid(&wanted, false) && is_valid(own, true) {
                matches(&own.to_ascii_lowercase(), &wanted)
            } else {
                !matches!(wanted.as_str(), "" | ".") && own.eq_ignore_ascii_case(&wanted)
            }
        });
        if fits { Ok(()) } else { Err(self.not_for_name(host, &wanted)) }
    }

    fn relies_on_common_name(&self, wanted: &str) -> bool {
        self.raw_names.is_none() && matches(&self.common_name.to_ascii_lowercase(), wanted)
    }

    fn not_for_ip(&self, ip: &str) -> Refusal {
        let own = &self.names.ips;
        Refusal::NotForName(if self.relies_on_common_name(ip) {
            LEGACY.into()
        } else if own.is_empty() {
            format!("x509: cannot validate certificate for {ip} because it doesn't contain any IP SANs")
        } else if own.len() >= SHOWN {
            format!("x509: certificate is valid for {} IP SANs, but none matched {ip}", own.len())
        } else {
            let shown: Vec<String> = own.iter().map(|own| own.to_canonical().to_string()).collect();
            format!("x509: certificate is valid for {}, not {ip}", shown.join(", "))
        })
    }

    fn not_for_name(&self, host: &str, wanted: &str) -> Refusal {
        let own = &self.names.dns;
        Refusal::NotForName(if self.relies_on_common_name(wanted) {
            LEGACY.into()
        } else if own.is_empty() {
            format!("x509: certificate is not valid for any names, but wanted to match {host}")
        } else if own.len() >= SHOWN {
            format!("x509: certificate is valid for {} names, but none matched {host}", own.len())
        } else {
            format!("x509: certificate is valid for {}, not {host}", own.join(", "))
        })
    }
}

/// Names of which the other side's certificate must have one. Both empty: any name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNames {
    /// Common names.
    pub common_names: Vec<String>,
    /// Host names or IP addresses.
    pub hostnames: Vec<String>,
}

impl AllowedNames {
    /// # Errors
    /// [`Refusal::NotAllowed`].
    pub(super) fn check(&self, certificate: &Certificate) -> Result<(), Refusal> {
        if self.common_names.is_empty() && self.hostnames.is_empty() {
            return Ok(());
        }
        let own = certificate.common_name();
        if self.common_names.iter().any(|name| name == own)
            || self.hostnames.iter().any(|name| certificate.verify_hostname(name).is_ok())
        {
            return Ok(());
        }
        let wanted = self.common_names.iter().chain(&self.hostnames).map(String::as_str).collect::<Vec<_>>().join(", ");
        // the first words are those that people of etcd search for
        Err(Refusal::NotAllowed(format!(
            "client certificate authentication failed: certificate {own:?} has none of the allowed names {wanted}"
        )))
    }
}

const LEGACY: &str = "x509: certificate relies on legacy Common Name field, use SANs instead";

/// Labels are equal; a whole first label `*` stands for any. Both in lower case.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern.is_empty() || host.is_empty() || pattern.split('.').count() != host.split('.').count() {
        return false;
    }
    let pairs = pattern.split('.').zip(host.split('.')).enumerate();
    pairs.into_iter().all(|(at, (pattern, host))| (at == 0 && pattern == "*") || pattern == host)
}

/// A host name, or the pattern of one: letters, digits, hyphens (not first) and underscores between dots.
fn is_valid(host: &str, is_pattern: bool) -> bool {
    let host = if is_pattern { host } else { host.strip_suffix('.').unwrap_or(host) };
    if host.is_empty() || host == "*" {
        return false;
    }
    host.split('.').enumerate().all(|(at, label)| {
        let wildcard = is_pattern && at == 0 && label == "*";
        let plain = |(at, c): (usize, char)| c.is_ascii_alphanumeric() || c == '_' || (c == '-' && at != 0);
        wildcard || (!label.is_empty() && label.char_indices().all(plain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_whole_label() {
        assert!(matches("*.a.b", "x.a.b") && matches("a.b", "a.b."));
        for (pattern, host) in [("*.a.b", "a.b"), ("*.a.b", "x.y.a.b"), ("x*.a.b", "xy.a.b"), ("", ""), ("a.*", "a.b")]
        {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn valid_hosts() {
        assert!(is_valid("a-b_c.d", false) && is_valid("*.d", true) && is_valid("a.", false));
        for bad in ["", "*", "-a", "a..b", "*.d", "a b"] {
            assert!(!is_valid(bad, false), "{bad}");
        }
        assert!(!is_valid("a.", true) && !is_valid("a.*", true));
    }
}
