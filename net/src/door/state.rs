//! What one loop counts: its budgets, its queues of waiting calls, its clock. One thread, plain cells.
//!
//! Must not know what a call is: calls are named by their tokens here.

use super::answer::Message;
use super::compress::{self, Encoding, Outgoing};
use super::conn_shared::ConnShared;
use super::limits::{DoorLimits, share};
use super::observer::{DoorObserver, NoObserver};
use super::status::Status;
use super::token::CallToken;
use super::wake::ReadyList;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use tokio::time::Instant;

/// What HTTP/2 gives every connection before anything is said.
const LEAST_WINDOW: u32 = 65_535;

/// What a loop counts, and who waits for what.
pub(super) struct LoopState {
    pub(super) index: usize,
    pub(super) limits: Rc<DoorLimits>,
    /// Services hold handles of the loop, so it is replaced when the loop ends.
    pub(super) observer: RefCell<Rc<dyn DoorObserver>>,
    pub(super) ready: Arc<ReadyList>,
    /// Time of this round: one clock read serves all calls in it.
    pub(super) now: Cell<Instant>,
    pub(super) request_bytes: Cell<usize>,
    pub(super) assembly_bytes: Cell<usize>,
    /// Bytes of streams that wait for their peers' windows, and how many streams these are.
    pub(super) outstanding: Cell<usize>,
    pub(super) slow_streams: Cell<usize>,
    /// Bytes of large answers that were read (or asked for) and not yet handed to h2.
    pub(super) answer_bytes: Cell<usize>,
    /// Bytes inflated and compressed in this round.
    inflated_bytes: Cell<usize>,
    compressed_bytes: Cell<usize>,
    /// Calls that are not over.
    pub(super) calls: Cell<usize>,
    /// HTTP/2 connections, and those of them whose sockets take nothing at present.
    pub(super) connections: Cell<usize>,
    pub(super) blocked: Cell<usize>,
    /// Calls whose message waits for a permit to be put together.
    pub(super) unassembled: RefCell<VecDeque<CallToken>>,
    /// Calls and streams whose message waits to be inflated.
    pub(super) to_inflate: RefCell<VecDeque<CallToken>>,
    /// Large answers that wait to be read on.
    pub(super) unread: RefCell<VecDeque<CallToken>>,
    /// Those inside the process that wait to read large answers on.
    pub(super) unread_inside: RefCell<VecDeque<Waker>>,
    /// Earliest deadline of a waiting call, or earlier.
    pub(super) next_deadline: Cell<Option<Instant>>,
    /// A service was called from outside a round: the next one must end with `end_of_round`.
    pub(super) called: Cell<bool>,
    /// Connections that may not accept until the loop holds fewer request bytes.
    pub(super) gated: RefCell<Vec<Rc<ConnShared>>>,
}

impl LoopState {
    pub(super) fn new(index: usize, limits: DoorLimits, ready: Arc<ReadyList>) -> Self {
        Self {
            index,
            limits: Rc::new(limits),
            observer: RefCell::new(Rc::new(NoObserver)),
            ready,
            now: Cell::new(Instant::now()),
            request_bytes: Cell::new(0),
            assembly_bytes: Cell::new(0),
            outstanding: Cell::new(0),
            slow_streams: Cell::new(0),
            answer_bytes: Cell::new(0),
            inflated_bytes: Cell::new(0),
            compressed_bytes: Cell::new(0),
            calls: Cell::new(0),
            connections: Cell::new(0),
            blocked: Cell::new(0),
            unassembled: RefCell::default(),
            to_inflate: RefCell::default(),
            unread: RefCell::default(),
            unread_inside: RefCell::default(),
            next_deadline: Cell::new(None),
            called: Cell::new(false),
            gated: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(super) fn observer(&self) -> Rc<dyn DoorObserver> {
        self.observer.borrow().clone()
    }

    /// True when the loop may take on more requests.
    pub(super) fn has_room(&self) -> bool {
        self.request_bytes.get() < self.limits.request_bytes
    }

    /// A round begins.
    pub(super) fn begin_round(&self) {
        self.now.set(Instant::now());
        self.inflated_bytes.set(0);
        self.compressed_bytes.set(0);
    }

    /// True when a message may be inflated in this round.
    pub(super) fn may_inflate(&self) -> bool {
        self.has_room() && self.inflated_bytes.get() < self.limits.inflate_round
    }

    /// Inflates a message that came in, and counts that against the round.
    pub(super) fn inflate(&self, message: &[u8]) -> Result<Bytes, Status> {
        let result = compress::inflate(message, self.limits.max_recv_message);
        // what is refused was inflated up to the bound, or broke off on the way
        let bytes = result.as_ref().map_or(self.limits.max_recv_message, Bytes::len);
        self.inflated_bytes.set(self.inflated_bytes.get() + bytes.max(message.len()));
        result
    }

    /// A message as it leaves: compressed when its client asked for that and the round has time for it.
    pub(super) fn encode(&self, encoding: Encoding, message: Message) -> Outgoing {
        let total = self.compressed_bytes.get() + message.len();
        if encoding == Encoding::Identity || total > self.limits.compress_round {
            return Outgoing::plain(message);
        }
        self.compressed_bytes.set(total);
        Outgoing::gzip(message)
    }

    /// Receive window of one of the connections there are.
    pub(super) fn window(&self) -> u32 {
        let most = self.limits.connection_window;
        let least = LEAST_WINDOW.min(most);
        share(self.limits.window_bytes, self.connections.get(), least as usize, most as usize) as u32
    }

    /// Bytes that h2 may hold for one connection whose socket takes none.
    pub(super) fn socket_share(&self) -> usize {
        let limits = &self.limits;
        share(limits.socket_bytes, self.blocked.get(), DoorLimits::LEAST_SHARE, limits.connection_socket)
    }

    /// Bytes of one stream that may wait for its peer's window.
    pub(super) fn stream_share(&self) -> usize {
        let most = self.limits.stream_send_credit;
        share(self.limits.send_bytes, self.slow_streams.get(), DoorLimits::LEAST_SHARE.min(most), most)
    }
}
