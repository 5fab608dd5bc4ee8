//! What all connections and calls of one loop share, and the handle services hold of it.
//!
//! Lives on one thread. Must never call into a service while the call table is borrowed.

use super::answer::Answer;
use super::call::{CallToken, Peer};
use super::limits::DoorLimits;
use super::method::MethodTable;
use super::observer::{DoorObserver, NoObserver};
use super::respond;
use super::stream::StreamHandle;
use super::table::{Entry, State, Table};
use super::wake::{CallWaker, ConnWaker, ReadyList};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use tokio::time::Instant;

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
    /// Bytes of streams that wait for their peers' windows.
    pub(super) outstanding: Cell<usize>,
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
        self.request_bytes.get() < self.limits.loop_request_bytes
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
