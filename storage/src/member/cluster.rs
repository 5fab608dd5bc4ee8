//! `--initial-cluster`: who the members of a new cluster are, and whether this one is among them.
//!
//! The texts are etcd's. The only place of this crate that asks a name server: URLs count as equal when they lead to the same
//! address.

use super::url::{UrlError, UrlTarget, parse_url};
use std::net::ToSocketAddrs;

/// A member of the initial cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// Name.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
}

/// What does not fit in the description of a new cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// A name without a URL.
    #[error("empty URL given for {0:?}")]
    NoUrl(String),
    /// A URL that is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// This member is not among the members.
    #[error("couldn't find local name {0:?} in the initial cluster configuration")]
    NotInCluster(String),
    /// This member says other peer URLs of itself than the cluster does of it.
    #[error("--initial-cluster has {listed} but missing from --initial-advertise-peer-urls={advertised}")]
    OtherUrls {
        /// What the cluster says, as `name=url` pairs.
        listed: String,
        /// What the member says.
        advertised: String,
    },
    /// A member that was here before, and whose data is gone: it would vote a second time in terms in which it has voted.
    #[error(
        "member {0:x} has already been bootstrapped: it has run before, and its data folder is not here. Start it with that folder; \
         if it is lost, remove the member from the cluster, add it again, and start it with --initial-cluster-state=existing"
    )]
    Bootstrapped(u64),
    /// Nobody says who the members of the cluster that is to be joined are.
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs ({0})"
    )]
    NoAnswer(String),
    /// The cluster that is to be joined has other members than this one was told.
    #[error(
        "error validating peerURLs {running}: {why}; --initial-cluster must name all members that `member list` shows, this one, which has \
         to be added first, among them"
    )]
    Unlike {
        /// The members of the running cluster, as id and URLs.
        running: String,
        /// What differs.
        why: String,
    },
    /// The cluster that is to be joined is newer than this member.
    #[error("incompatible with current running cluster: {0}")]
    TooOld(String),
    /// Two members share a URL.
    #[error("initial cluster {0} has duplicate url")]
    Duplicate(String),
}

/// Reads `name=url` pairs; a name may come several times.
///
/// # Errors
/// [`ClusterError`] for a missing or unusable URL.
pub fn parse_cluster(text: &str) -> Result<Vec<InitialMember>, ClusterError> {
    let mut members: Vec<InitialMember> = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (name, url) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        if url.is_empty() {
            return Err(ClusterError::NoUrl(name.to_owned()));
        }
        parse_url(url)?;
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.peer_urls.push(url.to_owned()),
            None => members.push(InitialMember { name: name.to_owned(), peer_urls: vec![url.to_owned()] }),
        }
    }
    Ok(members)
}

/// The member of this name, which must advertise the URLs that the cluster knows of it; no two members may share one.
///
/// # Errors
/// [`ClusterError`].
pub fn own_member<'c>(
    cluster: &'c [InitialMember],
    name: &str,
    advertised: &[String],
) -> Result<&'c InitialMember, ClusterError> {
    let member = cluster.iter().find(|member| member.name == name);
    let member = member.ok_or_else(|| ClusterError::NotInCluster(name.to_owned()))?;
    if !same(&member.peer_urls, advertised) {
        let listed: Vec<_> = member.peer_urls.iter().map(|url| format!("{name}={url}")).collect();
        return Err(ClusterError::OtherUrls { listed: listed.join(","), advertised: advertised.join(",") });
    }
    let mut pairs: Vec<_> = cluster.iter().flat_map(|m| m.peer_urls.iter().map(|url| (&m.name, url))).collect();
    pairs.sort_unstable();
    let mut urls: Vec<_> = pairs.iter().map(|(_, url)| url).collect();
    urls.sort_unstable();
    if urls.windows(2).any(|two| two[0] == two[1]) {
        let pairs: Vec<_> = pairs.iter().map(|(name, url)| format!("{name}={url}")).collect();
        return Err(ClusterError::Duplicate(pairs.join(",")));
    }
    Ok(member)
}

/// The same URLs in any order, by text or by the addresses they resolve to.
pub(super) fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    if sorted(one) == sorted(other) {
        return true;
    }
    let resolved = |urls: &[String]| -> Option<Vec<String>> {
        let all: Option<Vec<_>> = urls.iter().map(|url| resolve(url)).collect();
        all.map(|all| sorted(&all))
    };
    matches!((resolved(one), resolved(other)), (Some(one), Some(other)) if one == other)
}

fn resolve(url: &str) -> Option<String> {
    let parsed = parse_url(url).ok()?;
    match &parsed.place {
        UrlTarget::Path(_) => Some(url.to_owned()),
        UrlTarget::Host(host, port) => {
            let found: Vec<_> = (host.as_str(), *port).to_socket_addrs().ok()?.collect();
            let address = found.iter().find(|a| a.is_ipv4()).or(found.first())?;
            Some(format!("{}://{address}", if parsed.secure { "https" } else { "http" }))
        }
    }
}
