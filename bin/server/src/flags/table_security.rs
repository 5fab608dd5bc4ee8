//! Flags of TLS and authentication.

use super::spec::{Area, Group, Here, Kind, Row};
use Here::{Harmless, Used};
use Kind::{Bool, Int, Text, Uint};

pub(super) const GROUPS: &[Group] = &[
    Group(
        Area::ClientTls,
        &[
            Row("cert-file", Text, "", Used, "Certificate of the server (PEM); read again at every handshake."),
            Row("key-file", Text, "", Used, "Key of that certificate (PEM)."),
            Row("client-cert-auth", Bool, "false", Used, "Require a certificate of every client."),
            Row(
                "trusted-ca-file",
                Text,
                "",
                Used,
                "Authorities that may sign certificates of clients (PEM); requires them, too.",
            ),
            Row("client-crl-file", Text, "", Used, "Revoked certificates of clients; read again at every handshake."),
            Row(
                "client-cert-allowed-hostname",
                Text,
                "",
                Used,
                "Host names of which a client's certificate must carry one.",
            ),
            Row("auto-tls", Bool, "false", Used, "Make a certificate if none is given."),
            Row(
                "client-cert-file",
                Text,
                "",
                Harmless("the member makes no TLS connection to itself"),
                "Certificate of connections to itself.",
            ),
            Row(
                "client-key-file",
                Text,
                "",
                Harmless("the member makes no TLS connection to itself"),
                "Key of that certificate.",
            ),
        ],
    ),
    Group(
        Area::PeerTls,
        &[
            Row("peer-cert-file", Text, "", Used, "Certificate shown to other members."),
            Row("peer-key-file", Text, "", Used, "Key of that certificate."),
            Row(
                "peer-client-cert-file",
                Text,
                "",
                Used,
                "Certificate shown when connecting to them, if it is another one.",
            ),
            Row("peer-client-key-file", Text, "", Used, "Key of that certificate."),
            Row("peer-client-cert-auth", Bool, "false", Used, "Require a certificate of every other member."),
            Row("peer-trusted-ca-file", Text, "", Used, "Authorities that may sign certificates of members (PEM)."),
            Row("peer-crl-file", Text, "", Used, "Revoked certificates of members."),
            Row("peer-auto-tls", Bool, "false", Used, "Make a certificate if none is given."),
            Row("peer-cert-allowed-cn", Text, "", Used, "Common names that certificates of members may carry."),
            Row("peer-cert-allowed-hostname", Text, "", Used, "Host names that certificates of members may carry."),
            Row(
                "peer-skip-client-san-verification",
                Bool,
                "false",
                Used,
                "Do not compare the addresses of members with their certificates.",
            ),
        ],
    ),
    Group(
        Area::Tls,
        &[
            Row(
                "cipher-suites",
                Text,
                "",
                Used,
                "Cipher suites of TLS 1.2 by Go's names, separated by commas; weak ones are left out. Empty for all good ones.",
            ),
            Row("tls-min-version", Text, "TLS1.2", Used, "Lowest version of TLS: TLS1.2 or TLS1.3."),
            Row("tls-max-version", Text, "", Used, "Highest version of TLS: TLS1.2 or TLS1.3. Empty for the newest."),
            Row(
                "self-signed-cert-validity",
                Uint,
                "1",
                Used,
                "Years for which a certificate made by --auto-tls is valid.",
            ),
        ],
    ),
    Group(
        Area::Auth,
        &[
            Row(
                "auth-token",
                Text,
                "simple",
                Used,
                "Kind of authentication tokens: simple, or jwt with sign-method, pub-key, priv-key and ttl. Empty for none.",
            ),
            Row(
                "auth-token-ttl",
                Uint,
                "300",
                Used,
                "Seconds for which a simple token is valid after it was last used.",
            ),
            Row("bcrypt-cost", Int, "10", Used, "Cost factor of hashing passwords, 4 to 31."),
        ],
    ),
];
