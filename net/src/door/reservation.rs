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

impl AssemblyPermit {
    /// Makes it a permit for so many bytes; false while the budget has none left.
    fn grow(&mut self, bytes: usize) -> bool {
        let total = self.state.assembly_bytes.get() - self.bytes + bytes;
        if bytes > self.bytes && total > self.state.limits.assembly_bytes {
            return false;
        }
        self.state.assembly_bytes.set(total);
        self.bytes = bytes;
        true
    }
}

/// Room for a request whose length nobody has said: it is taken as the request grows, and given back when this is dropped or
/// [cleared](Self::clear).
pub struct RequestRoom {
    state: Rc<LoopState>,
    permit: Option<AssemblyPermit>,
}

impl RequestRoom {
    pub(super) fn new(state: &Rc<LoopState>) -> Self {
        Self { state: state.clone(), permit: None }
    }

    /// Room for so many bytes in all. False when there is none: many large requests are under way.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        if bytes <= self.state.limits.free_assembly {
            return true;
        }
        match &mut self.permit {
            // by steps, so that not every piece is an entry in the books
            Some(permit) if permit.bytes >= bytes => true,
            Some(permit) => permit.grow(bytes.next_power_of_two()) || permit.grow(bytes),
            None => {
                self.permit = AssemblyPermit::take(&self.state, bytes);
                self.permit.is_some()
            }
        }
    }

    /// The request is over.
    pub fn clear(&mut self) {
        self.permit = None;
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
        if bytes < self.bytes && !self.state.unread_inside.borrow().is_empty() {
            // those inside give back outside of rounds
            self.state.ready.wake_loop();
        }
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
