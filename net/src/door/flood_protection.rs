//! What stops HTTP/2 floods: rapid reset, CONTINUATION and header bombs, streams and frames without end.
//!
//! h2 counts and closes the connection with ENHANCE_YOUR_CALM; the numbers are the door's limits. Must be used for every
//! connection that the door accepts.

use super::limits::DoorLimits;

/// The settings of a connection whose receive window has this many bytes.
pub(super) fn builder(limits: &DoorLimits, window: u32) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(window)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_list)
        .max_send_buffer_size(limits.max_send_buffer)
        .max_pending_accept_reset_streams(limits.max_pending_reset)
        .max_local_error_reset_streams(Some(limits.max_error_reset));
    builder
}
