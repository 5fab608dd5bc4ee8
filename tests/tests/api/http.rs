//! Plain HTTP of the client port: health, probes, version, metrics. What is asked here was asked of etcd 3.7.1 too.

use api::etcdserverpb::{AlarmAction, AlarmType};
use harness::http::{get, request, request_with};
use harness::server::{on_server, on_server_with};
use harness::wire::{END_HEADERS, END_STREAM, frame, header_block, kind};
use std::collections::{HashMap, HashSet};
use std::io::Read;

#[test]
fn health_follows_alarms_and_their_exclusion() {
    on_server(async |server| {
        let at = server.address();
        for path in ["/health", "/health?serializable=true"] {
            let answer = get(at, path).await;
            assert_eq!((answer.code, answer.body.as_str()), (200, r#"{"health":"true","reason":""}"#), "{path}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        }
        let member = server.stubs.status().await.leader;
        server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Nospace).await;
        let answer = get(at, "/health").await;
        assert_eq!(answer.code, 503);
        assert_eq!(answer.body, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(get(at, "/health?exclude=NOSPACE").await.code, 200);
        assert_eq!(get(at, "/health?exclude=CORRUPT").await.code, 503);
    });
}

#[test]
fn probes_list_their_checks() {
    on_server(async |server| {
        let at = server.address();
        for path in ["/livez", "/readyz", "/livez/serializable_read", "/readyz/linearizable_read"] {
            let answer = get(at, path).await;
            assert_eq!((answer.code, answer.body.as_str()), (200, "ok\n"), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        let all = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
        assert_eq!(get(at, "/readyz?verbose").await.body, all);
        assert_eq!(get(at, "/livez?verbose").await.body, "[+]serializable_read ok\nok\n");
        assert!(!get(at, "/readyz?verbose&exclude=non_learner").await.body.contains("non_learner"));
        assert_eq!(get(at, "/readyz/no_such_check").await.code, 404);
        let member = server.stubs.status().await.leader;
        server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Corrupt).await;
        let answer = get(at, "/readyz").await;
        assert_eq!(answer.code, 503);
        assert!(answer.body.starts_with("[-]data_corruption failed: alarm activated: CORRUPT\n"), "{}", answer.body);
        assert!(answer.body.ends_with("ok\n\n"), "{:?}", answer.body);
    });
}

#[test]
fn pages_take_get_alone_and_unknown_ones_take_nothing() {
    on_server(async |server| {
        let at = server.address();
        for method in ["HEAD", "POST", "PUT", "DELETE"] {
            for path in ["/health", "/livez", "/readyz", "/livez/serializable_read", "/version"] {
                let answer = request(at, method, path).await;
                assert_eq!((answer.code, answer.header("allow")), (405, Some("GET")), "{method} {path}");
                let body = if method == "HEAD" { "" } else { "Method Not Allowed\n" };
                assert_eq!(answer.body, body, "{method} {path}");
            }
            let answer = request(at, method, "/metrics").await;
            assert_eq!(answer.code, 200, "{method} /metrics");
        }
        for method in ["GET", "HEAD", "POST"] {
            for path in ["/livez/x", "/readyz/", "/livez/serializable_read/x", "/livezz", "/nothing", "/"] {
                let answer = request(at, method, path).await;
                assert_eq!(answer.code, 404, "{method} {path}");
                assert_eq!(answer.body, if method == "HEAD" { "" } else { "404 page not found\n" });
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            }
        }
    });
}

const ORIGIN: &str = "access-control-allow-origin";

#[test]
fn every_page_says_which_origins_may_call() {
    let [port] = harness::daemon::free_ports();
    on_server_with(
        |config| config.metrics_urls = vec![format!("http://127.0.0.1:{port}")],
        async |server| {
            for path in ["/health", "/livez", "/version", "/metrics", "/nothing"] {
                let answer = request(server.address(), "GET", path).await;
                assert_eq!(answer.header(ORIGIN), Some("*"), "{path}");
                let methods = answer.header("access-control-allow-methods");
                assert_eq!(methods, Some("post, get, options, put, delete"), "{path}");
                let names = answer.header("access-control-allow-headers");
                assert_eq!(names, Some("accept, content-type, authorization"), "{path}");
                let answer = request(server.address(), "OPTIONS", path).await;
                assert_eq!((answer.code, answer.body.as_str(), answer.header(ORIGIN)), (200, "", Some("*")), "{path}");
            }
            let metrics: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
            assert_eq!(get(metrics, "/health").await.header(ORIGIN), None);
            assert_eq!(request(metrics, "OPTIONS", "/health").await.code, 405);
            assert_eq!(get(metrics, "/version").await.code, 404);
        },
    );
    let only = "https://a.example:443";
    on_server_with(
        |config| config.cors = vec![only.to_owned()],
        async |server| {
            let at = server.address();
            let from = async |origin: &str| request_with(at, "GET", "/health", &[("Origin", origin)]).await;
            assert_eq!(from("https://a.example:443").await.header(ORIGIN), Some(only));
            assert_eq!(from("https://b.example:443").await.header(ORIGIN), None);
            assert_eq!(get(server.address(), "/health").await.header(ORIGIN), None);
        },
    );
}

#[test]
fn version_names_server_cluster_and_storage() {
    on_server(async |server| {
        let answer = get(server.address(), "/version").await;
        assert_eq!(answer.body, r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#);
        assert!(answer.headers.contains("content-type: application/json"), "{}", answer.headers);
        assert_eq!(request(server.address(), "DELETE", "/version").await.code, 405);
        assert_eq!(get(server.address(), "/no/such/path").await.code, 404);
    });
}

/// Value of a sample without labels.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find(|l| l.split(' ').next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_move_with_the_work() {
    on_server(async |server| {
        for i in 0..10 {
            server.stubs.put(format!("k{i}"), "v").await;
        }
        let answer = get(server.address(), "/metrics").await;
        assert_eq!(answer.code, 200);
        assert!(answer.headers.contains("content-type: text/plain; version=0.0.4"), "{}", answer.headers);
        assert_eq!(sample(&answer.body, "etcd_server_has_leader"), Some(1.0));
        assert_eq!(sample(&answer.body, "etcd_server_is_leader"), Some(1.0));
        assert_eq!(sample(&answer.body, "etcd_debugging_mvcc_current_revision"), Some(11.0));
        assert_eq!(sample(&answer.body, "etcd_debugging_mvcc_keys_total"), Some(10.0));
        let put = r#"grpc_server_handled_total{"#;
        let handled = answer
            .body
            .lines()
            .find(|l| l.starts_with(put) && l.contains(r#"grpc_method="Put""#) && l.contains(r#""OK""#));
        assert_eq!(handled.and_then(|l| l.rsplit(' ').next()), Some("10"), "{handled:?}");
    });
}

#[test]
fn bytes_of_short_connections_are_counted_as_etcd_counts_them() {
    on_server(async |server| {
        let before = get(server.address(), "/metrics").await.body;
        let name = "etcd_network_client_grpc_received_bytes_total";
        for _ in 0..25 {
            let mut wire = harness::wire::Wire::open(server.address(), &[]).await;
            // key "a" and 4 KiB of value: 4,102 bytes
            let put = [&b"\x0a\x01a\x12\x80\x20"[..], &[b'v'; 4096]].concat();
            wire.call(1, "/etcdserverpb.KV/Put", &put).await;
            let answered = wire.receive_until(|f| f.kind == harness::wire::kind::DATA && f.stream == 1).await;
            assert!(answered.is_some(), "no answer");
        }
        let after = get(server.address(), "/metrics").await.body;
        let counted = |page: &str| sample(page, name).expect(name);
        assert_eq!(counted(&after) - counted(&before), 102_550.0);
        let name = "etcd_network_client_grpc_sent_bytes_total";
        let sent = sample(&after, name).expect(name) - sample(&before, name).expect(name);
        assert!((25.0 * 10.0..25.0 * 60.0).contains(&sent), "{sent} bytes of answers");
    });
}

/// Name of the family that a sample belongs to.
fn family<'a>(name: &'a str, families: &HashSet<&str>) -> &'a str {
    let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    bare.filter(|bare| families.contains(bare)).unwrap_or(name)
}

#[test]
fn every_sample_has_help_and_type_and_our_names_pass_the_linter() {
    on_server(async |server| {
        let page = get(server.address(), "/metrics").await.body;
        let of = |keyword: &str| -> HashMap<String, String> {
            let lines = page.lines().filter_map(|line| line.strip_prefix(&format!("# {keyword} "))?.split_once(' '));
            lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
        };
        let help = of("HELP");
        let types = of("TYPE");
        let families = types.keys().map(String::as_str).collect();
        let mut seen = HashSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            assert!(seen.insert(line.rsplit_once(' ').expect("a value").0), "twice: {line}");
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = family(name, &families);
            assert!(help.get(family).is_some_and(|help| help.ends_with('.')), "no help: {line}");
            let counts = types.get(family).is_some_and(|kind| kind == "counter");
            if family.starts_with("conclave_") {
                assert_eq!(family.ends_with("_total"), counts, "{family} is a {}", types[family]);
                assert!(!["_bucket", "_sum", "_count", "_info"].iter().any(|end| family.ends_with(end)), "{family}");
            }
        }
        let unused: Vec<_> = types.keys().filter(|name| !help.contains_key(*name)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    });
}

#[test]
fn every_code_of_every_method_is_there_from_the_start() {
    on_server(async |server| {
        let page = get(server.address(), "/metrics").await.body;
        let of = |name: &str| page.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        let methods = of("grpc_server_started_total");
        assert!(methods >= 45, "etcd has 45, we have {methods}");
        assert_eq!(of("grpc_server_handled_total"), methods * 17);
        let never = r#"grpc_server_handled_total{grpc_code="Unavailable",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 0"#;
        assert!(page.lines().any(|line| line == never), "{never}");
    });
}

#[test]
fn metrics_come_compressed_to_those_who_ask() {
    on_server(async |server| {
        let at = server.address();
        let ask = async |accept: &str| request_with(at, "GET", "/metrics", &[("Accept-Encoding", accept)]).await;
        let zipped = ask("gzip").await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"));
        assert!(zipped.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
        let mut page = String::new();
        flate2::read::GzDecoder::new(&zipped.bytes[..]).read_to_string(&mut page).expect("gzip");
        assert_eq!(sample(&page, "etcd_server_has_leader"), Some(1.0));
        assert!(zipped.bytes.len() * 5 < page.len(), "{} of {}", zipped.bytes.len(), page.len());
        assert_eq!(ask("identity").await.header("content-encoding"), None);
    });
}

#[test]
fn pages_are_not_served_over_http2_without_tls() {
    on_server(async |server| {
        let mut wire = harness::wire::Wire::open(server.address(), &[]).await;
        let head = [(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "localhost")];
        wire.send(&frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &header_block(&head))).await;
        let answer = wire.receive_until(|f| f.kind == kind::HEADERS && f.stream == 1).await.expect("an answer");
        assert_eq!(answer.flags & END_STREAM, END_STREAM, "headers and nothing else");
    });
}

#[test]
fn metrics_urls_serve_http_and_no_grpc() {
    let [port] = harness::daemon::free_ports();
    on_server_with(
        |config| config.metrics_urls = vec![format!("http://127.0.0.1:{port}")],
        async |_| {
            let at: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
            assert_eq!(get(at, "/health").await.code, 200);
            assert_eq!(get(at, "/metrics").await.code, 200);
            let mut wire = harness::wire::Wire::open(at, &[]).await;
            wire.call(1, "/etcdserverpb.KV/Range", b"\x0a\x01k").await;
            let answered = wire.receive_until(|f| f.kind == harness::wire::kind::DATA && f.stream == 1).await;
            let body = answered.map(|frame| frame.payload);
            assert_eq!(body.as_deref(), Some(&b"404 page not found\n"[..]), "no gRPC here");
        },
    );
}
