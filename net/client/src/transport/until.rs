//! The time a call may take. Must never be longer than what the caller said.

use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How far the server's clock may be ahead of ours at the end of a call.
const CLOCKS: Duration = Duration::from_millis(50);

/// Until when a call may take; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Until(pub Option<Instant>);

impl Until {
    /// For ever.
    pub const NEVER: Self = Self(None);

    /// From now on.
    pub fn after(length: Duration) -> Self {
        Self(Instant::now().checked_add(length))
    }

    /// Whether it is over, or as good as that.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now() + CLOCKS)
    }

    /// Does the work within the time; none when that is over first.
    pub(super) async fn over<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Some(at) => timeout_at(at, work).await.ok(),
            None => Some(work.await),
        }
    }
}
