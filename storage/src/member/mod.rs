//! A member at rest: its ids, its URLs, its folders, and how a new one is made.
//!
//! What the daemon does at a first start and the offline tool does at a restore is written here once. Must never depend on
//! how a member runs.

mod cluster;
mod folders;
mod foreign;
mod found;
mod ids;
mod lock;
pub mod pointer;
mod reconfig;
mod url;

pub use cluster::{ClusterError, InitialMember, own_member, parse_cluster};
pub use folders::{Folders, RESTORING};
pub use foreign::{ForeignData, refuse_foreign};
pub use found::{Founders, RunningCluster, create_log, founders, joiner, refuse_bootstrapped};
pub use ids::{added_member_id, cluster_id, member_id};
pub use lock::{HeldMember, LockError, hold};
pub use reconfig::{HEALTHY_AFTER, conf_change, is_in_sync, strict_check};
pub use url::{ClientUrl, UrlError, UrlTarget, parse_url};
