//! Names of older releases that start-up scripts still carry.

use super::spec::{Area, Flag, Group, Here, Kind, Row};
use Here::{Harmless, Refused};
use Kind::{Bool, Ignored, Int, Text, Uint, Word};

const GONE: Here = Harmless("means nothing any more");
const V2: Here = Refused("proxies of the v2 API are gone, in etcd since 3.6; point clients at the members");

const V2_WORDS: &[&str] = &["write-only", "write-only-skip-check", "write-only-drop-data", "gone"];

pub(super) const GROUPS: &[Group] = &[Group(
    Area::Legacy,
    &[
        Row(
            "max-snapshots",
            Uint,
            "5",
            Harmless("snapshots are not kept as files"),
            "Number of snapshot files that etcd keeps.",
        ),
        Row("v2-deprecation", Word(V2_WORDS), "write-only", GONE, "Stage of the v2 store's removal."),
        Row("enable-v2", Bool, "false", Here::Used, "Serve the v2 API of etcd 3.5 on the client URLs."),
        Row("experimental-enable-v2v3", Text, "", V2, "Serve the v2 API from v3 data."),
        Row("proxy", Word(&["off", "on", "readonly"]), "off", V2, "Run as a proxy of the v2 API."),
        Row("proxy-failure-wait", Uint, "5000", GONE, "Of the v2 proxy."),
        Row("proxy-refresh-interval", Uint, "30000", GONE, "Of the v2 proxy."),
        Row("proxy-dial-timeout", Uint, "1000", GONE, "Of the v2 proxy."),
        Row("proxy-write-timeout", Uint, "5000", GONE, "Of the v2 proxy."),
        Row("proxy-read-timeout", Uint, "0", GONE, "Of the v2 proxy."),
        Row("experimental-max-learners", Int, "1", GONE, "Now max-learners."),
        Row("cluster-active-size", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("cluster-remove-delay", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("cluster-sync-interval", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("config", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("force", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("max-result-buffer", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("max-retry-attempts", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("peer-heartbeat-interval", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("peer-election-timeout", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("retry-interval", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("snapshot", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("v", Ignored, "", GONE, "Ignored, as in etcd."),
        Row("vv", Ignored, "", GONE, "Ignored, as in etcd."),
    ],
)];

/// Whether etcd 3.7 has a flag no more. Variables and files outlive releases: etcd takes such a name there for one it does not
/// know, warns at most and starts, so its value must never be a reason to refuse a start.
pub fn is_gone(flag: &Flag) -> bool {
    // The first two are still flags of 3.7, the third is one here; the v2 discovery is not.
    const STILL_THERE: &[&str] = &["max-snapshots", "v2-deprecation", "enable-v2"];
    const V2_DISCOVERY: &[&str] = &["discovery", "discovery-proxy"];
    let is_older = flag.area == Area::Legacy && flag.kind != Kind::Ignored && !STILL_THERE.contains(&flag.name);
    is_older || V2_DISCOVERY.contains(&flag.name)
}

/// What an `experimental-*` name of etcd 3.6 stands for today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// A flag.
    Flag(&'static str),
    /// A feature gate.
    Gate(&'static str),
}

/// Names of etcd 3.6 and what they are called now, without the prefix `experimental-`.
pub const EXPERIMENTAL: &[(&str, Now)] = &[
    ("bootstrap-defrag-threshold-megabytes", Now::Flag("bootstrap-defrag-threshold-megabytes")),
    ("compact-hash-check-enabled", Now::Gate("CompactHashCheck")),
    ("compact-hash-check-time", Now::Flag("compact-hash-check-time")),
    ("compaction-batch-limit", Now::Flag("compaction-batch-limit")),
    ("compaction-sleep-interval", Now::Flag("compaction-sleep-interval")),
    ("corrupt-check-time", Now::Flag("corrupt-check-time")),
    ("distributed-tracing-address", Now::Flag("distributed-tracing-address")),
    ("distributed-tracing-instance-id", Now::Flag("distributed-tracing-instance-id")),
    ("distributed-tracing-sampling-rate", Now::Flag("distributed-tracing-sampling-rate")),
    ("distributed-tracing-service-name", Now::Flag("distributed-tracing-service-name")),
    ("downgrade-check-time", Now::Flag("downgrade-check-time")),
    ("enable-distributed-tracing", Now::Flag("enable-distributed-tracing")),
    ("enable-lease-checkpoint", Now::Gate("LeaseCheckpoint")),
    ("enable-lease-checkpoint-persist", Now::Gate("LeaseCheckpointPersist")),
    ("initial-corrupt-check", Now::Gate("InitialCorruptCheck")),
    ("memory-mlock", Now::Flag("memory-mlock")),
    ("peer-skip-client-san-verification", Now::Flag("peer-skip-client-san-verification")),
    ("set-member-localaddr", Now::Gate("SetMemberLocalAddr")),
    ("snapshot-catchup-entries", Now::Flag("snapshot-catchup-entries")),
    ("stop-grpc-service-on-defrag", Now::Gate("StopGRPCServiceOnDefrag")),
    ("txn-mode-write-with-shared-buffer", Now::Gate("TxnModeWriteWithSharedBuffer")),
    ("warning-apply-duration", Now::Flag("warning-apply-duration")),
    ("warning-unary-request-duration", Now::Flag("warning-unary-request-duration")),
    ("watch-progress-notify-interval", Now::Flag("watch-progress-notify-interval")),
];
