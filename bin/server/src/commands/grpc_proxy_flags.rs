//! The flags of `conclave grpc-proxy start`. Names and defaults are etcd's.

use clap::{ArgAction, Parser};
use std::time::Duration;

/// Answers gRPC calls in place of a cluster.
///
/// Watchers of one range share a watch at the cluster, renewals of one lease share a call, serializable reads are kept for up to ten
/// seconds or until a write passes through. Everything else goes on to a member as it came, in turn over those that are connected.
#[derive(Parser, Clone, Debug)]
#[command(name = "conclave grpc-proxy", arg_required_else_help = true)]
pub(super) struct Flags {
    /// start: serve until a signal ends it.
    #[arg(value_name = "start", value_parser = ["start"])]
    pub(super) command: String,
    /// Address that clients are served on.
    #[arg(long, value_name = "host:port", default_value = "127.0.0.1:23790", help_heading = "Addresses")]
    pub(super) listen_addr: String,
    /// URL at which health and metrics are served besides.
    #[arg(long, value_name = "url", default_value = "", help_heading = "Addresses")]
    pub(super) metrics_addr: String,
    /// Endpoints of the cluster, separated by commas.
    #[arg(
        long,
        value_name = "endpoints",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379",
        help_heading = "Addresses"
    )]
    pub(super) endpoints: Vec<String>,
    /// How often the members are asked for their client URLs, which replace --endpoints; 0 for never.
    #[arg(long, value_name = "duration", default_value = "0s", value_parser = units::duration, help_heading = "Addresses")]
    pub(super) endpoints_auto_sync_interval: Duration,
    /// DNS domain whose SRV records name the endpoints; they replace --endpoints.
    #[arg(long, value_name = "domain", default_value = "", help_heading = "Addresses")]
    pub(super) discovery_srv: String,
    /// Suffix of the service name in those records.
    #[arg(long, value_name = "name", default_value = "", help_heading = "Addresses")]
    pub(super) discovery_srv_name: String,
    /// Take discovered endpoints without TLS, and those with a certificate for another domain, too.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Addresses")]
    pub(super) insecure_discovery: bool,
    /// Address that `member list` shows, and under which this proxy is registered. Empty to show the members of the cluster.
    #[arg(long, value_name = "host:port", default_value = "127.0.0.1:23790", help_heading = "Addresses")]
    pub(super) advertise_client_url: String,
    /// Prefix of the keys under which proxies of this cluster register themselves.
    #[arg(long, value_name = "prefix", default_value = "", help_heading = "Addresses")]
    pub(super) resolver_prefix: String,
    /// Seconds after which a registered proxy that is gone is forgotten.
    #[arg(
        long,
        value_name = "seconds",
        default_value_t = 0,
        allow_negative_numbers = true,
        help_heading = "Addresses"
    )]
    pub(super) resolver_ttl: i64,

    /// Put before all keys, so that clients see a part of the keys as all there are.
    #[arg(long, value_name = "prefix", default_value = "", help_heading = "Calls")]
    pub(super) namespace: String,
    /// Largest message to a member, in bytes.
    #[arg(
        long,
        value_name = "bytes",
        default_value_t = 1_572_864,
        allow_negative_numbers = true,
        help_heading = "Calls"
    )]
    pub(super) max_send_bytes: i64,
    /// Largest message from a member, in bytes.
    #[arg(long, value_name = "bytes", default_value_t = i64::from(i32::MAX), allow_negative_numbers = true, help_heading = "Calls")]
    pub(super) max_recv_bytes: i64,
    /// Most calls of a client's connection at a time; 16384 is the most, whatever is given.
    #[arg(long, value_name = "count", default_value_t = u32::MAX, help_heading = "Calls")]
    pub(super) max_concurrent_streams: u32,
    /// Serializable reads never go back in time, whichever member answers.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Calls")]
    pub(super) experimental_serializable_ordering: bool,
    /// Answer linearizable reads of keys that nobody else writes from memory; leasing keys begin with this prefix. All who write
    /// must do so through proxies with the same prefix, or etcd's client package `leasing`.
    #[arg(long, value_name = "prefix", default_value = "", help_heading = "Calls")]
    pub(super) experimental_leasing_prefix: String,

    /// Time between pings of a silent member; 0 for no pings.
    #[arg(long, value_name = "duration", default_value = "0s", value_parser = units::duration, help_heading = "Keep-alive")]
    pub(super) dial_keepalive_time: Duration,
    /// How long a member may leave a ping unanswered.
    #[arg(long, value_name = "duration", default_value = "20s", value_parser = units::duration, help_heading = "Keep-alive")]
    pub(super) dial_keepalive_timeout: Duration,
    /// Ping members also while there are no calls.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Keep-alive")]
    pub(super) permit_without_stream: bool,
    /// No effect: clients may ping as often as they like, floods of pings are bounded otherwise.
    #[arg(long, value_name = "duration", default_value = "5s", value_parser = units::duration, help_heading = "Keep-alive")]
    pub(super) grpc_keepalive_min_time: Duration,
    /// Time between pings of a silent client; 0 for no pings.
    #[arg(long, value_name = "duration", default_value = "2h0m0s", value_parser = units::duration, help_heading = "Keep-alive")]
    pub(super) grpc_keepalive_interval: Duration,
    /// How long a client may leave a ping unanswered.
    #[arg(long, value_name = "duration", default_value = "20s", value_parser = units::duration, help_heading = "Keep-alive")]
    pub(super) grpc_keepalive_timeout: Duration,

    /// Certificate shown to members. It must have no common name: members would take it for the user behind every call.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS to members")]
    pub(super) cert: String,
    /// Key of that certificate.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS to members")]
    pub(super) key: String,
    /// Authorities that may have signed certificates of members; empty for the system's.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS to members")]
    pub(super) cacert: String,
    /// Do not verify certificates of members. For tests only.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "TLS to members")]
    pub(super) insecure_skip_tls_verify: bool,

    /// Certificate shown to clients.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS of clients")]
    pub(super) cert_file: String,
    /// Key of that certificate.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS of clients")]
    pub(super) key_file: String,
    /// Clients must show a certificate that one of these authorities signed.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS of clients")]
    pub(super) trusted_ca_file: String,
    /// Certificates of clients that were revoked.
    #[arg(long, value_name = "file", default_value = "", help_heading = "TLS of clients")]
    pub(super) client_crl_file: String,
    /// Show a certificate that is made when none is given. Clients cannot verify it.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "TLS of clients")]
    pub(super) auto_tls: bool,
    /// Years until such a certificate ends.
    #[arg(long, value_name = "years", default_value_t = 1, help_heading = "TLS of clients")]
    pub(super) self_signed_cert_validity: u32,
    /// Folder of such a certificate.
    #[arg(long, value_name = "folder", default_value = "default.proxy", help_heading = "TLS of clients")]
    pub(super) data_dir: String,
    /// Cipher suites of TLS 1.2, separated by commas; empty for all good ones.
    #[arg(long, value_name = "suites", value_delimiter = ',', help_heading = "TLS of clients")]
    pub(super) listen_cipher_suites: Vec<String>,
    /// Least version of TLS: TLS1.2 or TLS1.3.
    #[arg(long, value_name = "version", default_value = "TLS1.2", help_heading = "TLS of clients")]
    pub(super) tls_min_version: String,
    /// Greatest version of TLS; empty for the newest.
    #[arg(long, value_name = "version", default_value = "", help_heading = "TLS of clients")]
    pub(super) tls_max_version: String,

    /// Log more.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Logs")]
    pub(super) debug: bool,
    /// Log service, method and client of each call; never what is in it.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Logs")]
    pub(super) experimental_enable_grpc_logging: bool,
    /// No effect: there is no profile of Go's kind.
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set, help_heading = "Logs")]
    pub(super) enable_pprof: bool,
}
