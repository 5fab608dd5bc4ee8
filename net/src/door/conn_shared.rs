//! What the calls of a connection share with it.

use super::peer::Peer;
use super::token::CallToken;
use super::wake::ConnWaker;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What a call needs to know of its connection.
pub(super) struct ConnShared {
    pub(super) waker: Arc<ConnWaker>,
    pub(super) peer: Rc<Peer>,
    pub(super) open_calls: Cell<usize>,
    /// Those of them that are streams or wait for others.
    pub(super) long_calls: Cell<usize>,
    /// The log has a line about a refused long call of this connection.
    pub(super) reported_long: Cell<bool>,
    /// The log has a line about this connection having as many calls as are allowed.
    pub(super) reported_full: Cell<bool>,
    /// The log has a line about a call of this connection that found its loop full.
    pub(super) reported_no_room: Cell<bool>,
    /// The connection waits for a call to end before it accepts another.
    pub(super) full: Cell<bool>,
    /// It is in [`LoopState::gated`](super::state::LoopState::gated).
    pub(super) gated: Cell<bool>,
    /// Bytes of whole answers that the peer has not taken.
    pub(super) answers: Cell<usize>,
    /// Bytes handed to h2 since the socket last took everything.
    pub(super) unflushed: Cell<usize>,
    /// Calls that hand nothing to h2 until it has.
    pub(super) stalled: RefCell<Vec<CallToken>>,
}

impl ConnShared {
    /// True when h2 holds more for the socket than its `share`, so that `token` must wait; it is woken when the socket has taken it.
    pub(super) fn stalls(&self, share: usize, token: CallToken) -> bool {
        let stalls = self.unflushed.get() >= share;
        if stalls && self.stalled.borrow().last() != Some(&token) {
            self.stalled.borrow_mut().push(token);
        }
        stalls
    }

    /// Bytes were handed to h2.
    pub(super) fn handed(&self, bytes: usize) {
        self.unflushed.set(self.unflushed.get() + bytes);
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
