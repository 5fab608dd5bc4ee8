//! Helpers of the whole-system tests: both forms of the server, client stubs, plain HTTP, and bare HTTP/2 frames.
//!
//! Must never assert anything about the server: a helper that fails says what it could not do, tests judge.

pub mod ceiling;
pub mod certificates;
pub mod chaos;
pub mod compare;
pub mod daemon;
pub mod damage;
pub mod examples;
pub mod fuzz;
pub mod http;
pub mod json;
pub mod machine;
pub mod members;
pub mod model;
pub mod order;
pub mod raw_call;
pub mod request;
pub mod server;
pub mod sim;
pub mod spec;
pub mod stubs;
pub mod v2;
pub mod watch;
pub mod wire;

pub use daemon::Daemon;
pub use server::Server;
pub use stubs::{Stubs, expect_status};
pub use watch::Watching;

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest a single wait of a test may take before the test is failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `what`, and fails the test with its name when it does not come.
///
/// # Panics
/// After [`PATIENCE`].
pub async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}

/// Asks again until the answer is there: for states that nothing announces.
///
/// # Panics
/// After [`PATIENCE`].
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
