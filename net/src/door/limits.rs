//! Every bound of the door in one place, with its reason.
//!
//! Must stay plain data: what a bound means is enforced where it is used.

use super::status::{Code, Status};
use std::time::Duration;

/// Bounds of a door. Those named "of the door" are byte budgets over all its loops, of which each loop has an equal share
/// ([`Self::of_loop`]); their sum is part of the memory ceiling (`docs/architecture.md`). The others are per connection or stream.
#[derive(Clone, Debug)]
pub struct DoorLimits {
    /// Largest request message in bytes (etcd: max-request-bytes + 512 KiB). Larger ones get `ResourceExhausted`.
    pub max_recv_message: usize,
    /// Announced `MAX_CONCURRENT_STREAMS`. etcd's flag defaults to 2^32-1; an unbounded number lets one peer hold
    /// unbounded header memory, so the default here is finite and far above what clients use on one connection. A part is
    /// kept for short calls, see [`Self::max_long_calls`].
    pub max_concurrent_streams: u32,
    /// Largest header list of a request in bytes (16 KiB holds etcd's longest tokens many times over). Covers CONTINUATION floods.
    pub max_header_list: u32,
    /// Receive window of a stream in bytes: what a peer may send before we read.
    pub stream_window: u32,
    /// Largest receive window of a connection in bytes. Request bodies up to [`Self::hold_body`] count against it until answered.
    pub connection_window: u32,
    /// Receive windows of the door: when all connections together would have more, each gets less, down to HTTP/2's 64 KiB.
    pub window_bytes: usize,
    /// Bodies up to this many bytes that come in one piece keep their window until their call is answered, so that one
    /// connection cannot queue more than its window.
    pub hold_body: usize,
    /// Request bytes of the door that wait for an answer; beyond it no further call is accepted, and windows fill up.
    pub request_bytes: usize,
    /// Messages up to this many bytes are put together without a permit of [`Self::assembly_bytes`].
    pub free_assembly: usize,
    /// Declared bytes of the door's messages that are being put together; a message beyond it waits in its window.
    pub assembly_bytes: usize,
    /// Longest such wait; then the call gets "too many requests".
    pub assembly_wait: Duration,
    /// Bytes of the door's large answers that were read and not yet handed to h2. An answer beyond it is not read on.
    pub answer_bytes: usize,
    /// Time in which a large answer must get rid of what was read of it, while others wait for [`Self::answer_bytes`].
    pub answer_stall: Duration,
    /// Whole answers of one connection that it has not taken; beyond it no further call of it is accepted.
    pub connection_answers: usize,
    /// Most bytes of a stream that may wait for the peer's window before `try_send` refuses.
    pub stream_send_credit: usize,
    /// Sum of the above over all streams of the door: with many slow ones each has less, down to [`Self::LEAST_SHARE`]. A
    /// stream with nothing outstanding may always send one message.
    pub send_bytes: usize,
    /// Bytes of the door that h2 may hold for sockets that take none, divided among these connections.
    pub socket_bytes: usize,
    /// Most of it for one connection.
    pub connection_socket: usize,
    /// Chunks of the door's range streams that are read or wait: with many streams they are smaller.
    pub flow_bytes: usize,
    /// Calls and streams of the door that are not over; a further one gets "too many requests".
    pub max_calls: usize,
    /// Bytes of one stream h2 may hold for the socket although the peer's window is open.
    pub max_send_buffer: usize,
    /// Answers above this many bytes are pulled against flow control instead of being handed to h2 at once.
    pub direct_answer: usize,
    /// Bytes that a loop inflates in one round: what goes beyond waits for the next one, so that others are served in between.
    pub inflate_round: usize,
    /// Bytes of answers that a loop compresses in one round: what goes beyond leaves as it is, which gRPC allows.
    pub compress_round: usize,
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
    /// The answer to a call for which a budget has nothing left.
    pub busy: Status,
}

impl DoorLimits {
    /// Least share of one stream or connection in a budget that many have to divide.
    pub const LEAST_SHARE: usize = 8 << 10;

    /// Streams, and calls that wait for others, that one connection may have open: all but a sixteenth of
    /// [`Self::max_concurrent_streams`].
    pub fn max_long_calls(&self) -> usize {
        (self.max_concurrent_streams - self.max_concurrent_streams / 16) as usize
    }

    /// Largest request in bytes when it comes as JSON: bytes in base64 take a third more, and some room is for names and space.
    pub fn max_json_request(&self) -> usize {
        self.max_recv_message / 3 * 4 + (64 << 10)
    }

    /// The bounds of each of `loops` loops.
    pub fn of_loop(&self, loops: usize) -> Self {
        let share = |bytes: usize| (bytes / loops.max(1)).max(1);
        Self {
            window_bytes: share(self.window_bytes),
            request_bytes: share(self.request_bytes),
            // one message must always find room
            assembly_bytes: share(self.assembly_bytes).max(self.max_json_request()),
            answer_bytes: share(self.answer_bytes),
            send_bytes: share(self.send_bytes),
            socket_bytes: share(self.socket_bytes),
            flow_bytes: share(self.flow_bytes),
            max_calls: share(self.max_calls),
            ..self.clone()
        }
    }

    /// All byte budgets of a door together.
    pub fn total(&self) -> usize {
        self.window_bytes
            + self.request_bytes
            + self.assembly_bytes
            + self.answer_bytes
            + self.send_bytes
            + self.socket_bytes
            + self.flow_bytes
    }
}

/// What each of `users` may have of `total`: never less than `least`, never more than `most`.
pub(super) fn share(total: usize, users: usize, least: usize, most: usize) -> usize {
    (total / users.max(1)).max(least).min(most)
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            max_recv_message: (1536 + 512) << 10,
            max_concurrent_streams: 32_768,
            max_header_list: 16 << 10,
            stream_window: 1 << 20,
            connection_window: 2 << 20,
            window_bytes: 32 << 20,
            hold_body: 64 << 10,
            request_bytes: 32 << 20,
            free_assembly: 4 << 10,
            assembly_bytes: 32 << 20,
            assembly_wait: Duration::from_secs(20),
            answer_bytes: 32 << 20,
            answer_stall: Duration::from_secs(5),
            connection_answers: 2 << 20,
            stream_send_credit: 64 << 10,
            send_bytes: 16 << 20,
            socket_bytes: 16 << 20,
            connection_socket: 256 << 10,
            flow_bytes: 16 << 20,
            max_calls: 131_072,
            max_send_buffer: 256 << 10,
            direct_answer: 16 << 10,
            inflate_round: 1 << 20,
            compress_round: 1 << 20,
            max_pending_reset: 256,
            max_error_reset: 1024,
            handshake_timeout: Duration::from_secs(10),
            http1_header_timeout: Duration::from_secs(300),
            body_idle: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(2 * 3600),
            keepalive_timeout: Duration::from_secs(20),
            busy: Status::new(Code::ResourceExhausted, "too many requests"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_together_have_what_the_door_has() {
        let door = DoorLimits::default();
        for loops in [1, 2, 3, 64] {
            let one = door.of_loop(loops);
            assert!(one.request_bytes * loops <= door.request_bytes, "{loops} loops");
            assert!(one.assembly_bytes >= door.max_recv_message, "{loops} loops: one message finds room");
        }
        assert_eq!(share(100, 0, 5, 60), 60);
        assert_eq!(share(100, 4, 5, 60), 25);
        assert_eq!(share(100, 1000, 5, 60), 5);
    }
}
