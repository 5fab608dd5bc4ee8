//! How fast work that nobody waits for goes: it rests nineteen times as long as it works.
//!
//! Must never rest for so long that a node which stops has to wait for it.

use std::time::{Duration, Instant};

/// Rests so many times as long as it works.
const REST: u32 = 19;
/// Longest single rest.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// Since when there was work.
pub(crate) struct Pace(Instant);

impl Pace {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Rests after some work, so that others get the disk and the processor.
    pub(crate) fn rest(&mut self) {
        std::thread::sleep((self.0.elapsed() * REST).min(LONGEST_REST));
        self.0 = Instant::now();
    }
}
