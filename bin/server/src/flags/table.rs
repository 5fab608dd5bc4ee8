//! Every flag of etcd 3.7, first half: the member, its sockets, limits, storage, logs.

use super::spec::{Area, Flag, Group, Here, Kind, Row};
use super::{table_cluster, table_legacy, table_security};
use Here::{Harmless, Refused, Used};
use Kind::{Bool, Duration, Gates, Int, OptionalUrls, Text, Uint, Uint32, Urls};

/// All flags, in the order of the help text.
pub fn flags() -> impl Iterator<Item = Flag> {
    let groups = [OWN, table_cluster::GROUPS, table_security::GROUPS, MORE, table_legacy::GROUPS];
    groups.into_iter().flatten().flat_map(|Group(area, rows)| {
        rows.iter().map(|Row(name, kind, default, here, help)| Flag {
            name,
            kind: *kind,
            default,
            area: *area,
            help,
            here: *here,
        })
    })
}

/// One flag by name.
pub fn find(name: &str) -> Option<Flag> {
    flags().find(|flag| flag.name == name)
}

const NO_BBOLT: Here = Harmless("the engine is RocksDB, there is no bbolt to tune");
const SINGLE: Here = Harmless("concerns traffic between members; this version runs single members");
const NO_TRACES: Here = Refused("distributed tracing is not offered yet; leave --enable-distributed-tracing away");
const TRACES: Here = Harmless("only read with --enable-distributed-tracing");

const OWN: &[Group] = &[
    Group(
        Area::Member,
        &[
            Row("name", Text, "default", Used, "Name of this member, for people and for --initial-cluster."),
            Row("data-dir", Text, "", Used, "Folder of the data; ${name}.etcd when not given."),
            Row("wal-dir", Text, "", Used, "Folder of the write-ahead log, to put it on another disk."),
            Row(
                "snapshot-count",
                Uint,
                "10000",
                Harmless("the store is flushed by size and count of its own"),
                "Entries after which etcd writes a snapshot.",
            ),
            Row("snapshot-catchup-entries", Uint, "5000", Used, "Log entries kept for members that are behind."),
            Row(
                "max-wals",
                Uint,
                "5",
                Harmless("log files are kept exactly as long as they are needed"),
                "Log files etcd keeps.",
            ),
            Row("heartbeat-interval", Uint, "100", Used, "Milliseconds between heartbeats."),
            Row("election-timeout", Uint, "1000", Used, "Milliseconds without a leader before a member campaigns."),
            Row(
                "initial-election-tick-advance",
                Bool,
                "true",
                Harmless("a single member always campaigns at once"),
                "Shorten the first election after a start.",
            ),
            Row("pre-vote", Bool, "true", Used, "Ask before campaigning, so that a returning member does not disturb."),
            Row("strict-reconfig-check", Bool, "true", SINGLE, "Refuse membership changes that would lose the quorum."),
            Row("max-learners", Int, "1", SINGLE, "Most learners in the cluster."),
        ],
    ),
    Group(
        Area::Listeners,
        &[
            Row(
                "listen-client-urls",
                Urls,
                "http://localhost:2379",
                Used,
                "URLs clients are served on: http, https, unix, unixs.",
            ),
            Row("listen-client-http-urls", OptionalUrls, "", Used, "URLs that serve HTTP but no gRPC."),
            Row("listen-metrics-urls", OptionalUrls, "", Used, "More URLs for /metrics and /health."),
            Row("listen-peer-urls", Urls, "http://localhost:2380", SINGLE, "URLs other members reach this one on."),
            Row("socket-reuse-port", Bool, "false", Used, "Let several processes listen on the same port."),
            Row("socket-reuse-address", Bool, "false", Used, "Listen although old connections still wait to end."),
            Row("max-concurrent-streams", Uint32, "4294967295", Used, "Most open calls on one connection."),
            Row(
                "grpc-keepalive-min-time",
                Duration,
                "5s",
                Harmless("pings are bounded by answering one at a time"),
                "Least time between two pings of a client.",
            ),
            Row(
                "grpc-keepalive-interval",
                Duration,
                "2h",
                Used,
                "Silence of a client after which it is pinged; 0 for never.",
            ),
            Row(
                "grpc-keepalive-timeout",
                Duration,
                "20s",
                Used,
                "Time a client has to answer that ping; 0 for no limit.",
            ),
            Row("raft-read-timeout", Duration, "5s", SINGLE, "Longest read of a message between members."),
            Row("raft-write-timeout", Duration, "5s", SINGLE, "Longest write of a message between members."),
            Row(
                "enable-grpc-gateway",
                Bool,
                "true",
                Harmless("the JSON gateway is not offered yet"),
                "Serve JSON under /v3.",
            ),
            Row("cors", Text, "*", Used, "Origins that browsers may call from, separated by commas."),
            Row(
                "host-whitelist",
                Text,
                "*",
                Refused("the host whitelist is not offered yet; leave it away, and bind to private addresses"),
                "Host names that plain HTTP requests may carry.",
            ),
        ],
    ),
    Group(
        Area::Limits,
        &[
            Row(
                "quota-backend-bytes",
                Int,
                "0",
                Used,
                "Bytes the store may hold; 0 for 2 GiB, less than 0 for no limit.",
            ),
            Row("max-request-bytes", Uint, "1572864", Used, "Largest request in bytes."),
            Row("max-txn-ops", Uint, "128", Used, "Most operations in one transaction."),
        ],
    ),
    Group(
        Area::Backend,
        &[
            Row("backend-bbolt-freelist-type", Text, "map", NO_BBOLT, "Kind of free list in bbolt."),
            Row("backend-batch-interval", Duration, "0s", NO_BBOLT, "Longest time before bbolt commits."),
            Row("backend-batch-limit", Int, "0", NO_BBOLT, "Most operations before bbolt commits."),
            Row(
                "unsafe-no-fsync",
                Bool,
                "false",
                Refused("every acknowledged write is synced here; leave it away"),
                "Do not sync. Loses data.",
            ),
            Row("memory-mlock", Bool, "false", NO_BBOLT, "Keep the database file in memory."),
            Row(
                "bootstrap-defrag-threshold-megabytes",
                Uint,
                "0",
                NO_BBOLT,
                "Defragment at start when that frees so much.",
            ),
        ],
    ),
    Group(
        Area::Compaction,
        &[
            Row(
                "auto-compaction-mode",
                Text,
                "periodic",
                Used,
                "periodic (keep a length of time) or revision (keep a count).",
            ),
            Row(
                "auto-compaction-retention",
                Text,
                "0",
                Used,
                "What to keep: 1h, 30m, a bare number of hours, or a count; 0 for off.",
            ),
            Row(
                "compaction-batch-limit",
                Int,
                "0",
                Harmless("steps have a size of their own"),
                "Most revisions per step of a compaction.",
            ),
            Row("compaction-sleep-interval", Duration, "0s", Used, "Pause between two steps; 0 for 10ms."),
            Row("corrupt-check-time", Duration, "0s", SINGLE, "Time between comparisons of members; 0 for never."),
            Row("compact-hash-check-time", Duration, "1m0s", SINGLE, "Time between comparisons of compaction hashes."),
        ],
    ),
];

const MORE: &[Group] = &[
    Group(
        Area::Logging,
        &[
            Row("logger", Text, "zap", Used, "Only zap, the name of etcd's format, is accepted."),
            Row("log-level", Text, "info", Used, "debug, info, warn, error, panic or fatal."),
            Row("log-format", Text, "json", Used, "json or console."),
            Row("log-outputs", Text, "default", Used, "stderr, stdout, systemd/journal or files, separated by commas."),
            Row("enable-log-rotation", Bool, "false", Used, "Rotate the log file."),
            Row(
                "log-rotation-config-json",
                Text,
                r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
                Used,
                "MiB, days and files to keep; 0 for no limit.",
            ),
        ],
    ),
    Group(
        Area::Monitoring,
        &[
            Row("metrics", Text, "basic", Harmless("there is one set of metrics"), "basic or extensive."),
            Row(
                "enable-pprof",
                Bool,
                "false",
                Harmless("profiles of Go do not exist here; use perf"),
                "Serve profiles under /debug/pprof.",
            ),
            Row("enable-distributed-tracing", Bool, "false", NO_TRACES, "Send OpenTelemetry spans."),
            Row("distributed-tracing-address", Text, "localhost:4317", TRACES, "Where spans go."),
            Row("distributed-tracing-service-name", Text, "etcd", TRACES, "Name in spans."),
            Row("distributed-tracing-instance-id", Text, "", TRACES, "Id of this member in spans."),
            Row("distributed-tracing-sampling-rate", Int, "0", TRACES, "Samples per million spans."),
            Row(
                "warning-apply-duration",
                Duration,
                "100ms",
                Harmless("slow applies are seen in the metrics"),
                "Warn when applying takes longer.",
            ),
            Row(
                "warning-unary-request-duration",
                Duration,
                "300ms",
                Harmless("slow requests are seen in the metrics"),
                "Warn when a request takes longer.",
            ),
            Row(
                "watch-progress-notify-interval",
                Duration,
                "0s",
                Used,
                "Time between progress notices of watches; 0 for 10m.",
            ),
            Row("downgrade-check-time", Duration, "5s", SINGLE, "Time between two checks of a downgrade."),
        ],
    ),
    Group(
        Area::Other,
        &[
            Row("feature-gates", Gates, "", Used, "Switches such as LeaseCheckpoint=true, separated by commas."),
            Row(
                "config-file",
                Text,
                "",
                Used,
                "YAML or JSON file; all other flags and the environment are ignored then.",
            ),
            Row("version", Bool, "false", Used, "Show versions and exit."),
            Row(
                "force-new-cluster",
                Bool,
                "false",
                Refused("a single member keeps its data by itself; leave it away"),
                "Make a cluster of one from this member's data.",
            ),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::value;

    #[test]
    fn names_are_unique_and_defaults_are_valid() {
        let mut seen = std::collections::HashSet::new();
        for flag in flags() {
            assert!(seen.insert(flag.name), "{} twice", flag.name);
            if flag.kind != Kind::Ignored {
                value::check(flag.kind, flag.default).unwrap_or_else(|why| panic!("{}: {why}", flag.name));
            }
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
        // 111 of main, plus max-snapshots, v2-deprecation and two of v2 discovery that 3.7 still has, plus older names
        assert!(seen.len() >= 111 + 4 + 13, "{}", seen.len());
    }

    #[test]
    fn word_lists_are_not_empty() {
        assert!(flags().all(|flag| flag.kind != Kind::Word(&[])));
    }
}
