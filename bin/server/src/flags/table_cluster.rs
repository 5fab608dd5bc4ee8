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
                "Peer URLs of this member, as the others know it; its id follows from them.",
            ),
            Row(
                "advertise-client-urls",
                Urls,
                "http://localhost:2379",
                Used,
                "Client URLs told to clients; needed with --listen-client-urls.",
            ),
            Row(
                "initial-cluster",
                Text,
                "",
                Used,
                "Members of the new cluster: name=url,name=url; ${name}=${initial-advertise-peer-urls} when not given.",
            ),
            Row(
                "initial-cluster-state",
                Word(&["new", "existing"]),
                "new",
                Used,
                "new, or existing to join; ignored once there is data.",
            ),
            Row("initial-cluster-token", Text, "etcd-cluster", Used, "Keeps clusters with the same URLs apart."),
        ],
    ),
    Group(
        Area::Discovery,
        &[
            Row("discovery-srv", Text, "", NO_DISCOVERY, "Find the members by DNS."),
            Row("discovery-srv-name", Text, "", DISCOVERY, "Suffix of the DNS service name."),
            Row("discovery-endpoints", Text, "", NO_DISCOVERY, "Find the members through another cluster."),
            Row("discovery-token", Text, "", NO_DISCOVERY, "Token of the new cluster there."),
            Row("discovery-dial-timeout", Duration, "2s", DISCOVERY, "Longest connect."),
            Row("discovery-request-timeout", Duration, "5s", DISCOVERY, "Longest request."),
            Row("discovery-keepalive-time", Duration, "2s", DISCOVERY, "Time between pings."),
            Row("discovery-keepalive-timeout", Duration, "6s", DISCOVERY, "Longest answer to a ping."),
            Row("discovery-insecure-transport", Bool, "true", DISCOVERY, "Do not use TLS."),
            Row("discovery-insecure-skip-tls-verify", Bool, "false", DISCOVERY, "Do not verify its certificate."),
            Row("discovery-cert", Text, "", DISCOVERY, "Client certificate."),
            Row("discovery-key", Text, "", DISCOVERY, "Its key."),
            Row("discovery-cacert", Text, "", DISCOVERY, "Authority of its certificate."),
            Row("discovery-user", Text, "", DISCOVERY, "User there, name or name:password."),
            Row("discovery-password", Text, "", DISCOVERY, "Password there."),
            Row("discovery-fallback", Word(&["exit", "proxy"]), "exit", Used, "Only exit is accepted."),
            Row("discovery", Text, "", NO_DISCOVERY, "URL of a v2 discovery service."),
            Row("discovery-proxy", Text, "", DISCOVERY, "HTTP proxy on the way to it."),
        ],
    ),
];
