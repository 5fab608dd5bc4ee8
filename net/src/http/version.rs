//! The page `/version`, which client port and peer port both have.

/// Its JSON. An empty cluster version is one that is not decided yet.
pub(super) fn page(server: &str, cluster: &str, storage: &str) -> String {
    let cluster = if cluster.is_empty() { "not_decided" } else { cluster };
    format!("{{\"etcdserver\":\"{server}\",\"etcdcluster\":\"{cluster}\",\"storage\":\"{storage}\"}}")
}
