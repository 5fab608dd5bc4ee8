//! Plain HTTP of the client port: health, probes, version, metrics.

use api::etcdserverpb::{AlarmAction, AlarmType};
use harness::http::{get, request};
use harness::server::{on_server, on_server_with};

#[test]
fn health_follows_alarms_and_their_exclusion() {
    on_server(async |server| {
        let at = server.address();
        for path in ["/health", "/health?serializable=true"] {
            let answer = get(at, path).await;
            assert_eq!((answer.code, answer.body.as_str()), (200, r#"{"health":"true","reason":""}"#), "{path}");
        }
        assert_eq!(request(at, "POST", "/health").await.code, 405);
        let member = server.stubs.status().await.leader;
        server.stubs.alarm(AlarmAction::Activate, member, AlarmType::Nospace).await;
        let answer = get(at, "/health").await;
        assert_eq!((answer.code, answer.body.as_str()), (503, r#"{"health":"false","reason":"ALARM NOSPACE"}"#));
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
    });
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
