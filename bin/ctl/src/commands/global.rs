//! The flags that every command takes. Must never name a command.

use crate::cli::spec::{Flag, Kind};

/// Flags of every command.
pub const GLOBAL: &[Flag] = &[
    Flag::new("endpoints", Kind::List, "127.0.0.1:2379", "endpoints of the cluster, separated by commas"),
    Flag::switch("debug", "print the client settings to standard error"),
    Flag::new("write-out", Kind::Text, "simple", "output format: fields, json, protobuf, simple or table").letter('w'),
    Flag::switch("hex", "print byte strings and ids as hexadecimal"),
    Flag::new("dial-timeout", Kind::Duration, "2s", "timeout for connecting and logging in"),
    Flag::new(
        "command-timeout",
        Kind::Duration,
        "5s",
        "timeout for commands that do not run until they are interrupted",
    ),
    Flag::new("keepalive-time", Kind::Duration, "2s", "time after which an idle connection is pinged"),
    Flag::new("keepalive-timeout", Kind::Duration, "6s", "time to wait for the answer to a ping"),
    Flag::int("max-request-bytes", "maximum size of a request in bytes (0: 2 MiB)"),
    Flag::int("max-recv-bytes", "maximum size of a response in bytes (0: 2 GiB)"),
    Flag::new(
        "insecure-transport",
        Kind::Bool,
        "true",
        "use TLS only if an endpoint or a certificate flag requires it",
    ),
    Flag::new("insecure-discovery", Kind::Bool, "true", "accept SRV records that describe endpoints without TLS"),
    Flag::switch("insecure-skip-tls-verify", "do not verify the certificates of servers (for tests only)"),
    Flag::text("cert", "client certificate file (PEM)"),
    Flag::text("key", "private key file for --cert (PEM)"),
    Flag::text("cacert", "file of CA certificates to trust (PEM)"),
    Flag::text("auth-jwt-token", "JWT to authenticate with instead of --user and --password"),
    Flag::text("user", "name[:password] to authenticate with; a missing password is asked for"),
    Flag::text("password", "password for --user, if it contains none"),
    Flag::text("discovery-srv", "domain whose SRV records describe the endpoints").letter('d'),
    Flag::text("discovery-srv-name", "suffix of the service name in SRV records"),
];
