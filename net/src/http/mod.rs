//! Plain HTTP of the client port: health, version, metrics; and what the pages of the peer port show.
//!
//! Must never change anything: every path here only reads, but for the v2 API in [`v2`].

pub(crate) mod answer;
mod counters;
mod families;
mod handler;
mod health;
mod metrics;
pub(crate) mod page;
mod peer_pages;
mod v2;
pub(crate) mod version;

pub use counters::{LoopMetrics, Observer};
pub use handler::{Http, HttpConfig};
pub use metrics::Metrics;
pub use page::Page;
pub use peer_pages::PeerPages;
