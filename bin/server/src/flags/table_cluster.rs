//! Flags of clusters and of discovery services.

use super::spec::{Area, Group, Here, Kind, Row};
use Here::{Harmless, Refused, Used};
use Kind::{Bool, Duration, Text, Urls, Word};

const V2_DISCOVERY: Here =
    Refused("the v2 discovery is gone, in etcd since 3.7; use --discovery-token and --discovery-endpoints");
const V2_PROXY: Here = Harmless("only read with the v2 discovery, which is gone");

pub(super) const GROUPS: &[Group] = &[
    Group(
        Area::Clustering,
        &[
            Row(
                "initial-advertise-peer-urls",
                Urls,
                "http://localhost:2380",
                Used,
                "URLs under which the other members reach this one; its id is derived from them.",
            ),
            Row(
                "advertise-client-urls",
                Urls,
                "http://localhost:2379",
                Used,
                "URLs under which clients reach this member; required with --listen-client-urls.",
            ),
            Row(
                "initial-cluster",
                Text,
                "",
                Used,
                "Members of a new cluster as name=url,name=url. Empty for this member alone.",
            ),
            Row(
                "initial-cluster-state",
                Word(&["new", "existing"]),
                "new",
                Used,
                "new for a new cluster, existing to join one; ignored once there is data.",
            ),
            Row(
                "initial-cluster-token",
                Text,
                "etcd-cluster",
                Used,
                "Token of a new cluster, which keeps clusters with equal URLs apart.",
            ),
            Row(
                "rebuild-from-leader",
                Bool,
                "false",
                Used,
                "Rebuild the store of this member from the leader's before it serves, also one that cannot be opened; its log and votes stay. Ignored at a first start.",
            ),
        ],
    ),
    Group(
        Area::Discovery,
        &[
            Row("discovery-srv", Text, "", Used, "DNS domain whose SRV records name the members."),
            Row("discovery-srv-name", Text, "", Used, "Suffix of the service name in those records."),
            Row("discovery-endpoints", Text, "", Used, "Endpoints of another cluster that knows the members."),
            Row("discovery-token", Text, "", Used, "Token of the new cluster there."),
            Row("discovery-dial-timeout", Duration, "2s", Used, "Longest time that connecting to it may take."),
            Row("discovery-request-timeout", Duration, "5s", Used, "Longest time that a request to it may take."),
            Row("discovery-keepalive-time", Duration, "2s", Used, "Time between two pings of it."),
            Row("discovery-keepalive-timeout", Duration, "6s", Used, "Time within which it must answer a ping."),
            Row("discovery-insecure-transport", Bool, "true", Used, "Connect to it without TLS."),
            Row("discovery-insecure-skip-tls-verify", Bool, "false", Used, "Do not verify its certificate."),
            Row("discovery-cert", Text, "", Used, "Client certificate shown to it."),
            Row("discovery-key", Text, "", Used, "Key of that certificate."),
            Row("discovery-cacert", Text, "", Used, "Authorities that may have signed its certificate."),
            Row("discovery-user", Text, "", Used, "User there: name or name:password."),
            Row("discovery-password", Text, "", Used, "Password of that user."),
            Row("discovery-fallback", Word(&["exit", "proxy"]), "exit", Used, "What to do when discovery fails: exit."),
            Row("discovery", Text, "", V2_DISCOVERY, "URL of a v2 discovery service."),
            Row("discovery-proxy", Text, "", V2_PROXY, "HTTP proxy on the way to it."),
        ],
    ),
];
