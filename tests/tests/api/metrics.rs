//! The metrics page beside etcd's: every series of etcd 3.7.1 is there with its type, labels and buckets, or has a reason.

use crate::monitoring::families;
use api::etcdserverpb::{CompactionRequest, LeaseGrantRequest};
use embed::Node;
use harness::http::get;
use harness::request::{get as read, put_op, txn};
use harness::server::{in_system, on_server, on_server_with};
use harness::{Stubs, members};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Name, type, labels and bounds of buckets.
const OF_ETCD: &str = include_str!("etcd_metrics.txt");
/// Where a series that is not exposed has its reason.
const REASONS: &str = include_str!("../../../docs/compat.md");

/// Labels of the samples of a family, and the bounds of its buckets.
fn shape(page: &str, family: &str) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut bounds) = (BTreeSet::new(), Vec::new());
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let of_family = name == family
            || ["_bucket", "_sum", "_count"]
                .iter()
                .any(|end| name.strip_suffix(end).is_some_and(|bare| bare == family));
        let Some((_, labels)) = line.split_once('{').filter(|_| of_family) else { continue };
        for label in labels.rsplit_once('}').expect("closed").0.split("\",") {
            let (name, value) = label.split_once("=\"").expect("name and value");
            let value = value.trim_end_matches('"');
            if name != "le" {
                names.insert(name.to_owned());
            } else if !bounds.contains(&value.to_owned()) {
                bounds.push(value.to_owned());
            }
        }
    }
    (names, bounds)
}

async fn page(node: &Node) -> String {
    get(node.addresses()[0], "/metrics").await.body
}

/// Everything that leaves a mark on the page.
async fn work(node: &Node, stubs: &Stubs) {
    for n in 0..10 {
        stubs.put(format!("k{n}"), "v").await;
    }
    stubs.range(read("k1")).await.expect("read");
    stubs.lease.clone().lease_grant(LeaseGrantRequest { ttl: 60, id: 7 }).await.expect("granted");
    stubs.kv.clone().compact(CompactionRequest { revision: 5, physical: true }).await.expect("compacted");
    get(node.addresses()[0], "/health").await;
    get(node.addresses()[0], "/readyz").await;
}

#[test]
fn every_series_of_etcd_is_there_with_its_shape_or_has_a_reason() {
    in_system(async {
        let dir = tempfile::tempdir().expect("a folder");
        let mut configs = members::configs(dir.path(), 3, members::Over::Sockets);
        configs.iter_mut().for_each(|config| config.extensive_metrics = true);
        let nodes = members::start(&configs).await;
        let stubs =
            Stubs::connect(&nodes[0].addresses()[0].to_string(), Duration::from_secs(20)).await.expect("serves");
        work(&nodes[0], &stubs).await;
        let page = page(&nodes[0]).await;
        let families = families(&page);
        let mut wrong = Vec::new();
        for row in OF_ETCD.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = row.split(' ').collect();
            let [name, kind, labels, bounds] = parts[..] else { panic!("four columns: {row}") };
            let Some(ours) = families.get(name) else {
                if !REASONS.contains(&format!("`{name}`")) {
                    wrong.push(format!("{name} is not exposed, and docs/compat.md does not say why"));
                }
                continue;
            };
            if ours != kind {
                wrong.push(format!("{name} is a {ours}, in etcd a {kind}"));
            }
            let (our_labels, our_bounds) = shape(&page, name);
            let listed = |text: &str| -> Vec<String> {
                text.split(',').filter(|part| *part != "-").map(str::to_owned).collect()
            };
            // a family without samples has no labels to look at
            if !our_labels.is_empty() && our_labels != listed(labels).into_iter().collect() {
                wrong.push(format!("{name} has labels {our_labels:?}, in etcd {labels}"));
            }
            if !our_bounds.is_empty() && our_bounds != listed(bounds) {
                wrong.push(format!("{name} has bounds {our_bounds:?}, in etcd {bounds}"));
            }
        }
        for node in nodes {
            node.stop().await;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// Value of the first sample whose line begins so.
fn value(page: &str, begin: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(begin) && !line.starts_with('#'))
        .unwrap_or_else(|| panic!("{begin}"));
    line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn operations_are_counted_where_they_are_applied_as_in_etcd() {
    on_server(async |server| {
        let at: SocketAddr = server.address();
        server.stubs.put("a", "v").await;
        server.stubs.txn(txn(vec![put_op("b", "v"), put_op("c", "v")])).await.expect("applied");
        server.stubs.txn(txn(vec![put_op("d", "v")])).await.expect("applied");
        server.stubs.range(read("a")).await.expect("read");
        let page = get(at, "/metrics").await.body;
        assert_eq!(value(&page, "etcd_mvcc_put_total "), 4.0);
        assert_eq!(value(&page, "etcd_mvcc_txn_total "), 1.0, "one of them did more than one thing");
        assert_eq!(value(&page, "etcd_mvcc_range_total "), 1.0);
        let put = "etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"true\",version=\"v3\"}";
        assert_eq!(value(&page, put), 1.0);
        assert!(value(&page, "etcd_debugging_mvcc_total_put_size_in_bytes ") >= 8.0);
        assert!(value(&page, "etcd_disk_backend_commit_duration_seconds_count ") >= 3.0);
        let requests = "etcd_server_request_duration_seconds_count{success=\"true\",type=\"Txn\"}";
        assert_eq!(value(&page, requests), 2.0);
        assert!(value(&page, "etcd_server_request_duration_seconds_sum{success=\"true\",type=\"Txn\"}") > 0.0);
        assert_eq!(
            value(&page, "etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"unary\"}"),
            4.0
        );
    });
}

#[test]
fn histograms_of_methods_come_with_extensive_metrics_alone() {
    on_server(async |server| {
        server.stubs.put("a", "v").await;
        assert!(!get(server.address(), "/metrics").await.body.contains("grpc_server_handling_seconds"));
    });
    on_server_with(
        |config| config.extensive_metrics = true,
        async |server| {
            server.stubs.put("a", "v").await;
            let page = get(server.address(), "/metrics").await.body;
            let put = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
            assert_eq!(value(&page, &format!("grpc_server_handling_seconds_count{{{put}}}")), 1.0);
            assert_eq!(value(&page, &format!("grpc_server_handling_seconds_bucket{{{put},le=\"10\"}}")), 1.0);
        },
    );
}
