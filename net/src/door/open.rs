//! A call that is not over: what it counts for, given back when it is dropped.

use super::compress::Encoding;
use super::conn_shared::{ConnGuard, ConnShared};
use super::long_calls::LongCall;
use super::method_info::MethodInfo;
use super::record::{CallRecord, Ended};
use super::state::LoopState;
use super::status::Code;
use http::HeaderMap;
use std::rc::Rc;
use tokio::time::Instant;

/// Book-keeping of a call that is not over: given back and reported when dropped.
pub(super) struct Open {
    pub(super) state: Rc<LoopState>,
    /// Counts the call against its connection; `None` for a call from inside.
    pub(super) conn: Option<ConnGuard>,
    pub(super) method: Rc<MethodInfo>,
    pub(super) started: Instant,
    pub(super) deadline: Option<Instant>,
    /// How its client compresses messages, and takes them.
    pub(super) encoding: Encoding,
    /// Request bytes counted against the loop.
    pub(super) charged: usize,
    /// Set for a stream, and for a call that waits for others.
    pub(super) long: Option<LongCall>,
    /// How it ended; `Canceled` unless set.
    pub(super) code: Code,
    /// What is noted of it, when somebody wants to see it in detail.
    pub(super) record: Option<Box<CallRecord>>,
}

impl Open {
    /// A call begins: counted until it is dropped.
    pub(super) fn new(
        state: &Rc<LoopState>,
        conn: Option<ConnGuard>,
        method: &Rc<MethodInfo>,
        deadline: Option<Instant>,
        headers: &HeaderMap,
    ) -> Self {
        let record = state.observer().started(method, headers);
        state.calls.set(state.calls.get() + 1);
        Self {
            state: state.clone(),
            conn,
            method: method.clone(),
            started: state.now(),
            deadline,
            encoding: Encoding::Identity,
            charged: 0,
            long: None,
            code: Code::Canceled,
            record,
        }
    }

    /// The connection it came on; `None` for a call from inside.
    pub(super) fn connection(&self) -> Option<&Rc<ConnShared>> {
        self.conn.as_ref().map(|guard| &guard.0)
    }

    /// Counts the call as long; false when its connection has as many long calls as it may have.
    pub(super) fn become_long(&mut self) -> bool {
        let Some(conn) = self.conn.as_ref().map(|guard| &guard.0) else { return true };
        if self.long.is_none() {
            self.long = LongCall::begin(conn, &self.state.limits);
        }
        self.long.is_some()
    }

    pub(super) fn charge(&mut self, bytes: usize) {
        self.charged += bytes;
        self.state.request_bytes.set(self.state.request_bytes.get() + bytes);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let state = &self.state;
        state.request_bytes.set(state.request_bytes.get() - self.charged);
        state.calls.set(state.calls.get() - 1);
        let ended = Ended {
            method: &self.method,
            code: self.code,
            // not the time of the round, in which a short call begins and ends
            took: Instant::now().saturating_duration_since(self.started),
            remote: self.conn.as_ref().and_then(|conn| conn.0.peer.addr),
            waits: self.long.is_some(),
            record: self.record.take(),
        };
        state.observer().handled(ended);
    }
}
