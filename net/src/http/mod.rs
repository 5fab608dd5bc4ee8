//! Plain HTTP of the client port: health, version, metrics; and what the pages of the peer port show.
//!
//! Must never change anything: every page here only reads. What lies below `/v3/` is the JSON gateway's.

mod access;
pub(crate) mod answer;
mod counters;
mod families;
mod handler;
mod health;
mod metrics;
pub(crate) mod page;
mod peer_pages;
pub(crate) mod version;

pub use counters::{LoopMetrics, Observer};
pub use handler::{Http, HttpConfig};
pub use metrics::Metrics;
pub use page::Page;
pub use peer_pages::PeerPages;
