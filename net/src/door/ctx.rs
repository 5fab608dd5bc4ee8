//! What all connections and calls of one loop share, and the handle services hold of it.
//!
//! Lives on one thread. Must never call into a service while the call table is borrowed.

use super::answer::{Answer, Message};
use super::call::{CallToken, Peer};
use super::compress::{self, Encoding, Outgoing};
use super::limits::{DoorLimits, share};
use super::method::MethodTable;
use super::observer::{DoorObserver, NoObserver};
use super::respond;
use super::status::Status;
use super::stream::StreamHandle;
use super::table::{Entry, State, Table};
use super::wake::{CallWaker, ConnWaker, ReadyList};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use tokio::time::Instant;

/// What HTTP/2 gives every connection before anything is said.
const LEAST_WINDOW: u32 = 65_535;

/// Shared state of a loop.
pub(super) struct LoopCtx {
    pub(super) index: usize,
    pub(super) limits: Rc<DoorLimits>,
    /// Services hold handles of the loop, so these are emptied when the loop ends.
    pub(super) methods: RefCell<Rc<MethodTable>>,
    pub(super) observer: RefCell<Rc<dyn DoorObserver>>,
    pub(super) table: RefCell<Table>,
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
    pub(super) inflated: Cell<usize>,
    pub(super) compressed: Cell<usize>,
    /// Calls that are not over.
    pub(super) calls: Cell<usize>,
    /// HTTP/2 connections, and those of them whose sockets take nothing at present.
    pub(super) connections: Cell<usize>,
    pub(super) blocked: Cell<usize>,
    /// Calls whose message waits for a place to be put together.
    pub(super) unassembled: RefCell<VecDeque<CallToken>>,
    /// Calls and streams whose message waits to be inflated.
    pub(super) packed: RefCell<VecDeque<CallToken>>,
    /// Large answers that wait to be read on.
    pub(super) unread: RefCell<VecDeque<CallToken>>,
    /// Earliest deadline of a waiting call, or earlier.
    pub(super) next_deadline: Cell<Option<Instant>>,
    /// A service was called from outside a round: the next one must end with `end_of_round`.
    pub(super) called: Cell<bool>,
    /// Connections that may not accept until the loop holds fewer request bytes.
    pub(super) gated: RefCell<Vec<Rc<ConnShared>>>,
}

impl LoopCtx {
    pub(super) fn new(index: usize, limits: DoorLimits, ready: Arc<ReadyList>) -> Self {
        Self {
            index,
            limits: Rc::new(limits),
            methods: RefCell::default(),
            observer: RefCell::new(Rc::new(NoObserver)),
            table: RefCell::new(Table::default()),
            ready,
            now: Cell::new(Instant::now()),
            request_bytes: Cell::new(0),
            assembly_bytes: Cell::new(0),
            outstanding: Cell::new(0),
            slow_streams: Cell::new(0),
            answer_bytes: Cell::new(0),
            inflated: Cell::new(0),
            compressed: Cell::new(0),
            calls: Cell::new(0),
            connections: Cell::new(0),
            blocked: Cell::new(0),
            unassembled: RefCell::default(),
            packed: RefCell::default(),
            unread: RefCell::default(),
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

    pub(super) fn methods(&self) -> Rc<MethodTable> {
        self.methods.borrow().clone()
    }

    /// True when the loop may take on more requests.
    pub(super) fn has_room(&self) -> bool {
        self.request_bytes.get() < self.limits.request_bytes
    }

    /// A round begins.
    pub(super) fn begin_round(&self) {
        self.now.set(Instant::now());
        self.inflated.set(0);
        self.compressed.set(0);
    }

    /// True when a message may be inflated in this round.
    pub(super) fn may_inflate(&self) -> bool {
        self.has_room() && self.inflated.get() < self.limits.inflate_round
    }

    /// Inflates a message that came in, and counts that against the round.
    pub(super) fn inflate(&self, message: &[u8]) -> Result<Bytes, Status> {
        let result = compress::inflate(message, self.limits.max_recv_message);
        // what is refused was inflated up to the bound, or broke off on the way
        let bytes = result.as_ref().map_or(self.limits.max_recv_message, Bytes::len);
        self.inflated.set(self.inflated.get() + bytes.max(message.len()));
        result
    }

    /// A message as it leaves: compressed when its client asked for that and the round has time for it.
    pub(super) fn encode(&self, encoding: Encoding, message: Message) -> Outgoing {
        let compressed = self.compressed.get() + message.len();
        if encoding == Encoding::Identity || compressed > self.limits.compress_round {
            return Outgoing::plain(message);
        }
        self.compressed.set(compressed);
        Outgoing::gzip(message)
    }

    /// Receive window of one of the connections there are.
    pub(super) fn window(&self) -> u32 {
        let most = self.limits.connection_window;
        let least = LEAST_WINDOW.min(most);
        share(self.limits.window_bytes, self.connections.get(), least as usize, most as usize) as u32
    }

    /// Bytes that h2 may hold for one connection whose socket takes none.
    fn socket_share(&self) -> usize {
        let limits = &self.limits;
        share(limits.socket_bytes, self.blocked.get(), DoorLimits::LEAST_SHARE, limits.connection_socket)
    }

    /// Bytes of one stream that may wait for its peer's window.
    pub(super) fn stream_share(&self) -> usize {
        let most = self.limits.stream_send_credit;
        share(self.limits.send_bytes, self.slow_streams.get(), DoorLimits::LEAST_SHARE.min(most), most)
    }

    /// Wakes calls that wait for room in a budget: as many as `room` may serve, `each` at least.
    pub(super) fn wake_waiting(&self, queue: &RefCell<VecDeque<CallToken>>, mut room: usize, each: usize) {
        while room >= each {
            let Some(token) = queue.borrow_mut().pop_front() else { return };
            if let Some(waker) = self.waker(token) {
                waker.wake();
                room -= each;
            }
        }
    }

    /// Puts a call into the table.
    pub(super) fn insert(&self, entry: Entry) -> CallToken {
        if let Some(deadline) = entry.open.deadline {
            let first = self.next_deadline.get().map_or(deadline, |d| d.min(deadline));
            self.next_deadline.set(Some(first));
        }
        self.table.borrow_mut().insert(entry)
    }

    /// Waker of a call, made when first needed.
    pub(super) fn waker(&self, token: CallToken) -> Option<Waker> {
        let mut table = self.table.borrow_mut();
        let entry = table.get_mut(token)?;
        let waker = entry.waker.get_or_insert_with(|| {
            Arc::new(CallWaker { token, ready: self.ready.clone(), queued: AtomicBool::new(false) })
        });
        Some(Waker::from(waker.clone()))
    }
}

/// What a call needs to know of its connection.
pub(super) struct ConnShared {
    pub(super) waker: Arc<ConnWaker>,
    pub(super) peer: Rc<Peer>,
    pub(super) open_calls: Cell<usize>,
    /// The connection waits for a call to end before it accepts another.
    pub(super) full: Cell<bool>,
    /// It is in [`LoopCtx::gated`].
    pub(super) gated: Cell<bool>,
    /// Bytes of whole answers that the peer has not taken.
    pub(super) answers: Cell<usize>,
    /// Bytes handed to h2 since the socket last took everything.
    pub(super) unflushed: Cell<usize>,
    /// Calls that hand nothing to h2 until it has.
    pub(super) stalled: RefCell<Vec<CallToken>>,
}

impl ConnShared {
    /// True when h2 holds so much for the socket that `token` must wait; it is woken when the socket has taken it.
    pub(super) fn stalls(&self, ctx: &LoopCtx, token: CallToken) -> bool {
        let stalls = self.unflushed.get() >= ctx.socket_share();
        if stalls && self.stalled.borrow().last() != Some(&token) {
            self.stalled.borrow_mut().push(token);
        }
        stalls
    }

    /// Bytes were handed to h2.
    pub(super) fn handed(&self, bytes: usize) {
        self.unflushed.set(self.unflushed.get() + bytes);
    }

    /// The socket took everything.
    pub(super) fn flushed(&self, ctx: &LoopCtx) {
        if self.unflushed.replace(0) == 0 {
            return;
        }
        for token in self.stalled.borrow_mut().drain(..) {
            if let Some(waker) = ctx.waker(token) {
                waker.wake();
            }
        }
    }
}

/// One call of a connection, counted while this lives.
pub(super) struct ConnGuard(pub(super) Rc<ConnShared>);

impl ConnGuard {
    pub(super) fn new(conn: &Rc<ConnShared>) -> Self {
        conn.open_calls.set(conn.open_calls.get() + 1);
        Self(conn.clone())
    }
}

impl Drop for ConnGuard {
    fn drop(&mut self) {
        let conn = &self.0;
        conn.open_calls.set(conn.open_calls.get() - 1);
        if conn.full.replace(false) {
            std::task::Wake::wake_by_ref(&conn.waker);
        }
    }
}

/// A service's handle of its loop. Cheap to clone; not `Send`: from other threads use the [`LoopSender`](super::LoopSender).
#[derive(Clone)]
pub struct LoopHandle {
    pub(super) ctx: Rc<LoopCtx>,
}

impl LoopHandle {
    /// Number of the loop, from 0.
    pub fn index(&self) -> usize {
        self.ctx.index
    }

    /// Bounds of the loop: its share of the door's.
    pub fn limits(&self) -> &DoorLimits {
        &self.ctx.limits
    }

    /// True while large answers have used up half of their budget: then read no answer before its client takes it.
    pub fn is_crowded(&self) -> bool {
        self.ctx.answer_bytes.get() > self.ctx.limits.answer_bytes / 2
    }

    /// Time of the current round.
    pub fn now(&self) -> Instant {
        self.ctx.now()
    }

    /// Answers a deferred call. False when it is over already (cancelled, deadline passed, connection gone): the answer is dropped.
    pub fn complete(&self, token: CallToken, answer: impl Into<Answer>) -> bool {
        let entry = self.ctx.table.borrow_mut().remove_waiting(token);
        let Some((open, responder)) = entry else { return false };
        respond::answer(open, responder, answer.into());
        true
    }

    /// True while a deferred call or a stream is alive.
    pub fn is_open(&self, token: CallToken) -> bool {
        self.ctx.table.borrow().contains(token)
    }

    /// The stream of that token, if it is alive.
    pub fn stream(&self, token: CallToken) -> Option<StreamHandle> {
        let table = self.ctx.table.borrow();
        matches!(table.get(token)?.state, State::Streaming(_)).then(|| StreamHandle { ctx: self.ctx.clone(), token })
    }
}
