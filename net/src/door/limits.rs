//! Every bound of the door in one place, with its reason.
//!
//! Must stay plain data: what a bound means is enforced where it is used.

use std::time::Duration;

/// Bounds of a door. All are per connection or per loop; a door has one loop per core.
#[derive(Clone, Debug)]
pub struct DoorLimits {
    /// Largest request message in bytes (etcd: max-request-bytes + 512 KiB). Larger ones get `ResourceExhausted`.
    pub max_recv_message: usize,
    /// Announced `MAX_CONCURRENT_STREAMS`. etcd's flag defaults to 2^32-1; an unbounded number lets one peer hold
    /// unbounded header memory, so the default here is finite and far above what clients use on one connection.
    pub max_concurrent_streams: u32,
    /// Largest header list of a request in bytes (16 KiB holds etcd's longest tokens many times over). Covers CONTINUATION floods.
    pub max_header_list: u32,
    /// Receive window of a stream in bytes: what a peer may send before we read.
    pub stream_window: u32,
    /// Receive window of a connection in bytes; request bodies up to [`Self::hold_body`] count against it until answered.
    pub connection_window: u32,
    /// Bodies up to this many bytes keep their window until their call is answered, so that one connection cannot
    /// queue more than its window; larger ones give it back at once and count against [`Self::loop_request_bytes`].
    pub hold_body: usize,
    /// Request bytes a loop may hold (being assembled, or waiting for an answer) before it accepts no further calls.
    pub loop_request_bytes: usize,
    /// Declared bytes of messages being assembled on a loop; a new large message beyond it gets `ResourceExhausted`.
    pub loop_assembly_bytes: usize,
    /// Bytes of a server stream that may wait for the peer's window before `try_send` refuses.
    pub stream_send_credit: usize,
    /// Sum of the above over all streams of a loop. A stream with nothing outstanding may always send one message.
    pub loop_send_credit: usize,
    /// Bytes of one stream h2 may hold for the socket although the peer's window is open.
    pub max_send_buffer: usize,
    /// Answers above this many bytes are pulled against flow control instead of being handed to h2 at once.
    pub direct_answer: usize,
    /// Streams reset by the peer before we accepted them (rapid reset): above it the connection is closed.
    pub max_pending_reset: usize,
    /// Streams we had to reset for protocol errors on one connection: above it the connection is closed.
    pub max_error_reset: usize,
    /// TLS handshake, first byte and HTTP/2 preface.
    pub handshake_timeout: Duration,
    /// HTTP/1.1 request head (etcd's ReadHeaderTimeout).
    pub http1_header_timeout: Duration,
    /// Longest pause inside a request message before its call is reset.
    pub body_idle: Duration,
    /// Longest time the socket takes no byte although there is something to write, then the connection is closed.
    pub write_stall: Duration,
    /// Silence of a peer after which the server pings it.
    pub keepalive_interval: Duration,
    /// Time the peer has to answer that ping.
    pub keepalive_timeout: Duration,
    /// Largest body of a plain HTTP request in bytes.
    pub http_body: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            max_recv_message: (1536 + 512) << 10,
            max_concurrent_streams: 16_384,
            max_header_list: 16 << 10,
            stream_window: 1 << 20,
            connection_window: 2 << 20,
            hold_body: 64 << 10,
            loop_request_bytes: 64 << 20,
            loop_assembly_bytes: 256 << 20,
            stream_send_credit: 64 << 10,
            loop_send_credit: 64 << 20,
            max_send_buffer: 256 << 10,
            direct_answer: 16 << 10,
            max_pending_reset: 256,
            max_error_reset: 1024,
            handshake_timeout: Duration::from_secs(10),
            http1_header_timeout: Duration::from_secs(300),
            body_idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(2 * 3600),
            keepalive_timeout: Duration::from_secs(20),
            http_body: 2 << 20,
        }
    }
}
