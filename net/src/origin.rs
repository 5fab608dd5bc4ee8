//! Whether the certificate that a connection shows is for the address it comes from, by etcd's rules for peers and
//! for scrapers of `--listen-metrics-urls`.
//!
//! A certificate that names addresses or hosts must name this one: by its address, by a name that the address resolves to, or by a name
//! that resolves to the address. One that names nothing is for everybody. `--peer-skip-client-san-verification` leaves it out between
//! members. Must never wait for a name server without a limit.

use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tls::verify::{Certificate, Names};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Compares the first certificate of a chain with the address it came from; without a certificate there is nothing to compare.
///
/// # Errors
/// What the certificate is for instead, in etcd's words.
pub async fn check(chain: Option<&[CertificateDer<'_>]>, remote: SocketAddr, patience: Duration) -> Result<(), String> {
    let Some(shown) = chain.and_then(<[_]>::first) else { return Ok(()) };
    let certificate = Certificate::parse(shown).map_err(|why| why.to_string())?;
    let address = remote.ip().to_canonical();
    let names = certificate.names();
    if names.ips.is_empty() && names.dns.is_empty() {
        return Ok(());
    }
    if !names.ips.is_empty() {
        match certificate.verify_hostname(&address.to_string()) {
            Ok(()) => return Ok(()),
            Err(why) if names.dns.is_empty() => return Err(why.to_string()),
            Err(_) => {}
        }
    }
    let asked = names.clone();
    let resolved = timeout(patience, spawn_blocking(move || resolves(&asked, address))).await;
    if matches!(resolved, Ok(Ok(true))) {
        return Ok(());
    }
    Err(format!("tls: {:?} does not match any of DNSNames {:?}", address.to_string(), names.dns))
}

/// Asks the system's resolver, which blocks.
fn resolves(names: &Names, address: IpAddr) -> bool {
    dns_lookup::lookup_addr(&address).is_ok_and(|name| is_one_of(&name, names))
        || names.dns.iter().filter(|name| !name.starts_with("*.")).any(|name| {
            dns_lookup::lookup_host(name).is_ok_and(|mut found| found.any(|found| found.to_canonical() == address))
        })
}

/// A name that an address resolves to is one of the certificate's; a wildcard stands for any number of labels here, as in etcd.
fn is_one_of(name: &str, names: &Names) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    names.dns.iter().any(|own| match own.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => name.ends_with(domain),
        _ => own == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let key = KeyPair::generate().expect("a key");
        CertificateParams::new(names).expect("names").self_signed(&key).expect("signed").der().clone()
    }

    async fn judge(names: &[&str], remote: &str) -> Result<(), String> {
        let remote = SocketAddr::new(remote.parse().expect("an address"), 2380);
        check(Some(&[certificate(names)]), remote, Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn a_certificate_is_for_its_addresses_and_names() {
        assert_eq!(check(None, "1.2.3.4:5".parse().expect("an address"), Duration::ZERO).await, Ok(()));
        assert_eq!(judge(&[], "10.9.9.9").await, Ok(()));
        assert_eq!(judge(&["127.0.0.1"], "127.0.0.1").await, Ok(()));
        assert_eq!(judge(&["127.0.0.1"], "::ffff:127.0.0.1").await, Ok(()));
        assert_eq!(judge(&["10.9.9.9", "localhost"], "127.0.0.1").await, Ok(()));
        assert_eq!(
            judge(&["10.9.9.9"], "127.0.0.1").await,
            Err("x509: certificate is valid for 10.9.9.9, not 127.0.0.1".to_owned())
        );
        assert_eq!(
            judge(&["a.invalid"], "127.0.0.1").await,
            Err(r#"tls: "127.0.0.1" does not match any of DNSNames ["a.invalid"]"#.to_owned())
        );
    }

    #[test]
    fn wildcards_hold_for_what_an_address_resolves_to() {
        let mut names = Names::default();
        names.dns = vec!["*.etcd.svc".into(), "b.c".into()];
        assert!(is_one_of("m0.etcd.svc.", &names) && is_one_of("a.b.etcd.svc", &names) && is_one_of("b.c", &names));
        assert!(!is_one_of("etcd.svc", &names) && !is_one_of("xb.c", &names));
    }
}
