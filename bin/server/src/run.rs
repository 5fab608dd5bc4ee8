//! The life of the daemon: start the node, serve until a signal or a failure, stop it.

use crate::discovery;
use crate::flags::Given;
use crate::log::{Level, Logger};
use crate::notify;
use crate::settings::Settings;
use crate::signals::{Signals, signal_name};
use embed::config::AutoCompaction;
use embed::listen::{UrlTarget, parse_url};
use embed::{Node, NodeExit, StartError};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A stop takes no longer. What was acknowledged is safe in the log whatever is cut short here.
const STOP_PATIENCE: Duration = Duration::from_millis(1450);

/// How the daemon ended.
#[derive(Debug)]
pub enum Ended {
    /// This signal asked for it.
    BySignal(i32),
    /// What could not be done, and why.
    Failed(&'static str, String),
    /// The node was stopped from inside.
    Stopped,
}

/// Serves until something ends it.
pub async fn run(logger: &Logger, mut settings: Settings) -> Ended {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(why) => return Ended::Failed("cannot handle signals", why.to_string()),
    };
    if let Some(discovery) = &settings.discovery {
        let (name, advertised) = (&settings.node.name, settings.given.list("initial-advertise-peer-urls"));
        let found = tokio::select! {
            found = discovery::founders(discovery, name, &advertised) => found,
            signal = signals.next() => {
                logger.log(Level::Info, "received signal while starting; ending", &[("signal", json!(signal_name(signal)))]);
                return Ended::BySignal(signal);
            }
        };
        match found {
            Ok(founders) => settings.node.initial_cluster = founders,
            Err(why) => return Ended::Failed("discovery failed", why),
        }
    }
    let urls = Urls::of(&settings.node);
    let advertised = settings.node.advertise_client_urls.clone();
    let name = settings.node.name.clone();
    let data_dir = settings.node.data_dir.display().to_string();
    let node = tokio::select! {
        started = Node::start(settings.node) => match started {
            Ok(node) => node,
            Err(StartError::Died(removed @ NodeExit::Removed)) => {
                logger.log(Level::Warn, &removed.to_string(), &[]);
                return Ended::Stopped;
            }
            Err(why) => return Ended::Failed("cannot start the member", why.to_string()),
        },
        signal = signals.next() => {
            logger.log(Level::Info, "received signal while starting; ending", &[("signal", json!(signal_name(signal)))]);
            return Ended::BySignal(signal);
        }
    };
    for address in node.peer_addresses() {
        logger.log(Level::Info, "serving peer traffic", &[("address", json!(address.to_string()))]);
    }
    serving(logger, &urls, node.addresses());
    let fields = [("name", json!(name)), ("data-dir", json!(data_dir)), ("advertise-client-urls", json!(advertised))];
    let ended = tokio::select! {
        exit = node.stopped() => match exit {
            NodeExit::Stopped => Ended::Stopped,
            removed @ NodeExit::Removed => {
                // nothing is wrong with it: etcd ends with success, too
                logger.log(Level::Warn, &removed.to_string(), &fields);
                Ended::Stopped
            }
            failure => Ended::Failed("the member failed", failure.to_string()),
        },
        signal = signals.next() => {
            logger.log(Level::Info, "received signal; shutting down", &[("signal", json!(signal_name(signal)))]);
            Ended::BySignal(signal)
        }
    };
    logger.log(Level::Info, "closing etcd server", &fields);
    if tokio::time::timeout(STOP_PATIENCE, node.stop()).await.is_err() {
        logger.log(Level::Warn, "stopping took too long; what was acknowledged is in the log", &fields);
    }
    logger.log(Level::Info, "closed etcd server", &fields);
    ended
}

/// Where clients and scrapers are served.
struct Urls {
    clients: Vec<String>,
    http: Vec<String>,
    metrics: Vec<String>,
}

impl Urls {
    fn of(node: &embed::Config) -> Self {
        let (clients, http) = (node.client_urls.clone(), node.client_http_urls.clone());
        Self { clients, http, metrics: node.metrics_urls.clone() }
    }
}

/// The lines that harnesses and people wait for.
fn serving(logger: &Logger, urls: &Urls, addresses: &[SocketAddr]) {
    logger.log(Level::Info, "ready to serve client requests", &[]);
    let traffic = if urls.http.is_empty() { "grpc+http" } else { "grpc" };
    let clients = urls.clients.iter().map(|url| (url, traffic));
    for (url, traffic) in clients.chain(urls.http.iter().map(|url| (url, "http"))) {
        let Ok(parsed) = parse_url(url) else { continue };
        let address = match &parsed.place {
            UrlTarget::Path(path) => path.display().to_string(),
            UrlTarget::Host(host, port) => bound(host, *port, addresses),
        };
        let msg = match parsed.secure {
            true => "serving client traffic securely",
            false => "serving client traffic insecurely; this is strongly discouraged!",
        };
        logger.log(Level::Info, msg, &[("traffic", json!(traffic)), ("address", json!(address))]);
    }
    for url in &urls.metrics {
        logger.log(Level::Info, "serving metrics", &[("address", json!(url))]);
    }
    if let Err(why) = notify::ready() {
        logger.log(Level::Warn, "cannot notify the service manager", &[("error", json!(why.to_string()))]);
    }
}

/// The address a URL was bound to: a port of zero is filled in.
fn bound(host: &str, port: u16, addresses: &[SocketAddr]) -> String {
    let ip: Option<IpAddr> = host.parse().ok();
    let fits = |a: &&SocketAddr| (port == 0 || a.port() == port) && ip.is_none_or(|ip| a.ip() == ip);
    addresses.iter().find(fits).map_or_else(|| format!("{host}:{port}"), SocketAddr::to_string)
}

/// One line with the effective configuration, under the keys that people search etcd's logs for.
pub fn announce(logger: &Logger, settings: &Settings) {
    let node = &settings.node;
    let given = &settings.given;
    let cluster: Vec<String> = node
        .initial_cluster
        .iter()
        .flat_map(|member| member.peer_urls.iter().map(|url| format!("{}={url}", member.name)))
        .collect();
    let compaction = match node.auto_compaction {
        None => "0s".to_owned(),
        Some(AutoCompaction::Periodic(length)) => units::show_duration(length),
        Some(AutoCompaction::Revision(count)) => count.to_string(),
    };
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
    let fields: Vec<(&str, Value)> = vec![
        ("etcd-version", json!(embed::version::SERVER_VERSION)),
        ("conclave-version", json!(env!("CARGO_PKG_VERSION"))),
        ("member-initialized", json!(node.data_dir.join("member").exists())),
        ("name", json!(node.name)),
        ("data-dir", json!(node.data_dir.display().to_string())),
        ("wal-dir", json!(path(&node.wal_dir))),
        ("member-dir", json!(node.data_dir.join("member").display().to_string())),
        ("force-new-cluster", json!(node.force_new_cluster)),
        ("heartbeat-interval", json!(units::show_duration(node.heartbeat))),
        ("election-timeout", json!(units::show_duration(node.election))),
        ("snapshot-count", number(given, "snapshot-count")),
        ("snapshot-catchup-entries", json!(node.catch_up_entries)),
        ("initial-advertise-peer-urls", json!(given.list("initial-advertise-peer-urls"))),
        ("listen-peer-urls", json!(given.list("listen-peer-urls"))),
        ("advertise-client-urls", json!(node.advertise_client_urls)),
        ("listen-client-urls", json!(node.client_urls)),
        ("listen-client-http-urls", json!(node.client_http_urls)),
        ("listen-metrics-urls", json!(node.metrics_urls)),
        ("initial-cluster", json!(cluster.join(","))),
        ("initial-cluster-state", json!(given.text("initial-cluster-state"))),
        ("initial-cluster-token", json!(node.initial_cluster_token)),
        ("quota-backend-bytes", json!(node.quota_bytes)),
        ("max-request-bytes", json!(node.max_request_bytes)),
        ("memory-budget-bytes", json!(node.memory_budget)),
        ("max-concurrent-streams", number(given, "max-concurrent-streams")),
        ("pre-vote", json!(node.pre_vote)),
        ("feature-gates", json!(given.text("feature-gates"))),
        ("auto-compaction-mode", json!(given.text("auto-compaction-mode"))),
        ("auto-compaction-retention", json!(compaction)),
        ("v2-deprecation", json!("write-only")),
    ];
    logger.log(Level::Info, "starting an etcd server", &fields);
}

fn number(given: &Given, name: &str) -> Value {
    json!(given.number::<u64>(name))
}
