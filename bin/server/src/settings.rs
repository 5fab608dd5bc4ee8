//! From values to typed settings: everything is checked here, in etcd's words, before anything is opened.
//!
//! Must never open a socket or write a file.

use crate::cluster;
use crate::discovery::{self, Discovery};
use crate::flags::spec::{Area, Here};
use crate::flags::{Given, gates, syntax, table};
use crate::monitoring;
use crate::tls;
use crate::tokens;
use embed::config::AutoCompaction;
use embed::listen::{ClientUrl, SocketOptions, UrlTarget, bind_address, parse_url};
use embed::{CorruptionChecks, SnapshotFormat};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// etcd's default of `--quota-backend-bytes`.
const DEFAULT_QUOTA: i64 = 2 << 30;
/// Largest quota etcd recommends.
const RECOMMENDED_QUOTA: i64 = 8 << 30;
/// Largest request etcd recommends.
const RECOMMENDED_REQUEST: usize = 10 << 20;
/// Longest election timeout.
const MAX_ELECTION: u64 = 50_000;
/// Least time between progress notices.
const MIN_PROGRESS: Duration = Duration::from_millis(100);
/// For waits that were switched off: no server runs so long.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Checked settings.
#[derive(Debug)]
pub struct Settings {
    /// What the node gets.
    pub node: embed::Config,
    /// Who is asked for the founders of the cluster, when nobody said.
    pub discovery: Option<Discovery>,
    /// The values they were made from, for the log.
    pub given: Given,
    /// Sentences to log before the start.
    pub warnings: Vec<String>,
}

/// Checks values and completes them.
///
/// # Errors
/// One sentence that says what is wrong and, where etcd has no text of its own, what to do.
pub fn resolve(mut given: Given) -> Result<Settings, String> {
    let mut warnings = std::mem::take(&mut given.warnings);
    check_urls(&given)?;
    check_advertised(&given)?;
    let timing = timing(&given)?;
    // in a file, etcd falls back to the default of what is advertised
    if !given.from_file && given.is_set("listen-client-urls") && !given.is_set("advertise-client-urls") {
        return Err("--advertise-client-urls is required when --listen-client-urls is set explicitly".into());
    }
    warn_of_unreachable(&given, "listen-client-urls", "advertise-client-urls", &mut warnings);
    warn_of_unreachable(&given, "listen-peer-urls", "initial-advertise-peer-urls", &mut warnings);
    let name = given.text("name").to_owned();
    if name == table::find("name").map_or("", |flag| flag.default) {
        warnings.push("it isn't recommended to use default name, please set a value for --name".into());
    }
    let data_dir = given.path("data-dir").unwrap_or_else(|| {
        warnings.push(format!("'data-dir' was empty; using default: {name}.etcd"));
        PathBuf::from(format!("{name}.etcd"))
    });
    let has_data = has_data(&data_dir);
    refuse(&given, has_data, &mut warnings)?;
    note_harmless(&given, &mut warnings);
    let mut node = embed::Config::new(name, data_dir);
    node.auto_compaction = auto_compaction(&given)?;
    node.corruption_checks = corruption_checks(&given);
    node.downgrade_check = Some(given.duration("downgrade-check-time")).filter(|every| !every.is_zero());
    node.scrub_interval = given.duration("scrub-interval");
    check_gates(&given)?;
    node.client_tls = tls::of_clients(&given, &node.data_dir)?;
    node.tokens = tokens::settings(&given, &mut warnings)?;
    node.bcrypt_cost = tokens::bcrypt_cost(&given, &mut warnings);
    peers(&given, &mut node, &mut warnings)?;
    let discovery = discover(&given, has_data, &mut warnings)?;
    node.initial_cluster = cluster::members(&given, &node.name, has_data)?;
    node.force_new_cluster = given.flag("force-new-cluster");
    node.rebuild = given.flag("rebuild-from-leader") && has_data;
    node.initial_state = cluster::initial_state(&given);
    node.initial_cluster_token = match &discovery {
        Some(Discovery::Service(service)) => service.token.clone(),
        _ => given.text("initial-cluster-token").to_owned(),
    };
    node.wal_dir = given.path("wal-dir");
    clients(&given, &mut node, &mut warnings);
    node.heartbeat = timing.heartbeat;
    node.election = timing.election;
    node.pre_vote = given.flag("pre-vote");
    node.advance_first_election = given.flag("initial-election-tick-advance");
    node.strict_reconfig = given.flag("strict-reconfig-check");
    node.max_learners = given.number("max-learners");
    node.catch_up_entries = given.number("snapshot-catchup-entries");
    node.snapshot_format = snapshot_format(&given);
    monitoring::apply(&given, &mut node)?;
    limits(&given, &mut node, &mut warnings);
    Ok(Settings { node, discovery, given, warnings })
}

/// What is served to clients, and where.
fn clients(given: &Given, node: &mut embed::Config, warnings: &mut Vec<String>) {
    node.client_urls = given.list("listen-client-urls");
    node.client_http_urls = given.list("listen-client-http-urls");
    node.metrics_urls = given.list("listen-metrics-urls");
    node.cors = given.list("cors");
    node.host_whitelist = given.list("host-whitelist");
    node.json_gateway = given.flag("enable-grpc-gateway");
    node.enable_v2 = given.flag("enable-v2");
    node.advertise_client_urls = given.list("advertise-client-urls");
    for url in &node.client_urls {
        if node.client_tls.is_some() && (url.starts_with("http:") || url.starts_with("unix:")) {
            warnings
                .push(format!("scheme is http or unix while key and cert files are present; ignoring them for {url}"));
        }
    }
    node.sockets = SocketOptions {
        reuse_port: given.flag("socket-reuse-port"),
        reuse_address: given.flag("socket-reuse-address"),
    };
}

fn snapshot_format(given: &Given) -> SnapshotFormat {
    SnapshotFormat::from_name(given.text("snapshot-format")).expect("the flag takes no other words")
}

/// Whether a member lives here already: flags about the first start are ignored then.
fn has_data(data_dir: &Path) -> bool {
    embed::holds_member(data_dir)
}

/// Who is asked for the founders. A member that has data belongs to a cluster already.
fn discover(given: &Given, has_data: bool, warnings: &mut Vec<String>) -> Result<Option<Discovery>, String> {
    let discovery = discovery::settings(given)?;
    if has_data && discovery.is_some() {
        warnings.push("discovery token is ignored since cluster already initialized; valid logs are found".into());
        return Ok(None);
    }
    Ok(discovery)
}

/// Ends the start for what is not offered. Flags of discovery are about the first start: a member that has data ignores them.
fn refuse(given: &Given, has_data: bool, warnings: &mut Vec<String>) -> Result<(), String> {
    let sources = ["initial-cluster", "discovery-endpoints", "discovery-srv"];
    if sources.iter().filter(|name| !given.text(name).is_empty()).count() > 1 {
        return Err("multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
                    \"discovery-endpoints\" or \"discovery-srv\""
            .into());
    }
    if given.text("discovery-fallback") == "proxy" {
        return Err("v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"".into());
    }
    for flag in table::flags() {
        if let Here::Refused(what_to_do) = flag.here
            && given.is_changed(flag.name)
            && !given.text(flag.name).is_empty()
        {
            if flag.area == Area::Discovery && has_data {
                warnings.push(format!("--{} is ignored: this member has been initialized before", flag.name));
                continue;
            }
            return Err(format!("--{}={}: {what_to_do}", flag.name, given.text(flag.name)));
        }
    }
    Ok(())
}

/// Says of switches without effect that they have none, when somebody turned them on.
fn note_harmless(given: &Given, warnings: &mut Vec<String>) {
    let switches = ["memory-mlock", "unsafe-no-fsync"];
    for name in switches {
        if let Some(Here::Harmless(why)) = table::find(name).map(|flag| flag.here)
            && given.flag(name)
        {
            warnings.push(format!("--{name} has no effect: {why}"));
        }
    }
    for (name, on) in given.gates() {
        if let Some(why) = gates::GATES.iter().find(|gate| on && gate.name == name).and_then(|gate| gate.here) {
            warnings.push(format!("feature gate {name} has no effect: {why}"));
        }
    }
}

fn check_urls(given: &Given) -> Result<(), String> {
    for name in ["listen-peer-urls", "listen-client-urls", "listen-client-http-urls", "listen-metrics-urls"] {
        for url in given.list(name) {
            parse_url(&url).and_then(|url| bind_address(&url)).map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

fn check_advertised(given: &Given) -> Result<(), String> {
    let forms = [
        ("initial-advertise-peer-urls", "must be \"host:port\""),
        (
            "advertise-client-urls",
            "must be in the format \"host:port\", \"unix:/path/to/socket\" or \"unixs:/path/to/socket\"",
        ),
    ];
    for (name, form) in forms {
        let urls = given.list(name);
        for url in &urls {
            let ClientUrl { place, .. } = parse_url(url).map_err(|why| why.to_string())?;
            if matches!(&place, UrlTarget::Host(host, _) if host.is_empty()) {
                return Err(format!("--{name} {:?} {form} (unexpected empty host ({url}))", urls.join(",")));
            }
        }
    }
    Ok(())
}

/// Says of advertised URLs that clients on other machines cannot use, when some are to come from there: they would be told such a
/// URL by `member list` or a balancer, and reach themselves or nobody.
fn warn_of_unreachable(given: &Given, listen: &str, advertise: &str, warnings: &mut Vec<String>) {
    let host_of = |url: &String| parse_url(url).ok().and_then(|url| url.host().map(str::to_owned));
    let is_loopback = |host: &str| match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost",
    };
    let serves_others = given.list(listen).iter().filter_map(host_of).any(|host| !is_loopback(&host));
    for url in given.list(advertise) {
        let Some(host) = host_of(&url) else { continue };
        let is_unspecified = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if is_unspecified {
            warnings.push(format!(
                "--{advertise} names {url}: nobody can connect to {host}; name an address under which this machine is reached"
            ));
        } else if serves_others && is_loopback(&host) {
            let from = given.text(listen);
            warnings.push(format!(
                "--{advertise} names {url} although --{listen} is {from}: on another machine {host} is that machine itself; \
                 name an address under which this one is reached"
            ));
        }
    }
}

struct Timing {
    heartbeat: Duration,
    election: Duration,
}

fn timing(given: &Given) -> Result<Timing, String> {
    let heartbeat: u64 = given.number("heartbeat-interval");
    let election: u64 = given.number("election-timeout");
    if heartbeat == 0 {
        return Err("--heartbeat-interval must be >0 (set to 0ms)".into());
    }
    if election == 0 {
        return Err("--election-timeout must be >0 (set to 0ms)".into());
    }
    if heartbeat.saturating_mul(5) > election {
        return Err(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        ));
    }
    if election > MAX_ELECTION {
        return Err(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {MAX_ELECTION}ms"
        ));
    }
    Ok(Timing { heartbeat: Duration::from_millis(heartbeat), election: Duration::from_millis(election) })
}

fn auto_compaction(given: &Given) -> Result<Option<AutoCompaction>, String> {
    let retention = match given.text("auto-compaction-retention") {
        "" => "0",
        text => text,
    };
    let bad = || format!("error parsing CompactionRetention: time: invalid duration {retention:?}");
    match given.text("auto-compaction-mode") {
        "periodic" => {
            let length = match syntax::number::<u32>(retention) {
                Some(hours) => Duration::from_secs(u64::from(hours) * 3600),
                None => units::duration(retention).map_err(|_| bad())?,
            };
            Ok(Some(length).filter(|length| !length.is_zero()).map(AutoCompaction::Periodic))
        }
        "revision" => match syntax::number::<i64>(retention) {
            Some(count) if count >= 0 => Ok(Some(count).filter(|count| *count > 0).map(AutoCompaction::Revision)),
            _ => Err(format!("--auto-compaction-retention={retention}: revision mode needs a plain number")),
        },
        "" => Err("undefined auto-compaction-mode".into()),
        other => Err(format!("unknown auto-compaction-mode {other:?}")),
    }
}

fn corruption_checks(given: &Given) -> CorruptionChecks {
    let chosen = given.gates();
    let every = |flag| Some(given.duration(flag)).filter(|every| !every.is_zero());
    CorruptionChecks {
        initial: gates::is_on(&chosen, "InitialCorruptCheck"),
        periodic: every("corrupt-check-time"),
        compaction: every("compact-hash-check-time").filter(|_| gates::is_on(&chosen, "CompactHashCheck")),
    }
}

fn check_gates(given: &Given) -> Result<(), String> {
    let chosen = given.gates();
    if gates::is_on(&chosen, "LeaseCheckpointPersist") && !gates::is_on(&chosen, "LeaseCheckpoint") {
        return Err(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint".into()
        );
    }
    Ok(())
}

/// The first advertised address of this member that other machines can see, as etcd infers it.
pub(crate) fn local_address(given: &Given) -> Option<IpAddr> {
    let hosts =
        given.list("initial-advertise-peer-urls").into_iter().filter_map(|url| match parse_url(&url).ok()?.place {
            UrlTarget::Host(host, _) => host.parse::<IpAddr>().ok(),
            UrlTarget::Path(_) => None,
        });
    hosts.into_iter().find(|address| !address.is_loopback() && !address.is_unspecified())
}

/// Everything about connections to other members.
fn peers(given: &Given, node: &mut embed::Config, warnings: &mut Vec<String>) -> Result<(), String> {
    node.peer_urls = given.list("listen-peer-urls");
    if gates::is_on(&given.gates(), "SetMemberLocalAddr") {
        node.peer_local_address = local_address(given);
        if node.peer_local_address.is_none() {
            warnings.push("unable to set a member local address due to lack of suitable local addresses".into());
        }
    }
    node.peer_tls = tls::of_peers(given, &node.data_dir)?;
    for url in &node.peer_urls {
        if node.peer_tls.is_some() && url.starts_with("http:") {
            warnings.push(format!(
                "scheme is http or unix while peer key and cert files are present; ignoring peer key and cert files for {url}"
            ));
        }
    }
    Ok(())
}

fn limits(given: &Given, node: &mut embed::Config, warnings: &mut Vec<String>) {
    node.quota_bytes = match given.number("quota-backend-bytes") {
        0 => DEFAULT_QUOTA,
        bytes => bytes,
    };
    node.defragment_at_start = given.number::<u64>("bootstrap-defrag-threshold-megabytes").saturating_mul(1 << 20);
    if node.quota_bytes > RECOMMENDED_QUOTA {
        let bytes = node.quota_bytes;
        warnings
            .push(format!("--quota-backend-bytes={bytes} is above {RECOMMENDED_QUOTA}, the largest etcd recommends"));
    }
    node.max_request_bytes = given.number("max-request-bytes");
    if node.max_request_bytes > RECOMMENDED_REQUEST {
        warnings.push(format!("exceeded recommended request limit: --max-request-bytes={}", node.max_request_bytes));
    }
    if node.max_request_bytes > embed::MAX_COMMAND_BYTES {
        let most = embed::MAX_COMMAND_BYTES;
        warnings.push(format!("requests of more than {most} bytes are refused whatever --max-request-bytes says"));
    }
    node.max_txn_ops = given.number("max-txn-ops");
    let progress = given.duration("watch-progress-notify-interval");
    if !progress.is_zero() {
        node.watch_progress = progress.max(MIN_PROGRESS);
    }
    let pause = given.duration("compaction-sleep-interval");
    if !pause.is_zero() {
        node.compaction_pause = pause;
    }
    node.compaction_rows = given.number("compaction-batch-limit");
    // the default, "as many as there can be", means the door's own bound
    if given.is_changed("max-concurrent-streams") {
        node.door.max_concurrent_streams = given.number("max-concurrent-streams");
    }
    let or_never = |length: Duration| if length.is_zero() { NEVER } else { length };
    node.door.keepalive_interval = or_never(given.duration("grpc-keepalive-interval"));
    node.door.keepalive_timeout = or_never(given.duration("grpc-keepalive-timeout"));
}
