//! What is no member: garbage on streams, strangers on the port, browsers and scrapers.

use super::harness::{CLUSTER, Member, config, introduce, lock, pair, run, until};
use crate::peer::codec::hello::{ANSWER_LEN, DialNumbers, Hello, HelloAnswer, Purpose};
use crate::peer::codec::lane::Lane;
use crate::peer::dial::udp::Dialler;
use crate::peer::port::Transport;
use crate::peer::tls::PeerTls;
use rustls::pki_types::ServerName;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn hello(purpose: Purpose) -> Vec<u8> {
    hello_of(7, purpose, None)
}

pub fn hello_of(member: u64, purpose: Purpose, both_ways: Option<DialNumbers>) -> Vec<u8> {
    let hello = Hello { cluster: CLUSTER, member, to: 2, boot_epoch: 1, oldest: 1, newest: 1, purpose, both_ways };
    hello.encode().to_vec()
}

fn noise(seed: &mut u64) -> Vec<u8> {
    let mut next = || {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    };
    let length = 1 + next() % 3_000;
    let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
    if next() % 2 == 0 && bytes.len() > 8 {
        // a prefix that is right, and an archive that is not
        let archive = bytes.len() as u32 - 8;
        bytes[..4].copy_from_slice(&archive.to_le_bytes());
        bytes[4..6].copy_from_slice(&1_u16.to_le_bytes());
        bytes[6..8].copy_from_slice(&(next() as u16 % 5).to_le_bytes());
    }
    bytes
}

/// A connection that has said its hello, and the stream of it.
async fn greeted(two: &Member) -> (quinn::Connection, quinn::SendStream, quinn::RecvStream) {
    greeted_as(two, 7, None).await
}

/// The same as the member that is named, over what kind of URL the other one has.
pub async fn greeted_as(
    two: &Member,
    member: u64,
    both_ways: Option<DialNumbers>,
) -> (quinn::Connection, quinn::SendStream, quinn::RecvStream) {
    let config = config(member);
    let tls = PeerTls::new(None).expect("self-made");
    let trust = tls.of(false).expect("always there");
    let dialler = Dialler::new(&config, two.address()).expect("a port");
    let client = dialler.client(&config, trust, Purpose::Bulk).expect("fits");
    let connection =
        dialler.endpoint.connect_with(client, two.address(), "x").expect("starts").await.expect("connects");
    let (mut out, mut back) = connection.open_bi().await.expect("a stream");
    out.write_all(&hello_of(member, Purpose::Raft, both_ways)).await.expect("sent");
    out.write_all(&[0]).await.expect("sent");
    let mut answer = [0; ANSWER_LEN];
    back.read_exact(&mut answer).await.expect("an answer");
    assert!(HelloAnswer::decode(&answer).expect("an answer").result.is_ok());
    (connection, out, back)
}

#[test]
fn datagrams_without_frames_are_no_sign_of_life() {
    run(async {
        let two = Member::start(config(2));
        // QUIC keeps this connection alive by itself
        let (connection, _out, _back) = greeted(&two).await;
        let closed = tokio::time::timeout(std::time::Duration::from_secs(20), connection.closed()).await;
        assert!(matches!(closed, Ok(quinn::ConnectionError::ApplicationClosed(_))), "{closed:?}");
    });
}

/// Garbage over QUIC, on the lane that is chosen. Ends when the other side has closed.
async fn garbage(two: &Member, lane: Lane, bytes: &[u8]) {
    let (connection, mut out, _back) = greeted(two).await;
    match lane {
        Lane::Append => {
            let mut stream = connection.open_uni().await.expect("a stream");
            stream.write_all(&[lane as u8]).await.expect("sent");
            // the other side may have closed before all of it was sent
            let _ = stream.write_all(bytes).await;
            let _ = stream.finish();
        }
        Lane::Calls => {
            let (mut stream, _answers) = connection.open_bi().await.expect("a stream");
            stream.write_all(&[lane as u8]).await.expect("sent");
            let _ = stream.write_all(bytes).await;
            let _ = stream.finish();
        }
        _ => {
            let _ = out.write_all(bytes).await;
            let _ = out.finish();
        }
    }
    connection.closed().await;
}

#[test]
fn garbage_on_any_lane_closes_that_connection_and_nothing_else() {
    run(async {
        let (one, two) = pair().await;
        let since = one.transport.active_since(2);
        let mut seed = 0xbad5eed;
        for lane in [Lane::Control, Lane::Append, Lane::Calls] {
            for _ in 0..25 {
                garbage(&two, lane, &noise(&mut seed)).await;
            }
        }
        let counters = two.transport.metrics().of(7);
        assert!(counters.bad_frames.load(Relaxed) >= 50, "{} bad frames", counters.bad_frames.load(Relaxed));
        one.heartbeat(&two, 5);
        until("a heartbeat", || two.recorder.heartbeats() == [5]).await;
        assert_eq!(one.transport.active_since(2), since, "members are not disturbed");
        assert!(lock(&two.recorder.data).is_empty());
    });
}

#[test]
fn garbage_instead_of_a_hello_or_a_snapshot_is_closed() {
    run(async {
        let two = Member::start(config(2));
        let tls = PeerTls::new(None).expect("self-made");
        let connector = TlsConnector::from(tls.of(false).expect("always there").tcp_client());
        let mut seed = 7;
        for first in [Vec::new(), [hello(Purpose::Bulk), vec![0]].concat(), [hello(Purpose::Raft), vec![9]].concat()] {
            for _ in 0..10 {
                let stream = TcpStream::connect(two.address()).await.expect("connects");
                let name = ServerName::try_from("x").expect("a name");
                let mut stream = connector.connect(name, stream).await.expect("TLS");
                let bytes = [&first[..], &noise(&mut seed)].concat();
                // it may be closed in the middle
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
            }
        }
        assert!(lock(&two.recorder.data).is_empty() && lock(&two.recorder.control).is_empty());
        let one = Member::start(config(1));
        introduce(&[&one, &two]);
        one.reaches(&two).await;
    });
}

#[test]
fn strangers_that_say_nothing_do_not_keep_members_out() {
    run(async {
        let two = Member::start(config(2));
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(two.address()).await.expect("the kernel takes it"));
        }
        let one = Member::start(config(1));
        introduce(&[&one, &two]);
        one.reaches(&two).await;
        two.reaches(&one).await;
    });
}

async fn get(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, line: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut page = Vec::new();
    // a server that closes without a goodbye of TLS has said all it had to say
    let _ = stream.read_to_end(&mut page).await;
    String::from_utf8(page).expect("text")
}

#[test]
fn the_port_answers_http_in_plain_text_and_inside_tls() {
    run(async {
        let two = Member::start(config(2));
        for (line, status, body) in [
            ("GET /members", "200 OK", "[{\"id\":1,\"peerURLs\":[],\"name\":\"one\"}]\n"),
            ("GET /version", "200 OK", "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\"}"),
            ("GET /health", "200 OK", "{\"health\":\"true\"}"),
            ("GET /health?sick", "503 Service Unavailable", "{\"health\":\"false\"}"),
            ("POST /members", "405 Method Not Allowed", "Method Not Allowed\n"),
            ("GET /raft", "404 Not Found", "404 page not found\n"),
        ] {
            let plain = get(TcpStream::connect(two.address()).await.expect("connects"), line).await;
            let tls = PeerTls::new(None).expect("self-made");
            let mut config = (*tls.of(false).expect("always there").client).clone();
            config.alpn_protocols.clear();
            let stream = TcpStream::connect(two.address()).await.expect("connects");
            let name = ServerName::try_from("x").expect("a name");
            let stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await.expect("TLS");
            let encrypted = get(stream, line).await;
            for page in [plain, encrypted] {
                assert!(page.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {page}");
                assert!(page.ends_with(&format!("\r\n\r\n{body}")), "{line}: {page}");
            }
        }
        let page = get(TcpStream::connect(two.address()).await.expect("connects"), "GET /members").await;
        assert!(page.contains("x-etcd-cluster-id: c1\r\n"), "{page}");
    });
}
