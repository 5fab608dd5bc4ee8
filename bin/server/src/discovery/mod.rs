//! Who founds the cluster together with this member, when a discovery service or DNS is to say so.
//!
//! Asked at the first start alone. Must never be asked by a member that has data: it belongs to a cluster already.

mod registry;
mod service;

use crate::flags::Given;
use embed::InitialMember;
use proxy::upstream::TlsFiles;
use std::time::Duration;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// Another cluster, in which the members of the new one register.
    Service(Box<ServiceSettings>),
    /// SRV records of a domain.
    Srv {
        /// The domain.
        domain: String,
        /// What is added to the service's name.
        suffix: String,
    },
}

/// How the discovery service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    pub(crate) endpoints: Vec<String>,
    /// The new cluster, there.
    pub(crate) token: String,
    pub(crate) dial_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) keepalive_time: Duration,
    pub(crate) keepalive_timeout: Duration,
    /// None for plain connections.
    pub(crate) tls: Option<TlsFiles>,
    /// Name and password.
    pub(crate) login: Option<(String, String)>,
}

/// What the flags ask for.
///
/// # Errors
/// etcd's texts.
pub(crate) fn settings(given: &Given) -> Result<Option<Discovery>, String> {
    let (token, endpoints) = (given.text("discovery-token"), given.text("discovery-endpoints"));
    if token.is_empty() != endpoints.is_empty() {
        return Err("both --discovery-token and --discovery-endpoints must be set".into());
    }
    if !endpoints.is_empty() {
        if endpoints.split(',').any(|endpoint| endpoint.trim().is_empty()) {
            return Err("--discovery-endpoints must not contain empty endpoints".into());
        }
        return service(given).map(|service| Some(Discovery::Service(Box::new(service))));
    }
    let domain = given.text("discovery-srv").to_owned();
    let suffix = given.text("discovery-srv-name").to_owned();
    Ok((!domain.is_empty()).then_some(Discovery::Srv { domain, suffix }))
}

fn service(given: &Given) -> Result<ServiceSettings, String> {
    let (cert, key) = (given.path("discovery-cert"), given.path("discovery-key"));
    if cert.is_some() != key.is_some() {
        return Err("--discovery-cert and --discovery-key must be given together".into());
    }
    let cacert = given.path("discovery-cacert");
    let skip_verify = given.flag("discovery-insecure-skip-tls-verify");
    let is_secure = cert.is_some() || cacert.is_some() || skip_verify || !given.flag("discovery-insecure-transport");
    let files = TlsFiles { cert, key, cacert, skip_verify, ..TlsFiles::default() };
    Ok(ServiceSettings {
        endpoints: given.list("discovery-endpoints"),
        token: given.text("discovery-token").to_owned(),
        dial_timeout: given.duration("discovery-dial-timeout"),
        request_timeout: given.duration("discovery-request-timeout"),
        keepalive_time: given.duration("discovery-keepalive-time"),
        keepalive_timeout: given.duration("discovery-keepalive-timeout"),
        tls: is_secure.then_some(files),
        login: login(given.text("discovery-user"), given.text("discovery-password"))?,
    })
}

fn login(user: &str, password: &str) -> Result<Option<(String, String)>, String> {
    match (user.split_once(':'), password) {
        _ if user.is_empty() => Ok(None),
        (Some((name, password)), "") => Ok(Some((name.to_owned(), password.to_owned()))),
        (None, "") => {
            Err("--discovery-user needs a password: write name:password, or give --discovery-password".into())
        }
        (_, password) => Ok(Some((user.to_owned(), password.to_owned()))),
    }
}

/// Asks, registers this member where it must, and waits until all are there. `name` and `advertised` are this member's.
///
/// # Errors
/// One sentence for the log.
pub(crate) async fn founders(
    discovery: &Discovery,
    name: &str,
    advertised: &[String],
) -> Result<Vec<InitialMember>, String> {
    let text = match discovery {
        Discovery::Service(settings) => {
            tracing::info!("Bootstrapping cluster using v3 discovery.");
            let found = registry::join(settings, name, advertised).await;
            found.map_err(|why| format!("failed to join discovery cluster ({why})"))?
        }
        Discovery::Srv { domain, suffix } => {
            let resolver = srv::Resolver::system();
            let found = srv::members(&resolver, domain, suffix, name, advertised).await;
            of_records(found, name)?
        }
    };
    embed::parse_cluster(&text).map_err(|why| why.to_string())
}

/// What DNS says, as `--initial-cluster` would say it.
fn of_records(found: srv::Found, name: &str) -> Result<String, String> {
    for why in &found.faults {
        tracing::warn!(error = %why, "failed to resolve during SRV discovery");
    }
    if found.members.is_empty() {
        let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        return Err(faults.join("\n"));
    }
    for node in &found.members {
        tracing::info!(node, "got bootstrap from DNS for etcd-server");
    }
    if !found.members.iter().any(|member| member.split_once('=').is_some_and(|(of, _)| of == name)) {
        return Err(format!("cannot find local etcd member {name:?} in SRV records"));
    }
    Ok(found.members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Option<Discovery>, String> {
        let mut given = Given::default();
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        settings(&given)
    }

    #[test]
    fn token_and_endpoints_come_together() {
        let both = "both --discovery-token and --discovery-endpoints must be set";
        assert_eq!(with(&[("discovery-token", "t")]).unwrap_err(), both);
        assert_eq!(with(&[("discovery-endpoints", "a:1")]).unwrap_err(), both);
        let empty = with(&[("discovery-token", "t"), ("discovery-endpoints", "a:1,")]).unwrap_err();
        assert_eq!(empty, "--discovery-endpoints must not contain empty endpoints");
        let Some(Discovery::Service(service)) =
            with(&[("discovery-token", "t"), ("discovery-endpoints", "a:1,b:2")]).unwrap()
        else {
            panic!("a service")
        };
        assert_eq!(service.endpoints, ["a:1", "b:2"]);
        assert_eq!((service.tls, service.login), (None, None));
        assert_eq!(service.request_timeout, Duration::from_secs(5));
        assert_eq!(with(&[]).unwrap(), None);
    }

    #[test]
    fn tls_and_users_of_the_service() {
        let service = |more: &[(&str, &str)]| -> Result<ServiceSettings, String> {
            let pairs = [&[("discovery-token", "t"), ("discovery-endpoints", "a:1")][..], more].concat();
            match with(&pairs)? {
                Some(Discovery::Service(service)) => Ok(*service),
                other => panic!("{other:?}"),
            }
        };
        assert!(service(&[("discovery-insecure-transport", "false")]).unwrap().tls.is_some());
        let skips = service(&[("discovery-insecure-skip-tls-verify", "true")]).unwrap().tls.unwrap();
        assert!(skips.skip_verify);
        let login = |user, password| service(&[("discovery-user", user), ("discovery-password", password)]);
        let pair = |one: &str, two: &str| Some((one.to_owned(), two.to_owned()));
        assert_eq!(login("u:p", "").unwrap().login, pair("u", "p"));
        assert_eq!(login("u:p", "q").unwrap().login, pair("u:p", "q"));
        assert!(login("u", "").unwrap_err().contains("--discovery-password"));
        assert!(service(&[("discovery-cert", "c")]).unwrap_err().contains("--discovery-key"));
    }

    #[test]
    fn records_must_name_this_member() {
        let found = |members: &[&str]| srv::Found {
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            faults: Vec::new(),
        };
        assert_eq!(of_records(found(&["0=http://a:1", "me=http://b:1"]), "me").unwrap(), "0=http://a:1,me=http://b:1");
        let why = of_records(found(&["0=http://a:1"]), "me").unwrap_err();
        assert_eq!(why, "cannot find local etcd member \"me\" in SRV records");
    }
}
