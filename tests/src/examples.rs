//! A member for the examples of documentation.
//!
//! `EXAMPLES_ENDPOINT=http://host:port` names a server of one's own, such as an etcd, which is used as it is. Must never
//! outlive its example.

use crate::server::{Server, in_system};
use std::error::Error;

/// Runs an example against a new member of its own; it is given the member's endpoint.
///
/// # Panics
/// When the example fails or hangs.
pub fn on_member(example: impl AsyncFnOnce(String) -> Result<(), Box<dyn Error>>) {
    in_system(async move {
        if let Ok(endpoint) = std::env::var("EXAMPLES_ENDPOINT") {
            return example(endpoint).await.unwrap_or_else(|why| panic!("the example fails: {why}"));
        }
        let server = Server::start(|_| ()).await;
        let endpoint = format!("http://{}", server.address());
        example(endpoint).await.unwrap_or_else(|why| panic!("the example fails: {why}"));
        server.stop().await;
    });
}
