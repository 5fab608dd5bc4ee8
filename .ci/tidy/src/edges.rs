//! The allowed edges between our crates. The table is the architecture: change it only with a decision in `docs/adr/`.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Crate, and the crates of ours that it may use. Dev-dependencies are free.
const ALLOWED: &[(&str, &[&str])] = &[
    ("conclave-raft", &[]),
    ("conclave-model", &[]),
    ("conclave-bbolt", &[]),
    ("conclave-storage", &["conclave-raft", "conclave-model", "conclave-bbolt"]),
    ("conclave-messages", &["conclave-raft", "conclave-model"]),
    ("conclave-actors", &["conclave-storage", "conclave-messages", "conclave-raft", "conclave-model"]),
    ("conclave-api", &["conclave-model"]),
    ("conclave-tls", &["conclave-units"]),
    ("conclave-client", &["conclave-api", "conclave-srv", "conclave-tls"]),
    ("conclave-net", &["conclave-messages", "conclave-api", "conclave-tls", "conclave-raft", "conclave-model"]),
    (
        "conclave-embed",
        &[
            "conclave-actors",
            "conclave-net",
            "conclave-tls",
            "conclave-storage",
            "conclave-messages",
            "conclave-raft",
            "conclave-model",
        ],
    ),
    ("conclave-units", &[]),
    ("conclave-srv", &[]),
    ("conclave-proxy", &["conclave-api", "conclave-tls"]),
    ("conclave", &["conclave-embed", "conclave-api", "conclave-proxy", "conclave-srv", "conclave-units"]),
    ("conclavectl", &["conclave-client", "conclave-api", "conclave-units"]),
    ("conclaveutl", &["conclave-storage", "conclave-raft", "conclave-model", "conclave-units"]),
    ("conclave-bench", &["conclave-api", "conclave-tls", "conclave-units"]),
    // what somebody who builds on the raft crate has, and no more
    ("conclave-raftexample", &["conclave-raft", "conclave-storage"]),
    ("conclave-tidy", &[]),
];

/// May use anything of ours.
const FREE: &[&str] = &["conclave-tests", "conclave-benches"];

/// Every edge that is not in the table.
pub fn check(root: &Path) -> Vec<String> {
    let output =
        Command::new("cargo").args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root).output();
    let output = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return vec![format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr))],
        Err(why) => return vec![format!("cannot run cargo metadata: {why}")],
    };
    match serde_json::from_slice::<Value>(&output) {
        Ok(metadata) => packages(&metadata).flat_map(offences).collect(),
        Err(why) => vec![format!("cargo metadata is not JSON: {why}")],
    }
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn offences(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if FREE.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: a crate that the table of edges does not know")];
    };
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|d| d["kind"].as_str() != Some("dev"))
        .filter_map(|d| d["name"].as_str())
        .filter(|d| d.starts_with("conclave") && !allowed.contains(d))
        .map(|d| format!("{name}: must not depend on {d}"))
        .collect()
}
