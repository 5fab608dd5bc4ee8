//! Plain HTTP of the client port: health, version, metrics, what developers ask for; and what the pages of the peer port show.
//!
//! Must never change anything: every page here only reads, but for the v2 API in [`v2`]. What lies below `/v3/` is the JSON gateway's.

mod access;
pub(crate) mod answer;
mod applied_families;
mod call_times;
mod client_versions;
mod counters;
mod debug;
mod etcd_alone;
mod families;
mod handler;
mod health;
mod health_counts;
mod metrics;
pub(crate) mod page;
mod peer_pages;
mod process;
mod profile;
mod storage_families;
mod v2;
pub(crate) mod version;

pub use counters::{LoopMetrics, Observer};
pub use handler::{Http, HttpConfig};
pub use metrics::Metrics;
pub use page::Page;
pub use peer_pages::PeerPages;
pub use process::process_page;
pub use profile::Profiler;
