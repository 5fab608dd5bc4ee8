//! What polite gRPC clients never do, and the protocols beside gRPC.

use crate::client::{connect, echo};
use crate::echo::{Server, start, start_on};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response, StatusCode};
use net::door::{DoorLimits, ListenSpec, Listener};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const CERT: &[u8] = include_bytes!("cert.pem");
const KEY: &[u8] = include_bytes!("key.pem");

fn plain() -> Server {
    start(&DoorLimits::default(), ListenSpec::plain(1))
}

/// A raw HTTP/2 client over any stream.
async fn h2_client<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: T) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(io).await.expect("handshake");
    tokio::spawn(async move {
        // tests that break the protocol end the connection with an error
        let _ = connection.await;
    });
    client.ready().await.expect("ready")
}

pub async fn h2_to(addr: SocketAddr) -> SendRequest<Bytes> {
    h2_client(TcpStream::connect(addr).await.expect("connects")).await
}

/// Sends one request and collects body and trailers.
pub async fn ask(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: &'static [u8],
) -> (Response<()>, Vec<u8>, http::HeaderMap) {
    let (response, mut tx) = client.send_request(request, false).expect("sends");
    tx.send_data(Bytes::from_static(body), true).expect("sends");
    let (head, mut rx) = response.await.expect("answers").into_parts();
    let mut out = Vec::new();
    while let Some(chunk) = rx.data().await {
        let chunk = chunk.expect("good");
        rx.flow_control().release_capacity(chunk.len()).expect("releases");
        out.extend_from_slice(&chunk);
    }
    let trailers = rx.trailers().await.expect("good").unwrap_or_default();
    (Response::from_parts(head, ()), out, trailers)
}

pub fn grpc(path: &str) -> http::request::Builder {
    Request::post(format!("http://localhost{path}")).header("content-type", "application/grpc").header("te", "trailers")
}

/// Sends one HTTP/1.1 request and reads to the end.
pub async fn http1(mut io: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    io.write_all(request.as_bytes()).await.expect("writes");
    let mut out = String::new();
    io.read_to_string(&mut out).await.expect("reads");
    out
}

#[tokio::test]
async fn one_port_speaks_http1_http2_and_grpc() {
    let server = plain();
    let tcp = TcpStream::connect(server.addr).await.expect("connects");
    let answer =
        http1(tcp, "POST /v3/x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("POST /v3/x 3"), "{answer}");
    let tcp = TcpStream::connect(server.addr).await.expect("connects");
    let answer = http1(tcp, "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");

    let mut client = h2_to(server.addr).await;
    let request = grpc("/test.Echo/Inline").body(()).expect("request");
    let (head, body, trailers) = ask(&mut client, request, b"\0\0\0\0\x01z").await;
    assert_eq!((head.status(), &body[..]), (StatusCode::OK, &b"\0\0\0\0\x01z"[..]));
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(head.headers().len(), 1, "only content-type: {:?}", head.headers());
    server.stop().await;
}

#[tokio::test]
async fn http2_is_for_grpc_alone_without_tls() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    for method in [http::Method::GET, http::Method::POST] {
        let request = Request::builder().method(method).uri("http://localhost/health").body(()).expect("request");
        let (head, body, _) = ask(&mut client, request, b"").await;
        assert_eq!(head.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(head.headers()["content-type"], "application/grpc");
        assert_eq!(head.headers()["grpc-status"], "3");
        assert_eq!(head.headers()["grpc-message"], "invalid gRPC request content-type \"\"");
        assert!(body.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_get_grpc_gos_answers() {
    let server = plain();
    let mut client = h2_to(server.addr).await;
    let wrong = Request::post("http://localhost/test.Echo/Inline").header("content-type", "text/plain").body(());
    let (head, ..) = ask(&mut client, wrong.expect("request"), b"").await;
    assert_eq!(head.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let cases: [(&str, &str, &'static [u8], &str); 6] = [
        ("grpc-encoding", "deflate", b"\x01\0\0\0\x01z", "12"),
        ("grpc-encoding", "gzip", b"\x01\0\0\0\x01z", "13"),
        ("grpc-timeout", "soon", b"\0\0\0\0\0", "13"),
        ("x", "y", b"\x01\0\0\0\x01z", "13"),
        ("x", "y", b"", "2"),
        ("x", "y", b"\0\0\0\0\x01za", "13"),
    ];
    for (name, value, body, code) in cases {
        let request = grpc("/test.Echo/Inline").header(name, value).body(()).expect("request");
        let (head, _, trailers) = ask(&mut client, request, body).await;
        let status = head.headers().get("grpc-status").or(trailers.get("grpc-status"));
        assert_eq!(status.expect("a status"), code, "{name}: {value}, {body:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn rapid_resets_close_the_connection_and_nothing_else() {
    let limits = DoorLimits { max_pending_reset: 20, ..Default::default() };
    let server = start(&limits, ListenSpec::plain(1));
    let mut client = h2_to(server.addr).await;
    let mut refused = false;
    for _ in 0..20_000 {
        let Ok(ready) = client.clone().ready().await else {
            refused = true;
            break;
        };
        client = ready;
        let request = grpc("/test.Echo/Never").body(()).expect("request");
        match client.send_request(request, false) {
            Ok((_, mut tx)) => tx.send_reset(h2::Reason::CANCEL),
            Err(_) => {
                refused = true;
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    // whether h2 notices depends on how resets and reads fall together; what must hold is that nothing piles up
    let seen = server.seen.clone();
    crate::unary::eventually("every call that was let in is over", || {
        use std::sync::atomic::Ordering::Relaxed;
        seen.started.load(Relaxed) == seen.handled.load(Relaxed)
    })
    .await;
    let channel = connect(server.addr).await;
    assert_eq!(echo(&channel, "/test.Echo/Hop", "still here").await.expect("answers"), "still here");
    eprintln!("connection closed by the server: {refused}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_stops_half_way_is_reset() {
    let limits = DoorLimits { body_idle: Duration::from_millis(100), ..Default::default() };
    let server = start(&limits, ListenSpec::plain(1));
    let mut client = h2_to(server.addr).await;
    let (response, mut tx) =
        client.send_request(grpc("/test.Echo/Inline").body(()).expect("request"), false).expect("sends");
    tx.send_data(Bytes::from_static(b"\0\0\0\0\x09ab"), false).expect("sends");
    let response = tokio::time::timeout(Duration::from_secs(5), response).await.expect("in time").expect("answers");
    assert_eq!(response.headers()["grpc-status"], "4");
    server.stop().await;
}

fn tls_configs() -> (rustls::ServerConfig, rustls::ClientConfig) {
    let provider = Arc::new(tls::provider());
    let cert = CertificateDer::from_pem_slice(CERT).expect("certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("key");
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .expect("server config");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).expect("root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

#[tokio::test]
async fn tls_and_plain_share_a_port() {
    let (server_config, mut client_config) = tls_configs();
    let server = start(&DoorLimits::default(), ListenSpec::tls(1, &server_config).and_plain());
    let channel = connect(server.addr).await;
    assert_eq!(echo(&channel, "/test.Echo/Hop", "plain").await.expect("answers"), "plain");

    for (alpn, is_h2) in [(Some("h2"), true), (Some("http/1.1"), false), (None, false), (None, true)] {
        client_config.alpn_protocols = alpn.map(|p| p.as_bytes().to_vec()).into_iter().collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config.clone()));
        let tcp = TcpStream::connect(server.addr).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("name");
        let tls = connector.connect(name, tcp).await.expect("TLS handshake");
        if is_h2 {
            let mut client = h2_client(tls).await;
            let request = grpc("/test.Echo/Inline").body(()).expect("request");
            assert_eq!(ask(&mut client, request, b"\0\0\0\0\x01z").await.1, b"\0\0\0\0\x01z");
            let get = Request::get("https://localhost/health").body(()).expect("request");
            let (head, body, _) = ask(&mut client, get, b"").await;
            assert_eq!((head.status(), &body[..]), (StatusCode::OK, &b"GET /health 0"[..]));
            let only_head = Request::head("https://localhost/health").body(()).expect("request");
            let (head, body, _) = ask(&mut client, only_head, b"").await;
            assert_eq!((head.status(), &body[..]), (StatusCode::OK, &b""[..]));
        } else {
            let answer = http1(tls, "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            assert!(answer.ends_with("GET /health 0"), "{answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_unix_socket_serves_too() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("door.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bind");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = start_on(&DoorLimits::default(), ListenSpec::plain(1), Listener::Unix(listener), nowhere);
    let mut client = h2_client(tokio::net::UnixStream::connect(&path).await.expect("connects")).await;
    let request = grpc("/test.Echo/Inline").body(()).expect("request");
    assert_eq!(ask(&mut client, request, b"\0\0\0\0\x01z").await.1, b"\0\0\0\0\x01z");
    server.stop().await;
}
