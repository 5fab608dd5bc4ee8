//! Every RPC can be had as JSON, or there is a reason why not.

use harness::http::get;
use harness::json::post;
use harness::server::on_server;
use net::gateway::{PATHS, WITHOUT_PATH};

#[test]
fn every_method_that_is_served_has_a_path_or_a_reason() {
    on_server(async |server| {
        let page = get(server.address(), "/metrics").await.body;
        let mut methods = 0;
        for line in page.lines().filter(|line| line.starts_with("grpc_server_started_total{")) {
            let label = |name: &str| line.split_once(&format!("{name}=\""))?.1.split('"').next();
            let (service, method) =
                (label("grpc_service").expect("a service"), label("grpc_method").expect("a method"));
            let path = format!("/{service}/{method}");
            let is_known = PATHS.iter().any(|(_, rpc)| *rpc == path) || WITHOUT_PATH.contains(&&*path);
            assert!(is_known, "{path}: give it a path in net/src/gateway/paths.rs");
            methods += 1;
        }
        assert!(methods > 50, "{methods} methods");
    });
}

#[test]
fn every_path_leads_to_its_method() {
    on_server(async |server| {
        for (path, method) in PATHS {
            // a stream of requests passes over what is none
            if method.ends_with("/Watch") || method.ends_with("/LeaseKeepAlive") {
                continue;
            }
            let answer = post(server.address(), path, "", "[").await;
            let expected = (400, r#"{"code":3,"message":"unexpected EOF"}"#);
            assert_eq!((answer.code, answer.body.as_str()), expected, "{path}");
        }
    });
}
