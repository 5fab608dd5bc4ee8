//! Flags of clusters and of discovery services.

use super::spec::{Area, Group, Here, Kind, Row};
use Here::{Harmless, Refused, Used};
use Kind::{Bool, Duration, Text, Urls, Word};

const NO_DISCOVERY: Here = Refused("discovery is not offered yet; name the member with --initial-cluster");
const DISCOVERY: Here = Harmless("only read with a discovery service");

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
                "Rebuild the store of this member from the leader's before it serves; its log and votes stay. Ignored at a first start.",
            ),
        ],
    ),
    Group(
        Area::Discovery,
        &[
            Row("discovery-srv", Text, "", NO_DISCOVERY, "DNS domain whose SRV records name the members."),
            Row("discovery-srv-name", Text, "", DISCOVERY, "Suffix of the service name in those records."),
            Row("discovery-endpoints", Text, "", NO_DISCOVERY, "Endpoints of another cluster that knows the members."),
            Row("discovery-token", Text, "", NO_DISCOVERY, "Token of the new cluster there."),
            Row("discovery-dial-timeout", Duration, "2s", DISCOVERY, "Longest time that connecting to it may take."),
            Row("discovery-request-timeout", Duration, "5s", DISCOVERY, "Longest time that a request to it may take."),
            Row("discovery-keepalive-time", Duration, "2s", DISCOVERY, "Time between two pings of it."),
            Row("discovery-keepalive-timeout", Duration, "6s", DISCOVERY, "Time within which it must answer a ping."),
            Row("discovery-insecure-transport", Bool, "true", DISCOVERY, "Connect to it without TLS."),
            Row("discovery-insecure-skip-tls-verify", Bool, "false", DISCOVERY, "Do not verify its certificate."),
            Row("discovery-cert", Text, "", DISCOVERY, "Client certificate shown to it."),
            Row("discovery-key", Text, "", DISCOVERY, "Key of that certificate."),
            Row("discovery-cacert", Text, "", DISCOVERY, "Authorities that may have signed its certificate."),
            Row("discovery-user", Text, "", DISCOVERY, "User there: name or name:password."),
            Row("discovery-password", Text, "", DISCOVERY, "Password of that user."),
            Row("discovery-fallback", Word(&["exit", "proxy"]), "exit", Used, "What to do when discovery fails: exit."),
            Row("discovery", Text, "", NO_DISCOVERY, "URL of a v2 discovery service."),
            Row("discovery-proxy", Text, "", DISCOVERY, "HTTP proxy on the way to it."),
        ],
    ),
];
