//! Sizes, lengths of time and moments as etcd's programs print and read them.
//!
//! Pure, and without anything of ours: every program may use it. Must never ask a clock.

mod calendar;
mod duration;
mod size;

pub use calendar::{utc_micros, utc_seconds};
pub use duration::{DurationError, duration, show_duration, signed_duration};
pub use size::{SizeError, parse_size, size};
