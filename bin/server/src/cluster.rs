//! `--initial-cluster`: who the members of a new cluster are, and whether this one is among them.

use crate::flags::Given;
use embed::InitialMember;
use embed::listen::{Place, parse_url};
use std::net::ToSocketAddrs;

const ONE_ONLY: &str =
    "this version runs single members; give only this member in --initial-cluster until clusters are offered";

/// Members of the cluster. What only matters at the first start is not checked when there is data.
///
/// # Errors
/// etcd's texts for what is inconsistent, and ours for what is not offered yet.
pub fn members(given: &Given, name: &str, has_data: bool) -> Result<Vec<InitialMember>, String> {
    let advertised = given.list("initial-advertise-peer-urls");
    let own = || vec![InitialMember { name: name.to_owned(), peer_urls: advertised.clone() }];
    let text = given.text("initial-cluster");
    let cluster = if text.is_empty() { own() } else { parse(text)? };
    if has_data {
        return Ok(cluster);
    }
    if given.text("initial-cluster-state") == "existing" {
        return Err(format!("--initial-cluster-state=existing: {ONE_ONLY}"));
    }
    let Some(member) = cluster.iter().find(|member| member.name == name) else {
        return Err(format!("couldn't find local name {name:?} in the initial cluster configuration"));
    };
    if !same(&member.peer_urls, &advertised) {
        let listed: Vec<_> = member.peer_urls.iter().map(|url| format!("{name}={url}")).collect();
        return Err(format!(
            "--initial-cluster has {} but missing from --initial-advertise-peer-urls={}",
            listed.join(","),
            advertised.join(",")
        ));
    }
    match cluster.len() {
        1 => Ok(cluster),
        count => Err(format!("--initial-cluster names {count} members: {ONE_ONLY}")),
    }
}

fn parse(text: &str) -> Result<Vec<InitialMember>, String> {
    let mut members: Vec<InitialMember> = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (name, url) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        if url.is_empty() {
            return Err(format!("empty URL given for {name:?}"));
        }
        parse_url(url).map_err(|why| why.to_string())?;
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.peer_urls.push(url.to_owned()),
            None => members.push(InitialMember { name: name.to_owned(), peer_urls: vec![url.to_owned()] }),
        }
    }
    Ok(members)
}

/// The same URLs in any order, by text or by the addresses they resolve to.
fn same(one: &[String], other: &[String]) -> bool {
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
        Place::Path(_) => Some(url.to_owned()),
        Place::Host(host, port) => {
            let found: Vec<_> = (host.as_str(), *port).to_socket_addrs().ok()?.collect();
            let address = found.iter().find(|a| a.is_ipv4()).or(found.first())?;
            Some(format!("{}://{address}", if parsed.secure { "https" } else { "http" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)], name: &str, has_data: bool) -> Result<Vec<InitialMember>, String> {
        let mut given = Given::default();
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        members(&given, name, has_data)
    }

    #[test]
    fn single_members() {
        let own = with(&[("initial-advertise-peer-urls", "http://10.0.0.1:2380")], "n", false).unwrap();
        assert_eq!(own, [InitialMember { name: "n".into(), peer_urls: vec!["http://10.0.0.1:2380".into()] }]);
        let two = "n=http://localhost:1,n=http://localhost:2";
        let peers = "http://127.0.0.1:2,http://127.0.0.1:1";
        with(&[("initial-cluster", two), ("initial-advertise-peer-urls", peers)], "n", false).unwrap();
    }

    #[test]
    fn what_does_not_fit() {
        let words = |cluster: &str| with(&[("initial-cluster", cluster)], "n", false).unwrap_err();
        let missing = words("y=http://localhost:2380");
        assert_eq!(missing, "couldn't find local name \"n\" in the initial cluster configuration");
        assert_eq!(words("n"), "empty URL given for \"n\"");
        assert!(
            words("n=http://localhost:2381").starts_with("--initial-cluster has n=http://localhost:2381 but missing")
        );
        assert!(words("n=http://localhost:2380,m=http://localhost:3").contains("names 2 members"));
        assert!(with(&[("initial-cluster", "y=http://localhost:2380")], "n", true).is_ok(), "ignored with data");
        assert!(with(&[("initial-cluster-state", "existing")], "n", false).is_err());
        assert!(with(&[("initial-cluster-state", "existing")], "n", true).is_ok());
    }
}
