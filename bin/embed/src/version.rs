//! Versions told to clients: those of the etcd whose API this is.

/// What `Status.version` and `/version` say.
pub const SERVER_VERSION: &str = "3.7.1";
/// Cluster version a new cluster starts with.
pub const CLUSTER_VERSION: &str = "3.7.0";
/// What `Status.storageVersion` and snapshots say.
pub const STORAGE_VERSION: &str = "3.7.0";
