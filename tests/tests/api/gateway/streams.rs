//! Streams of JSON both ways, large answers, clients that are slow and clients that leave; over HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use harness::certificates::Certificates;
use harness::http::get;
use harness::json::{Exchange, field, post};
use harness::request::prefix;
use harness::server::{in_system, on_server, quick_config};
use harness::{Server, Stubs, soon, until};
use std::time::Duration;

/// `foo`, a prefix `big/`, and where it ends.
const FOO: &str = r#"{"create_request":{"key":"Zm9v"}}"#;
const BIG: (&str, &str) = ("YmlnLw==", "YmlnMA==");

/// Calls of a method that ended with a code, as the metrics have it.
async fn ended(server: &Server, method: &str, code: &str) -> u64 {
    let page = get(server.address(), "/metrics").await.body;
    let (method, code) = (format!("grpc_method=\"{method}\""), format!("grpc_code=\"{code}\""));
    let line = page
        .lines()
        .find(|line| line.starts_with("grpc_server_handled_total{") && line.contains(&method) && line.contains(&code));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn requests_may_follow_while_answers_come() {
    on_server(async |server| {
        let mut watch = Exchange::stream(server.address(), "/v3/watch", "", FOO).await;
        let head = watch.head().await;
        assert_eq!((head.code, head.header("content-type")), (200, Some("application/json")));
        assert!(watch.line().await.expect("a line").ends_with(r#""created":true}}"#));
        server.stubs.put("foo", "1").await;
        let line = watch.line().await.expect("an event");
        assert!(line.contains(r#""events":[{"kv":{"key":"Zm9v""#) && line.contains(r#""value":"MQ==""#), "{line}");

        // in pieces, and two in one
        watch.send_chunk(r#"{"create_request":{"ke"#).await;
        watch.send_chunk(r#"y":"YmFy"}} {"cancel_request":{"watch_id":"0"}}"#).await;
        let line = watch.line().await.expect("a line");
        assert!(line.ends_with(r#""watch_id":"1","created":true}}"#), "{line}");
        assert!(watch.line().await.expect("a line").ends_with(r#""canceled":true}}"#));

        // who has said everything goes on listening
        watch.send(b"0\r\n\r\n").await;
        server.stubs.put("foo", "2").await;
        server.stubs.put("bar", "3").await;
        let line = watch.line().await.expect("an event");
        assert!(line.contains(r#""watch_id":"1""#) && line.contains(r#""value":"Mw==""#), "{line}");
    });
}

#[test]
fn what_is_no_request_ends_the_requests_and_not_the_answers() {
    on_server(async |server| {
        let mut watch = Exchange::stream(server.address(), "/v3/watch", "", FOO).await;
        watch.send_chunk("no JSON").await;
        watch.send_chunk(r#"{"create_request":{"key":"YmFy"}}"#).await;
        assert_eq!(watch.head().await.code, 200);
        assert!(watch.line().await.is_some(), "created");
        server.stubs.put("bar", "1").await;
        server.stubs.put("foo", "1").await;
        assert!(watch.line().await.expect("an event").contains("Zm9v"));
    });
}

#[test]
fn a_client_that_leaves_ends_its_calls() {
    on_server(async |server| {
        let mut watch = Exchange::stream(server.address(), "/v3/watch", "", FOO).await;
        assert_eq!(watch.head().await.code, 200);
        drop(watch);
        until("the watch to end", async || (ended(server, "Watch", "Canceled").await == 1).then_some(())).await;

        let lock = r#"{"name":"bG9jaw=="}"#;
        let first = post(server.address(), "/v3/lock/lock", "", lock).await;
        assert_eq!(first.code, 200, "{}", first.body);
        let head = format!("POST /v3/lock/lock HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{lock}", lock.len());
        let second = Exchange::start(server.address(), head.as_bytes()).await;
        let claims = async || server.stubs.range(prefix("lock/")).await.expect("claims").count;
        until("the second claim", async || (claims().await == 2).then_some(())).await;
        drop(second);
        until("the second claim to go", async || (claims().await == 1).then_some(())).await;
    });
}

#[test]
fn a_snapshot_comes_as_lines() {
    on_server(async |server| {
        for i in 0..3 {
            server.stubs.put(format!("k{i}"), vec![7u8; 1 << 20]).await;
        }
        let answer = post(server.address(), "/v3/maintenance/snapshot", "", "{}").await;
        assert_eq!(answer.code, 200);
        let lines: Vec<_> = answer.body.lines().collect();
        assert!(lines.iter().all(|line| line.starts_with("{\"result\":{") && line.ends_with("}}")));
        assert!(field(lines[0], "remaining_bytes").is_some());
        assert!(field(lines[lines.len() - 1], "remaining_bytes").is_none(), "nothing remains behind the last one");
        let (snapshot, _) = server.stubs.snapshot().await.expect("a snapshot");
        let blobs: usize = lines.iter().filter_map(|line| field(line, "blob")).map(|blob| blob.len() / 4 * 3).sum();
        // the store may have grown by a row; padding is at most two bytes a line
        assert!(blobs.abs_diff(snapshot.len()) < 4096 + 2 * lines.len(), "{blobs} and {}", snapshot.len());
    });
}

const VALUES: usize = 40;

async fn fill(stubs: &Stubs) {
    for i in 0..VALUES {
        stubs.put(format!("big/{i:02}"), vec![b'x'; 1 << 20]).await;
    }
}

#[test]
fn a_large_answer_is_made_while_it_is_taken() {
    on_server(async |server| {
        fill(&server.stubs).await;
        let body = format!(r#"{{"key":"{}","range_end":"{}"}}"#, BIG.0, BIG.1);
        let whole = post(server.address(), "/v3/kv/range", "", &body).await;
        assert_eq!(whole.code, 200);
        assert_eq!(whole.body.matches("\"value\":\"eHh4").count(), VALUES);
        assert!(whole.body.ends_with(&format!("}}],\"count\":\"{VALUES}\"}}")));
        let least = VALUES * (1 << 20) / 3 * 4;
        assert!(whole.bytes.len() > least && whole.bytes.len() < least + 20_000, "{} bytes", whole.bytes.len());

        // read-only transactions too, nested
        let txn = format!(r#"{{"success":[{{"request_txn":{{"success":[{{"request_range":{body}}}]}}}}]}}"#);
        let nested = post(server.address(), "/v3/kv/txn", "", &txn).await;
        assert_eq!(nested.body.matches("\"value\":\"eHh4").count(), VALUES);
        assert!(nested.body.ends_with(&format!("\"count\":\"{VALUES}\"}}}}]}}}}]}}")), "the brackets are closed");

        // a reader that stops holds nobody up, and one that leaves neither
        let head = format!("POST /v3/kv/range HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut one = Exchange::start(server.address(), head.as_bytes()).await;
            assert_eq!(one.head().await.code, 200);
            one.some().await;
            slow.push(one);
        }
        soon("a write", server.stubs.put("k", "v")).await;
        let answer = soon("an answer", post(server.address(), "/v3/kv/range", "", r#"{"key":"aw=="}"#)).await;
        assert!(answer.body.contains(r#""value":"dg==""#));
        let mut last = slow.pop().expect("a reader");
        drop(slow);
        let (rest, is_whole) = last.rest().await;
        assert!(is_whole && rest.ends_with(format!("}}],\"count\":\"{VALUES}\"}}").as_bytes()));
    });
}

#[test]
fn a_reader_that_takes_nothing_loses_nothing_and_holds_nobody_up() {
    on_server(async |server| {
        let create = format!(r#"{{"create_request":{{"key":"{}","range_end":"{}"}}}}"#, BIG.0, BIG.1);
        let mut watch = Exchange::stream(server.address(), "/v3/watch", "", &create).await;
        assert_eq!(watch.head().await.code, 200);
        assert!(watch.line().await.is_some(), "created");
        soon("the writes", fill(&server.stubs)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        soon("another write", server.stubs.put("k", "v")).await;
        let mut events = 0;
        while events < VALUES {
            let line = watch.line().await.expect("events");
            assert!(line.ends_with("}}]}}"), "a line is whole");
            events += line.matches("\"mod_revision\"").count();
        }
        assert_eq!(events, VALUES);
    });
}

#[test]
fn http2_serves_it_over_tls() {
    in_system(async {
        let dir = tempfile::TempDir::new().expect("a folder");
        let files = Certificates::in_dir(dir.path(), &["anybody"]);
        let server = Server::start(|config| {
            *config = embed::Config {
                // one port for both: the stubs of a test speak without TLS
                client_urls: vec!["http://127.0.0.1:0".into(), "https://127.0.0.1:0".into()],
                client_tls: Some(embed::listen::TlsSettings {
                    cert_file: Some(files.path("server.pem")),
                    key_file: Some(files.path("server.key")),
                    ..embed::listen::TlsSettings::default()
                }),
                ..quick_config("default", &dir.path().join("data"))
            };
        })
        .await;
        let at = server.address();
        let socket = files.socket(at, "anybody", b"h2").await;
        let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let request = |path: &str| http::Request::post(format!("https://{at}{path}")).body(()).expect("a request");

        let (answer, mut body) = client.send_request(request("/v3/kv/put"), false).expect("sent");
        body.send_data(Bytes::from_static(br#"{"key":"Zm9v","value":"MQ=="}"#), true).expect("sent");
        let answer = soon("an answer", answer).await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["grpc-metadata-content-type"]),
            (200, &"application/grpc".parse().expect("a value"))
        );
        let text = soon("a body", answer.into_body().data()).await.expect("a body").expect("bytes");
        assert!(text.starts_with(b"{\"header\":{"));

        let (answer, mut body) = client.send_request(request("/v3/watch"), false).expect("sent");
        body.send_data(Bytes::from_static(FOO.as_bytes()), false).expect("sent");
        let mut lines = soon("an answer", answer).await.expect("an answer").into_body();
        let mut next = async || {
            let piece = soon("a line", lines.data()).await.expect("a line").expect("bytes");
            lines.flow_control().release_capacity(piece.len()).expect("released");
            String::from_utf8_lossy(&piece).into_owned()
        };
        assert!(next().await.ends_with("\"created\":true}}\n"));
        server.stubs.put("foo", "2").await;
        assert!(next().await.contains(r#""value":"Mg==""#));
        body.send_data(Bytes::from_static(br#"{"progress_request":{}}"#), false).expect("sent");
        assert!(next().await.contains(r#""watch_id":"-1""#));
        body.send_reset(h2::Reason::CANCEL);
        until("the watch to end", async || (ended(&server, "Watch", "Canceled").await == 1).then_some(())).await;
        driver.abort();
        server.stop().await;
    });
}
