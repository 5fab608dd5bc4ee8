//! The alert rules and the board that are shipped: every series that they name is on the metrics page.
//!
//! `promtool check rules` has judged their expressions; what no tool sees is a name that nobody exposes.

use embed::listen::{AutoTls, TlsSettings};
use harness::http::get;
use harness::server::on_server_with;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Families of a page: name and type.
pub(crate) fn families(page: &str) -> HashMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    lines.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn shipped(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../bin/packaging/monitoring").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Names of series in an expression: words with an underscore that are followed by a selector, a range or nothing that calls them.
fn series(expression: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = BTreeSet::new();
    // what is in braces are labels and their values
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| is_word(c) || c == '{') {
        rest = &rest[start..];
        if let Some(labels) = rest.strip_prefix('{') {
            rest = labels.split_once('}').expect("closed").1;
            continue;
        }
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if ["etcd_", "conclave_", "process_", "grpc_", "os_"].iter().any(|begin| word.starts_with(begin)) {
            words.insert(word.to_owned());
        }
        rest = behind;
    }
    words
}

fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_yaml_ng::from_str(&shipped("conclave-alerts.yml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    rules
        .map(|rule| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = text(&rule["alert"]);
            assert!(["critical", "warning", "info"].contains(&text(&rule["labels"]["severity"]).as_str()), "{name}");
            for part in ["summary", "description"] {
                assert!(text(&rule["annotations"][part]).ends_with('.'), "{name}: {part} is no sentence");
            }
            (name, text(&rule["expr"]))
        })
        .collect()
}

fn panels() -> Vec<(String, String)> {
    let board: Value = serde_json::from_str(&shipped("conclave-dashboard.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().expect("targets");
        targets.iter().map(|target| (panel["title"].to_string(), target["expr"].as_str().expect("expr").to_owned()))
    });
    targets.collect()
}

#[test]
fn every_series_that_rules_and_boards_name_is_exposed() {
    let [port] = harness::daemon::free_ports();
    let [peer] = harness::daemon::free_ports();
    let dir = tempfile::tempdir().expect("a folder");
    let fixtures = dir.path().to_owned();
    on_server_with(
        move |config| {
            let url = format!("http://127.0.0.1:{peer}");
            config.peer_urls = vec![url.clone()];
            config.initial_cluster[0].peer_urls = vec![url];
            // a certificate has an end, which is a series too; the plain URL beside it is for the test's client
            config.client_tls =
                Some(TlsSettings { auto: Some(AutoTls { dir: fixtures, years: 1 }), ..TlsSettings::default() });
            config.metrics_urls = vec![format!("http://127.0.0.1:{port}"), "https://127.0.0.1:0".into()];
        },
        async |server| {
            let learner =
                api::etcdserverpb::MemberAddRequest { peer_urls: vec!["http://127.0.0.1:9".into()], is_learner: true };
            server.stubs.cluster.clone().member_add(learner).await.expect("added");
            let at: SocketAddr = ([127, 0, 0, 1], port).into();
            let page = get(at, "/metrics").await.body;
            let families = families(&page);
            let all = [alerts(), panels()].concat();
            assert!(all.len() > 40, "{} expressions were found", all.len());
            let mut missing = Vec::new();
            for (name, expression) in all {
                let named = series(&expression);
                assert!(!named.is_empty(), "{name} names no series: {expression}");
                for series in named {
                    let ends = ["_bucket", "_sum", "_count"];
                    let bare = ends.iter().find_map(|end| series.strip_suffix(end)).unwrap_or(&series);
                    if !families.contains_key(&series) && families.get(bare).map(String::as_str) != Some("histogram") {
                        missing.push(format!("{name}: {series}"));
                    }
                }
            }
            assert!(missing.is_empty(), "{}", missing.join("\n"));
        },
    );
}

#[test]
fn names_of_series_are_told_from_labels_and_functions() {
    let names = series("sum by (job, etcd) (rate(etcd_a_total{job=~\"etcd_b\", etcd_c=\"x\"}[5m])) > 2 * process_d");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["etcd_a_total", "process_d"]);
}
