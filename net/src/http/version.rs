//! The page `/version`, which client port and peer port both have.

/// What it says of a cluster without a version.
pub(crate) const NOT_DECIDED: &str = "not_decided";

/// Its JSON. An empty cluster version is one that is not decided yet.
pub(super) fn page(server: &str, cluster: &str, storage: &str) -> String {
    let cluster = if cluster.is_empty() { NOT_DECIDED } else { cluster };
    format!("{{\"etcdserver\":\"{server}\",\"etcdcluster\":\"{cluster}\",\"storage\":\"{storage}\"}}")
}
