//! Flags of TLS and authentication.

use super::spec::{Area, Group, Here, Kind, Row};
use Here::{Harmless, Refused, Used};
use Kind::{Bool, Int, Text, Uint};

const PEER: Here = Harmless("there are no other members yet; nothing is served on peer URLs");

pub(super) const GROUPS: &[Group] = &[
    Group(
        Area::ClientTls,
        &[
            Row("cert-file", Text, "", Used, "Certificate of the server, PEM; read again on every handshake."),
            Row("key-file", Text, "", Used, "Its key, PEM."),
            Row("client-cert-auth", Bool, "false", Used, "Clients must show a certificate."),
            Row("trusted-ca-file", Text, "", Used, "Authority of client certificates, PEM; asks for them too."),
            Row("client-crl-file", Text, "", Used, "Revoked client certificates; read again on every handshake."),
            Row("client-cert-allowed-hostname", Text, "", Used, "Names of which a client certificate must carry one."),
            Row("auto-tls", Bool, "false", Used, "Make a certificate when none is given."),
            Row(
                "client-cert-file",
                Text,
                "",
                Harmless("the member makes no TLS connection to itself"),
                "Certificate for connections to itself.",
            ),
            Row("client-key-file", Text, "", Harmless("the member makes no TLS connection to itself"), "Its key."),
        ],
    ),
    Group(
        Area::PeerTls,
        &[
            Row("peer-cert-file", Text, "", PEER, "Certificate between members."),
            Row("peer-key-file", Text, "", PEER, "Its key."),
            Row("peer-client-cert-file", Text, "", PEER, "Certificate shown to other members, when it is another."),
            Row("peer-client-key-file", Text, "", PEER, "Its key."),
            Row("peer-client-cert-auth", Bool, "false", PEER, "Members must show a certificate."),
            Row("peer-trusted-ca-file", Text, "", PEER, "Authority of members' certificates."),
            Row("peer-crl-file", Text, "", PEER, "Revoked certificates of members."),
            Row("peer-auto-tls", Bool, "false", PEER, "Make a certificate when none is given."),
            Row("peer-cert-allowed-cn", Text, "", PEER, "Common names members may have."),
            Row("peer-cert-allowed-hostname", Text, "", PEER, "Host names members may have."),
            Row(
                "peer-skip-client-san-verification",
                Bool,
                "false",
                PEER,
                "Do not compare addresses of members with their certificates.",
            ),
        ],
    ),
    Group(
        Area::Tls,
        &[
            Row("cipher-suites", Text, "", Used, "Suites of TLS 1.2, by Go's names; weak ones are left out."),
            Row("tls-min-version", Text, "TLS1.2", Used, "TLS1.2 or TLS1.3."),
            Row("tls-max-version", Text, "", Used, "TLS1.2 or TLS1.3; empty for the newest."),
            Row("self-signed-cert-validity", Uint, "1", Used, "Years a certificate made by --auto-tls is valid."),
        ],
    ),
    Group(
        Area::Auth,
        &[
            Row(
                "auth-token",
                Text,
                "simple",
                Refused("tokens signed with jwt are not offered yet; use simple"),
                "Kind of tokens: simple.",
            ),
            Row(
                "auth-token-ttl",
                Uint,
                "300",
                Harmless("users and tokens are not offered yet"),
                "Seconds a simple token lives.",
            ),
            Row(
                "bcrypt-cost",
                Int,
                "10",
                Harmless("users and tokens are not offered yet"),
                "Cost of hashing a password.",
            ),
        ],
    ),
];
