//! The founders of a cluster: `_etcd-server-ssl._tcp` and `_etcd-server._tcp`, and which of them is this member.
//!
//! Records have no names of members. The record that resolves to an address which this member advertises is its own; the others
//! get numbers for names, as in etcd, and tell their real ones when they publish themselves.

use crate::lookup::{LookupError, Record, Resolver};
use crate::service_name;
use std::net::SocketAddr;

/// Which of the two services a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `_etcd-server-ssl`.
    Https,
    /// `_etcd-server`.
    Http,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Https => "etcd-server-ssl",
            Self::Http => "etcd-server",
        }
    }
}

/// Why the members cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// DNS.
    #[error("error querying DNS SRV records for _{service} {source}")]
    Lookup {
        /// The service.
        service: String,
        /// Why.
        source: LookupError,
    },
    /// An advertised URL that names no host.
    #[error("--initial-advertise-peer-urls {url}: {why}; name hosts that this machine can resolve")]
    Own {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
    /// The own record is of the service with, and the own URL without TLS, or the other way round.
    #[error("bootstrap at {found} from DNS for {service} has scheme mismatch with expected peer {own}")]
    Scheme {
        /// What the record says.
        found: String,
        /// The service.
        service: String,
        /// The advertised URL.
        own: String,
    },
    /// No record's host could be resolved.
    #[error("error querying DNS SRV records for _{service} {why}")]
    Target {
        /// The service.
        service: String,
        /// Why.
        why: String,
    },
}

/// What both services say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// `name=url`, as `--initial-cluster` has them.
    pub members: Vec<String>,
    /// What went wrong with the services that gave none.
    pub faults: Vec<MembersError>,
}

/// Members of a domain, as the two services list them. `name` and `advertised` are this member's; `suffix` is what
/// `--discovery-srv-name` says.
pub async fn members(resolver: &Resolver, domain: &str, suffix: &str, name: &str, advertised: &[String]) -> Found {
    let mut found = Found::default();
    for scheme in [Scheme::Https, Scheme::Http] {
        match of_service(resolver, domain, suffix, name, advertised, scheme).await {
            Ok(members) => found.members.extend(members),
            Err(why) => found.faults.push(why),
        }
    }
    found
}

async fn of_service(
    resolver: &Resolver,
    domain: &str,
    suffix: &str,
    name: &str,
    advertised: &[String],
    scheme: Scheme,
) -> Result<Vec<String>, MembersError> {
    let own = own_addresses(advertised).await?;
    let service = match suffix {
        "" => scheme.service().to_owned(),
        suffix => format!("{}-{suffix}", scheme.service()),
    };
    let records = resolver.srv(&service_name(scheme.service(), suffix, domain)).await;
    let records = records.map_err(|source| MembersError::Lookup { service: service.clone(), source })?;
    let mut members = Vec::new();
    let mut last = None;
    let mut numbers = 0..;
    for Record { target, port, .. } in records {
        let address = match resolve(&target, port).await {
            Ok(address) => address,
            Err(why) => {
                last = Some(MembersError::Target { service: service.clone(), why });
                continue;
            }
        };
        let url = format!("{}://{target}:{port}", scheme.as_str());
        let this = own.iter().find(|(of, _)| *of == address);
        match this {
            Some((_, own)) if !own.starts_with(&format!("{}:", scheme.as_str())) => {
                last = Some(MembersError::Scheme { found: url, service: service.clone(), own: own.clone() });
            }
            Some(_) => members.push(format!("{name}={url}")),
            None => members.push(format!("{}={url}", numbers.next().unwrap_or(u32::MAX))),
        }
    }
    match last {
        Some(why) if members.is_empty() => Err(why),
        _ => Ok(members),
    }
}

/// The addresses that advertised URLs stand for.
async fn own_addresses(advertised: &[String]) -> Result<Vec<(SocketAddr, String)>, MembersError> {
    let mut all = Vec::new();
    for url in advertised {
        let fault = |why: String| MembersError::Own { url: url.clone(), why };
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| fault("missing port in address".into()))?;
        let port = port.parse().map_err(|_| fault(format!("{port} is no port")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        all.push((resolve(host, port).await.map_err(fault)?, url.clone()));
    }
    Ok(all)
}

/// The first address of a host, IPv4 before IPv6, as Go chooses.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let mut found: Vec<SocketAddr> = found.map_err(|_| format!("lookup {host}: no such host"))?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("lookup {host}: no such host"))
}
