//! `conclave gateway start`: TCP connections go on to members that live.

use super::endpoints::{Discovery, discover, parts};
use super::{read, run};
use crate::log::Level;
use clap::Parser;
use proxy::gateway::{Endpoint, Settings};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// Delay that 0 stands for. Source: etcd's package `tcpproxy`.
const DEFAULT_DELAY: Duration = Duration::from_secs(300);

/// Passes TCP connections on to members of a cluster that live: in turn, or by the priorities and weights of SRV records.
///
/// What is said is not read: TLS and authentication are between client and member.
#[derive(Parser, Debug)]
#[command(name = "conclave gateway", arg_required_else_help = true)]
struct Flags {
    /// start: serve until a signal ends it.
    #[arg(value_name = "start", value_parser = ["start"])]
    command: String,
    /// Address that clients are served on.
    #[arg(long, value_name = "host:port", default_value = "127.0.0.1:23790")]
    listen_addr: String,
    /// Endpoints of the cluster, separated by commas.
    #[arg(long, value_name = "endpoints", value_delimiter = ',', default_value = "127.0.0.1:2379")]
    endpoints: Vec<String>,
    /// DNS domain whose SRV records name the endpoints; they replace --endpoints.
    #[arg(long, value_name = "domain", default_value = "")]
    discovery_srv: String,
    /// Suffix of the service name in those records.
    #[arg(long, value_name = "name", default_value = "")]
    discovery_srv_name: String,
    /// Take discovered endpoints without TLS, and those with a certificate for another domain, too.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    insecure_discovery: bool,
    /// Authorities that may have signed certificates of discovered endpoints; empty for the system's.
    #[arg(long, value_name = "file", default_value = "")]
    trusted_ca_file: String,
    /// How long an endpoint that refused a connection is left out before it is tried again.
    #[arg(long, value_name = "duration", default_value = "1m0s", value_parser = units::duration)]
    retry_delay: Duration,
}

/// Runs the gateway.
pub(super) fn main(args: &[String]) -> ExitCode {
    let flags: Flags = match read(args) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    run(Level::Info, async || start(flags).await, |_| async {})
}

async fn start(flags: Flags) -> Result<tokio::task::JoinHandle<()>, String> {
    tracing::info!(command = flags.command, "listen-addr" = flags.listen_addr, "running the gateway");
    let discovery = Discovery {
        domain: &flags.discovery_srv,
        service: &flags.discovery_srv_name,
        insecure: flags.insecure_discovery,
        ca: &flags.trusted_ca_file,
    };
    let found = discover(discovery).await?;
    let mut endpoints: Vec<Endpoint> = found
        .into_iter()
        .map(|one| Endpoint {
            address: format!("{}:{}", one.record.target, one.record.port),
            priority: one.record.priority,
            weight: one.record.weight,
        })
        .collect();
    if endpoints.is_empty() {
        let given = parts(&flags.endpoints);
        endpoints = given.iter().map(|text| endpoint(text)).collect::<Result<_, _>>()?;
    }
    refuse_loop(&flags.listen_addr, &endpoints).await?;
    if endpoints.is_empty() {
        return Err("no endpoints found".into());
    }
    let listener = TcpListener::bind(&flags.listen_addr).await;
    let listener = listener.map_err(|why| format!("listen tcp {}: {why}", flags.listen_addr))?;
    let retry_delay = if flags.retry_delay.is_zero() { DEFAULT_DELAY } else { flags.retry_delay };
    Ok(tokio::spawn(proxy::gateway::run(listener, Settings { endpoints, retry_delay })))
}

/// An endpoint of the flag, its scheme dropped.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    let address = text.split_once("://").map_or(text, |(_, rest)| rest.split('/').next().unwrap_or(rest));
    let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(Endpoint { address: address.to_owned(), priority: 0, weight: 0 }),
        _ => Err(format!("error parsing endpoint {text:?}")),
    }
}

/// A gateway that is its own endpoint would open connections to itself until it has no more. CVE-2020-15114.
async fn refuse_loop(listen: &str, endpoints: &[Endpoint]) -> Result<(), String> {
    let (host, _) = listen.rsplit_once(':').ok_or_else(|| format!("failed to validate listen address: {listen}"))?;
    let own = resolve(listen).await.map_err(|_| format!("failed to resolve listen host: {host}"))?;
    for Endpoint { address, .. } in endpoints {
        let target = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let found = resolve(address).await.map_err(|_| format!("failed to resolve endpoint host: {target}"))?;
        if let Some(met) = found.iter().find(|found| own.iter().any(|own| is_reached(own, found))) {
            return Err(format!(
                "SRV or endpoint ({address}->{met}) should not resolve to the gateway listen addr ({listen})"
            ));
        }
    }
    Ok(())
}

/// Whether a connection to `to` would come to a listener at `own`.
fn is_reached(own: &SocketAddr, to: &SocketAddr) -> bool {
    own.port() == to.port() && (own.ip() == to.ip() || (own.ip().is_unspecified() && to.ip().is_loopback()))
}

async fn resolve(address: &str) -> std::io::Result<Vec<SocketAddr>> {
    // a listener may leave its host out: that is every address
    let address = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    Ok(tokio::net::lookup_host(address).await?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn flags_stand_before_and_behind_the_command() {
        let line = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let flags: Flags = read(&line("--endpoints=a:1,b:2 start --retry-delay 5s --insecure-discovery")).unwrap();
        assert_eq!((flags.endpoints, flags.retry_delay), (vec!["a:1".into(), "b:2".into()], Duration::from_secs(5)));
        assert!(flags.insecure_discovery);
        assert_eq!(flags.listen_addr, "127.0.0.1:23790");
        let last: Flags = read(&line("start --listen-addr=a:1 --listen-addr=b:2 --insecure-discovery=false")).unwrap();
        assert_eq!((last.listen_addr.as_str(), last.insecure_discovery), ("b:2", false));
        assert!(read::<Flags>(&line("stop")).is_err());
    }

    #[test]
    fn endpoints_need_a_port_and_lose_their_scheme() {
        assert_eq!(endpoint("http://a:1/x").unwrap().address, "a:1");
        assert_eq!(endpoint("a").unwrap_err(), "error parsing endpoint \"a\"");
        assert_eq!(endpoint("a:b").unwrap_err(), "error parsing endpoint \"a:b\"");
    }

    #[test]
    fn a_gateway_does_not_lead_to_itself() {
        let to = |address: &str| [endpoint(address).unwrap()];
        block(async {
            let why = refuse_loop("127.0.0.1:23790", &to("localhost:23790")).await.unwrap_err();
            assert!(why.ends_with("should not resolve to the gateway listen addr (127.0.0.1:23790)"), "{why}");
            assert!(refuse_loop("0.0.0.0:23790", &to("127.0.0.1:23790")).await.is_err());
            assert!(refuse_loop(":23790", &to("127.0.0.1:23790")).await.is_err());
            refuse_loop("127.0.0.1:23790", &to("127.0.0.1:2379")).await.unwrap();
            assert_eq!(refuse_loop("x", &to("127.0.0.1:1")).await.unwrap_err(), "failed to validate listen address: x");
        });
    }
}
