//! From outcomes to what a person or a program reads: recording, etcd's text, JSON, CSV, a chart.
//!
//! Must not send anything to a server.

mod chart;
mod export;
mod gofmt;
mod live;
mod paint;
mod perfdash;
mod plot;
mod recorder;
mod series;
mod text;

pub use chart::html;
pub use export::{csv, json};
pub use live::{Live, Progress};
pub use paint::painted;
pub use perfdash::perfdash;
pub use recorder::{Recorder, Summary, together};
pub use series::{SampleSecond, Second};
pub use text::{PERCENTILES, Style, fine_percentiles, text};
