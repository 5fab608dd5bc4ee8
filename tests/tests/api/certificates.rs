//! Certificates on every listener that takes them: the client port, the split HTTP port, the port of metrics, the peer port.
//!
//! Rules of certificates themselves are tested in `net/tls`; here each listener must have them. What is asked here was asked of
//! etcd 3.7.1 too.

use embed::listen::{Side, TlsSettings};
use embed::{Config, InitialMember, Node};
use harness::certificates::Certificates;
use harness::daemon::free_ports;
use harness::server::{in_system, quick_config};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a handshake may take, in etcd and here.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A node whose listeners all want certificates.
struct Guarded {
    node: Node,
    /// Of clients, by name: gRPC, HTTP, metrics.
    listeners: [(&'static str, SocketAddr); 3],
    peers: SocketAddr,
}

async fn start(files: &Certificates, dir: &Path, crl: bool) -> Guarded {
    let [grpc, http, metrics, peers] = free_ports();
    let url = |port: u16| vec![format!("https://127.0.0.1:{port}")];
    let pair = TlsSettings {
        cert_file: Some(files.path("server.pem")),
        key_file: Some(files.path("server.key")),
        trusted_ca_file: Some(files.path("ca.pem")),
        client_cert_auth: true,
        ..TlsSettings::default()
    };
    let config = Config {
        client_urls: url(grpc),
        client_http_urls: url(http),
        metrics_urls: url(metrics),
        peer_urls: url(peers),
        initial_cluster: vec![InitialMember { name: "default".into(), peer_urls: url(peers) }],
        peer_tls: Some(TlsSettings { side: Side::Peer, ..pair.clone() }),
        client_tls: Some(TlsSettings { crl_file: crl.then(|| files.path("crl.der")), ..pair }),
        ..quick_config("default", dir)
    };
    let node = Node::start(config).await.unwrap_or_else(|why| panic!("the node does not start: {why}"));
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    Guarded { node, listeners: [("grpc", at(grpc)), ("http", at(http)), ("metrics", at(metrics))], peers: at(peers) }
}

/// Whether a listener hears a client: sends it the start of its protocol and waits for the first byte of an answer.
async fn is_heard(files: &Certificates, client: &str, (name, at): (&str, SocketAddr)) -> bool {
    let (protocol, opening): (&[u8], &[u8]) = match name {
        "grpc" => (b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        _ => (b"http/1.1", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    };
    let socket = TcpStream::connect(at).await.expect("connect");
    let connector = files.connector(client, &[protocol]);
    let asked = async {
        let mut stream = connector.connect(ServerName::from(at.ip()), socket).await?;
        stream.write_all(opening).await?;
        stream.read_u8().await
    };
    timeout(HANDSHAKE, asked).await.is_ok_and(|first| first.is_ok())
}

#[test]
fn a_revoked_certificate_is_refused_on_every_listener() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let files = Certificates::in_dir(dir.path(), &["kept", "lost"]);
        files.revoke(&[]);
        let guarded = start(&files, &dir.path().join("data"), true).await;
        for listener in guarded.listeners {
            assert!(is_heard(&files, "lost", listener).await, "not yet revoked: {listener:?}");
        }
        // GHSA-3wh4-j44w-pg92; and the list is read again for each connection
        files.revoke(&["lost"]);
        for listener in guarded.listeners {
            assert!(!is_heard(&files, "lost", listener).await, "revoked: {listener:?}");
            assert!(is_heard(&files, "kept", listener).await, "not revoked: {listener:?}");
        }
        guarded.node.stop().await;
    });
}

#[test]
fn only_the_port_of_metrics_compares_a_certificate_with_the_address_it_comes_from() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let files = Certificates::in_dir(dir.path(), &["near"]);
        files.make_client("far", "10.9.9.9");
        let guarded = start(&files, &dir.path().join("data"), false).await;
        for listener in guarded.listeners {
            assert!(is_heard(&files, "near", listener).await, "{listener:?}");
            assert_eq!(is_heard(&files, "far", listener).await, listener.0 != "metrics", "{listener:?}");
        }
        guarded.node.stop().await;
    });
}

#[test]
fn sockets_that_never_shake_hands_are_closed() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let files = Certificates::in_dir(dir.path(), &["client"]);
        let guarded = start(&files, &dir.path().join("data"), false).await;
        let begun = Instant::now();
        let mut silent = Vec::new();
        for listener in guarded.listeners.into_iter().chain([("peers", guarded.peers)]) {
            silent.push((listener, TcpStream::connect(listener.1).await.expect("connect")));
        }
        // GHSA-6vch-q96h-7gc3
        for (listener, mut socket) in silent {
            let end = timeout(3 * HANDSHAKE, socket.read_u8()).await;
            assert!(end.is_ok_and(|end| end.is_err()), "still open after {:?}: {listener:?}", begun.elapsed());
        }
        guarded.node.stop().await;
    });
}
