//! The hook through which metrics see the door.
//!
//! Must stay cheap: it is called several times per request, on the loop, without locks.

use super::method_info::MethodInfo;
use super::record::{CallRecord, Ended};
use http::HeaderMap;

/// What a loop reports. One observer lives on each loop, so counters can be plain cells that a scrape adds up.
///
/// Names in brackets are grpc-go's Prometheus metrics. All methods do nothing by default.
#[allow(unused_variables)]
pub trait DoorObserver {
    /// A call of a known method was accepted (`grpc_server_started_total`). Returns where the service is to note what it does, if
    /// anybody wants to see that.
    fn started(&self, method: &MethodInfo, headers: &HeaderMap) -> Option<Box<CallRecord>> {
        None
    }
    /// It ended (`grpc_server_handled_total`, `grpc_server_handling_seconds`).
    fn handled(&self, ended: Ended<'_>) {}
    /// A message came in (`grpc_server_msg_received_total`), of so many bytes when it is not compressed.
    fn msg_received(&self, method: &MethodInfo, bytes: usize) {}
    /// A message went out (`grpc_server_msg_sent_total`), of so many bytes before it was compressed.
    fn msg_sent(&self, method: &MethodInfo, bytes: usize) {}
    /// A connection was opened on this loop.
    fn connection_opened(&self) {}
    /// It was closed.
    fn connection_closed(&self) {}
}

/// Sees nothing.
pub struct NoObserver;

impl DoorObserver for NoObserver {}
