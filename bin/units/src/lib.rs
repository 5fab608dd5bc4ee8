//! Sizes, lengths of time, moments and quoted bytes as etcd's programs print and read them.
//!
//! Pure, and without anything of ours: every program may use it. Must never ask a clock.

mod calendar;
mod duration;
mod quote;
mod size;

pub use calendar::{utc_micros, utc_seconds};
pub use duration::{DurationError, duration, show_duration, signed_duration};
pub use quote::quote;
pub use size::{SizeError, parse_size, size};
