//! Plain HTTP of the client port: health, version, metrics.
//!
//! Must never change anything: every path here only reads.

mod answer;
mod counters;
mod families;
mod handler;
mod health;
mod metrics;
pub(crate) mod page;

pub use counters::{LoopMetrics, Observer};
pub use handler::{Http, HttpConfig};
pub use metrics::Metrics;
pub use page::Page;
