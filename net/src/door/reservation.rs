//! Budgets of a loop that calls take a part of, given back when it is dropped: messages being put together, answers in memory.

use super::conn_shared::ConnShared;
use super::open::Open;
use super::state::LoopState;
use std::rc::Rc;
use tokio::time::Instant;

/// The permit to put a message together, counted against the loop while this lives.
pub(super) struct AssemblyPermit {
    state: Rc<LoopState>,
    bytes: usize,
    pub(super) since: Instant,
}

impl AssemblyPermit {
    /// A permit for so many bytes; `None` while the budget has none left.
    pub(super) fn take(state: &Rc<LoopState>, bytes: usize) -> Option<Self> {
        let total = state.assembly_bytes.get() + bytes;
        if total > state.limits.assembly_bytes {
            return None;
        }
        state.assembly_bytes.set(total);
        Some(Self { state: state.clone(), bytes, since: state.now() })
    }
}

impl Drop for AssemblyPermit {
    fn drop(&mut self) {
        let state = &self.state;
        state.assembly_bytes.set(state.assembly_bytes.get() - self.bytes);
        if !state.unassembled.borrow().is_empty() {
            // plain HTTP gives permits back outside of rounds
            state.ready.wake_loop();
        }
    }
}

/// Bytes of an answer that lie in memory, counted against loop and connection while this lives.
pub(super) struct AnswerReservation {
    state: Rc<LoopState>,
    conn: Option<Rc<ConnShared>>,
    pub(super) bytes: usize,
    /// Since when some of them lie there.
    pub(super) since: Instant,
}

impl AnswerReservation {
    pub(super) fn new(open: &Open) -> Self {
        Self { state: open.state.clone(), conn: open.connection().cloned(), bytes: 0, since: open.state.now() }
    }

    pub(super) fn set(&mut self, bytes: usize) {
        if self.bytes == 0 {
            self.since = self.state.now();
        }
        let all = &self.state.answer_bytes;
        all.set(all.get() + bytes - self.bytes);
        if let Some(conn) = &self.conn {
            conn.answers.set(conn.answers.get() + bytes - self.bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for AnswerReservation {
    fn drop(&mut self) {
        self.set(0);
    }
}
