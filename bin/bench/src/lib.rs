//! `conclave-bench`: a load generator for servers that speak etcd's API, drop-in for etcd's `benchmark` tool.
//!
//! A library so that the programs under `benches/` use the same client. Knows the API alone, nothing of a server.

pub mod client;
pub mod cmd;
pub mod dispatch;
pub mod flags;
pub mod load;
pub mod proc;
pub mod report;
pub mod soak;

/// Runs a future on a runtime of this thread, on which clients may be spawned.
///
/// # Errors
/// The system has no event queue left.
pub fn on_this_thread<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options)?;
    Ok(runtime.block_on(future))
}
