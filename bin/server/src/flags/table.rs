//! Every flag of etcd 3.7, first half: the member, its sockets, limits, storage, logs.

use super::spec::{Area, Flag, Group, Here, Kind, Row};
use super::{table_cluster, table_legacy, table_security};
use Here::{Harmless, Used};
use Kind::{Bool, Duration, Gates, Int, OptionalUrls, Size, Text, Uint, Uint32, Urls, Word};
use embed::SnapshotFormat;

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

const OWN: &[Group] = &[
    Group(
        Area::Member,
        &[
            Row("name", Text, "default", Used, "Human-readable name of this member, as in --initial-cluster."),
            Row("data-dir", Text, "", Used, "Directory of the data. Empty for ${name}.etcd."),
            Row(
                "wal-dir",
                Text,
                "",
                Used,
                "Directory of the write-ahead log, to put it on a disk of its own. Empty for one below --data-dir.",
            ),
            Row(
                "snapshot-count",
                Uint,
                "10000",
                Harmless("the store is flushed by size and count of its own"),
                "Committed entries after which etcd writes a snapshot.",
            ),
            Row(
                "snapshot-catchup-entries",
                Uint,
                "5000",
                Used,
                "Log entries kept for members that have fallen behind.",
            ),
            Row(
                "snapshot-format",
                Word(SnapshotFormat::NAMES),
                "etcd",
                Used,
                "Format of the snapshots that clients save: etcd, which etcd's tools restore too, or conclave.",
            ),
            Row(
                "max-wals",
                Uint,
                "5",
                Harmless("log files are kept exactly as long as they are needed"),
                "Number of log files that etcd keeps.",
            ),
            Row("heartbeat-interval", Uint, "100", Used, "Time between heartbeats, in milliseconds."),
            Row(
                "election-timeout",
                Uint,
                "1000",
                Used,
                "Time without a leader after which a member starts an election, in milliseconds.",
            ),
            Row(
                "initial-election-tick-advance",
                Bool,
                "true",
                Used,
                "Shorten the wait before the first election after a start.",
            ),
            Row(
                "pre-vote",
                Bool,
                "true",
                Used,
                "Ask the others before starting an election, so that a member that comes back does not disturb the leader.",
            ),
            Row("strict-reconfig-check", Bool, "true", Used, "Refuse membership changes that would cost the quorum."),
            Row("max-learners", Int, "1", Used, "Largest number of learners in the cluster."),
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
                "URLs on which clients are served, separated by commas: http, https, unix or unixs.",
            ),
            Row("listen-client-http-urls", OptionalUrls, "", Used, "URLs on which HTTP is served, but no gRPC."),
            Row(
                "listen-metrics-urls",
                OptionalUrls,
                "",
                Used,
                "Further URLs on which /metrics and /health are served.",
            ),
            Row(
                "listen-peer-urls",
                Urls,
                "http://localhost:2380",
                Used,
                "URLs on which other members are served: http, https, unix or unixs.",
            ),
            Row(
                "socket-reuse-port",
                Bool,
                "false",
                Used,
                "Set SO_REUSEPORT, so that several processes can listen on one port.",
            ),
            Row(
                "socket-reuse-address",
                Bool,
                "false",
                Used,
                "Set SO_REUSEADDR, so that an address in TIME_WAIT can be used.",
            ),
            Row(
                "max-concurrent-streams",
                Uint32,
                "4294967295",
                Used,
                "Largest number of open calls on one connection.",
            ),
            Row(
                "grpc-keepalive-min-time",
                Duration,
                "5s",
                Harmless("pings are bounded by answering one at a time"),
                "Shortest time between two pings of a client.",
            ),
            Row(
                "grpc-keepalive-interval",
                Duration,
                "2h",
                Used,
                "Time without a sign of life after which a client is pinged; 0 for never.",
            ),
            Row(
                "grpc-keepalive-timeout",
                Duration,
                "20s",
                Used,
                "Time within which a client must answer that ping; 0 for no limit.",
            ),
            Row(
                "raft-read-timeout",
                Duration,
                "5s",
                Harmless("how long a connection between members may be silent follows from --election-timeout"),
                "Longest time that reading a message of another member may take.",
            ),
            Row(
                "raft-write-timeout",
                Duration,
                "5s",
                Harmless("how long a connection between members may be silent follows from --election-timeout"),
                "Longest time that writing a message to another member may take.",
            ),
            Row("enable-grpc-gateway", Bool, "true", Used, "Serve the API as JSON below /v3."),
            Row("cors", Text, "*", Used, "Origins that browsers may call from, separated by commas; * for all."),
            Row("host-whitelist", Text, "*", Used, "Host names that HTTP requests without TLS may ask for; * for all."),
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
                "Bytes that the store may hold; 0 for 2 GiB, negative for no limit.",
            ),
            Row("max-request-bytes", Uint, "1572864", Used, "Largest request, in bytes."),
            Row("max-txn-ops", Uint, "128", Used, "Largest number of operations in one transaction."),
            Row(
                "memory-budget",
                Size,
                "",
                Used,
                "Memory that this process may use, such as 256MiB. Empty for 704MiB, or three quarters of the memory there is if that is less. Not a flag of etcd.",
            ),
        ],
    ),
    Group(
        Area::Backend,
        &[
            Row("backend-bbolt-freelist-type", Text, "map", NO_BBOLT, "Kind of bbolt's free list: array or map."),
            Row("backend-batch-interval", Duration, "0s", NO_BBOLT, "Longest time between two commits of bbolt."),
            Row(
                "backend-batch-limit",
                Int,
                "0",
                NO_BBOLT,
                "Largest number of operations between two commits of bbolt.",
            ),
            Row(
                "unsafe-no-fsync",
                Bool,
                "false",
                Harmless("every acknowledged write is synced here"),
                "Acknowledge writes before they are on the disk. Loses data.",
            ),
            Row("memory-mlock", Bool, "false", NO_BBOLT, "Lock the database file in memory."),
            Row(
                "bootstrap-defrag-threshold-megabytes",
                Uint,
                "0",
                Used,
                "Defragment at the start if that frees so many MiB; 0 for never.",
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
                "What --auto-compaction-retention counts: periodic for time, revision for revisions.",
            ),
            Row(
                "auto-compaction-retention",
                Text,
                "0",
                Used,
                "History to keep: 30m or 1h, hours if there is no unit, or a number of revisions; 0 to keep everything.",
            ),
            Row(
                "compaction-batch-limit",
                Int,
                "0",
                Used,
                "Largest number of revisions that one step of a compaction looks at; 0 for 1000.",
            ),
            Row(
                "compaction-sleep-interval",
                Duration,
                "0s",
                Used,
                "Pause between two steps of a compaction; 0 for 10ms.",
            ),
            Row(
                "corrupt-check-time",
                Duration,
                "0s",
                Used,
                "Time between two comparisons of the members' data; 0 for never.",
            ),
            Row(
                "scrub-interval",
                Duration,
                "6h0m0s",
                Used,
                "Time between two readings of the whole store and of the log that look for damage; 0 for never.",
            ),
            Row(
                "compact-hash-check-time",
                Duration,
                "1m0s",
                Used,
                "Time between two comparisons of the members' hashes of compactions (feature gate CompactHashCheck).",
            ),
        ],
    ),
];

const MORE: &[Group] = &[
    Group(
        Area::Logging,
        &[
            Row("logger", Text, "zap", Used, "Kind of logger: zap, the name of etcd's format."),
            Row(
                "log-level",
                Text,
                "info",
                Used,
                "Least severe level that is logged: debug, info, warn, error, panic or fatal.",
            ),
            Row("log-format", Text, "json", Used, "Format of log lines: json or console."),
            Row(
                "log-outputs",
                Text,
                "default",
                Used,
                "Where logs go: stderr, stdout, systemd/journal or paths of files, separated by commas; default is stderr.",
            ),
            Row("enable-log-rotation", Bool, "false", Used, "Rotate the one file that --log-outputs names."),
            Row(
                "log-rotation-config-json",
                Text,
                r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
                Used,
                "When the file is rotated (MiB) and what is kept (days, number of files); 0 for no limit.",
            ),
        ],
    ),
    Group(
        Area::Monitoring,
        &[
            Row(
                "metrics",
                Text,
                "basic",
                Used,
                "Set of metrics: basic, or extensive with histograms of every gRPC method.",
            ),
            Row(
                "enable-pprof",
                Bool,
                "false",
                Used,
                "Serve a CPU profile under /debug/pprof/profile. Costs nothing until one is asked for.",
            ),
            Row(
                "enable-distributed-tracing",
                Bool,
                "false",
                Used,
                "Send spans of calls to an OpenTelemetry collector.",
            ),
            Row(
                "distributed-tracing-address",
                Text,
                "localhost:4317",
                Used,
                "Host and port of the collector, which speaks OTLP over gRPC without TLS.",
            ),
            Row("distributed-tracing-service-name", Text, "etcd", Used, "Name of the service in traces."),
            Row("distributed-tracing-instance-id", Text, "", Used, "Id of this member in traces; empty for none."),
            Row(
                "distributed-tracing-sampling-rate",
                Int,
                "0",
                Used,
                "Number of calls traced out of a million, of those whose clients do not say.",
            ),
            Row(
                "warning-apply-duration",
                Duration,
                "100ms",
                Used,
                "A list of log entries that takes longer to be applied is a warning in the log.",
            ),
            Row(
                "warning-unary-request-duration",
                Duration,
                "300ms",
                Used,
                "A unary call that takes longer is a warning in the log.",
            ),
            Row(
                "watch-progress-notify-interval",
                Duration,
                "0s",
                Used,
                "Time between two progress notices to a watch that asked for them; 0 for 10m.",
            ),
            Row(
                "downgrade-check-time",
                Duration,
                "5s",
                Used,
                "Time between two looks whether a downgrade of the cluster is done; 0 for never.",
            ),
        ],
    ),
    Group(
        Area::Other,
        &[
            Row(
                "feature-gates",
                Gates,
                "",
                Used,
                "Features to switch, such as LeaseCheckpoint=true, separated by commas.",
            ),
            Row(
                "config-file",
                Text,
                "",
                Used,
                "YAML or JSON file with all settings; other flags and variables are ignored then.",
            ),
            Row("version", Bool, "false", Used, "Print the version and exit."),
            Row(
                "force-new-cluster",
                Bool,
                "false",
                Used,
                "Make a cluster of this member alone from its data, when the others are lost for good.",
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
