//! The flags that every command takes. Must never name a command.

use crate::cli::spec::{Flag, Kind};

/// Flags of every command.
pub const GLOBAL: &[Flag] = &[
    Flag::new("endpoints", Kind::List, "127.0.0.1:2379", "servers to ask, between commas"),
    Flag::switch("debug", "show settings on standard error"),
    Flag::new("write-out", Kind::Text, "simple", "how answers are printed: fields, json, protobuf, simple or table")
        .letter('w'),
    Flag::switch("hex", "show bytes and ids as hex"),
    Flag::new("dial-timeout", Kind::Duration, "2s", "how long a login may take"),
    Flag::new("command-timeout", Kind::Duration, "5s", "how long a short command may take"),
    Flag::new("keepalive-time", Kind::Duration, "2s", "pause between pings of an idle connection"),
    Flag::new("keepalive-timeout", Kind::Duration, "6s", "how long an answer to a ping may take"),
    Flag::int("max-request-bytes", "largest request (0: 2 MiB)"),
    Flag::int("max-recv-bytes", "largest answer (0: 2 GiB)"),
    Flag::new("insecure-transport", Kind::Bool, "true", "no TLS unless an endpoint or a certificate asks for it"),
    Flag::new("insecure-discovery", Kind::Bool, "true", "take SRV records without TLS as well"),
    Flag::switch("insecure-skip-tls-verify", "take any certificate of a server (only for tests)"),
    Flag::text("cert", "certificate to show to servers"),
    Flag::text("key", "key of --cert"),
    Flag::text("cacert", "certificates of authorities to trust"),
    Flag::text("auth-jwt-token", "token to log in with, instead of --user and --password"),
    Flag::text("user", "name[:password] to log in with; the password is asked for when missing"),
    Flag::text("password", "password to log in with, when --user has none"),
    Flag::text("discovery-srv", "domain whose SRV records name the servers").letter('d'),
    Flag::text("discovery-srv-name", "suffix of the service's name in SRV records"),
];
