//! Who may call the gateway, and where it is: hosts, certificates, ports, and that it can be turned off.

use crate::auth::{enable, try_login};
use embed::listen::TlsSettings;
use harness::Server;
use harness::certificates::Certificates;
use harness::daemon::free_ports;
use harness::http::request_with;
use harness::json::post;
use harness::server::{in_system, on_server_with, quick_config};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RANGE: &str = "/v3/kv/range";
const FOO: &str = r#"{"key":"Zm9v"}"#;

#[test]
fn without_tls_only_listed_hosts_are_served() {
    on_server_with(
        |config| config.host_whitelist = vec!["good.example".into(), "::1".into()],
        async |server| {
            let ask = async |host: &str| {
                let head = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                let mut exchange = harness::json::Exchange::start(server.address(), head.as_bytes()).await;
                let answer = exchange.head().await;
                (answer, String::from_utf8(exchange.rest().await.0).expect("text"))
            };
            for host in ["good.example", "good.example:2379", "[::1]:2379"] {
                assert_eq!(ask(host).await.0.code, 200, "{host}");
            }
            for host in ["evil.example", "evil.example:2379", "good.example.evil.example", ""] {
                let (answer, body) = ask(host).await;
                assert_eq!(answer.code, 421, "{host}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
                let name = host.strip_suffix(":2379").unwrap_or(host);
                assert_eq!(
                    body,
                    format!(
                        "\netcd received your request, but the Host header was unrecognized.\n\nTo fix this, choose one of the \
                         following options:\n- Enable TLS, then any HTTPS request will be allowed.\n- Add the hostname you want \
                         to use to the whitelist in settings.\n  - e.g. etcd --host-whitelist \"{name}\"\n\nThis requirement has \
                         been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n\n"
                    )
                );
            }
            // the gateway as well, whatever is asked
            let options = request_with(server.address(), "OPTIONS", RANGE, &[]).await;
            assert_eq!(options.code, 421);
        },
    );
}

#[test]
fn it_can_be_turned_off() {
    on_server_with(
        |config| config.json_gateway = false,
        async |server| {
            for path in [RANGE, "/v3/", "/v3", "/v3beta/kv/range"] {
                let answer = post(server.address(), path, "", FOO).await;
                assert_eq!((answer.code, answer.body.as_str()), (404, "404 page not found\n"), "{path}");
            }
            let (_, answer) = harness::json::Exchange::websocket(server.address(), "/v3/watch", "").await;
            assert_eq!(answer.code, 404);
        },
    );
}

#[test]
fn a_port_for_http_alone_has_it_too() {
    let [http, metrics] = free_ports();
    on_server_with(
        |config| {
            config.client_http_urls = vec![format!("http://127.0.0.1:{http}")];
            config.metrics_urls = vec![format!("http://127.0.0.1:{metrics}")];
        },
        async |_| {
            let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            let answer = post(at(http), RANGE, "", FOO).await;
            assert!(answer.code == 200 && answer.body.starts_with("{\"header\":"), "{}", answer.body);
            assert_eq!(post(at(metrics), RANGE, "", FOO).await.code, 404, "scrapers have nothing to ask there");
        },
    );
}

/// A POST over TLS by a client with this certificate.
async fn post_by(files: &Certificates, at: SocketAddr, client: &str, token: &str) -> String {
    let mut socket = files.socket(at, client, b"http/1.1").await;
    let head = format!("POST {RANGE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n", FOO.len());
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    socket.write_all(format!("{head}{authorization}\r\n{FOO}").as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // the end of TLS may be missing
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_certificate_names_nobody_there() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let files = Certificates::in_dir(dir.path(), &["root", ""]);
        let server = Server::start(|config| {
            *config = quick_config("default", &dir.path().join("data"));
            config.client_urls = vec!["http://127.0.0.1:0".into(), "https://127.0.0.1:0".into()];
            config.client_tls = Some(TlsSettings {
                cert_file: Some(files.path("server.pem")),
                key_file: Some(files.path("server.key")),
                trusted_ca_file: Some(files.path("ca.pem")),
                client_cert_auth: true,
                ..TlsSettings::default()
            });
            config.bcrypt_cost = 4;
        })
        .await;
        let at = server.address();
        assert!(post_by(&files, at, "root", "").await.starts_with("HTTP/1.1 200 OK"), "while nobody counts");
        enable(&server.stubs).await;
        let token = try_login(&server.stubs, "root", "root").await.expect("a token");
        // CVE-2018-16886: never root by the certificate; and who thinks so is told
        let refused = post_by(&files, at, "root", "").await;
        assert!(refused.starts_with("HTTP/1.1 400 Bad Request"), "{refused}");
        let text = "CommonName of client sending a request against gateway will be ignored and not used as expected\n";
        assert!(refused.ends_with(text), "{refused}");
        assert!(post_by(&files, at, "root", &token).await.ends_with(text));
        let nobody = post_by(&files, at, "", "").await;
        assert!(nobody.contains("etcdserver: user name is empty"), "{nobody}");
        assert!(post_by(&files, at, "", &token).await.starts_with("HTTP/1.1 200 OK"));
        server.stop().await;
    });
}
