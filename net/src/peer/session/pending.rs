//! Calls that left and are not answered yet. Each is told exactly one outcome.

use crate::peer::codec::talk::{Answer, Call};
use crate::peer::lanes::outbox::Asked;
use crate::peer::port::{CallDone, CallError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

struct Waiting {
    expires: Instant,
    done: CallDone,
}

/// Calls of one connection.
#[derive(Default)]
pub struct Pending {
    calls: RefCell<HashMap<u64, Waiting>>,
}

impl Pending {
    /// The question that goes on the wire, its caller remembered; `None` when the caller's patience has ended before it left.
    pub fn leaving(&self, asked: Asked) -> Option<Call> {
        let left = asked.expires.saturating_duration_since(Instant::now());
        if left.is_zero() {
            asked.fail(CallError::Unreachable);
            return None;
        }
        let Asked { mut call, expires, done } = asked;
        call.deadline_millis = left.as_millis().clamp(1, u32::MAX.into()) as u32;
        self.calls.borrow_mut().insert(call.id, Waiting { expires, done });
        Some(call)
    }

    /// The question did not leave after all.
    pub fn did_not_leave(&self, id: u64) {
        self.finish(id, Err(CallError::Unreachable));
    }

    /// An answer came. One that nobody waits for any more is dropped.
    pub fn answered(&self, answer: Answer) {
        self.finish(answer.id, answer.result.map_err(CallError::from));
    }

    /// Tells those whose patience has ended.
    pub fn expire(&self, now: Instant) {
        let mut calls = self.calls.borrow_mut();
        let ended: Vec<u64> = calls.iter().filter(|(_, call)| call.expires <= now).map(|(id, _)| *id).collect();
        let ended: Vec<Waiting> = ended.into_iter().filter_map(|id| calls.remove(&id)).collect();
        drop(calls);
        ended.into_iter().for_each(|call| (call.done)(Err(CallError::Unknown)));
    }

    /// The connection is gone: nobody knows what became of them.
    pub fn lose(&self) {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        calls.into_values().for_each(|call| (call.done)(Err(CallError::Unknown)));
    }

    fn finish(&self, id: u64, result: Result<bytes::Bytes, CallError>) {
        let waiting = self.calls.borrow_mut().remove(&id);
        if let Some(waiting) = waiting {
            (waiting.done)(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.lose();
    }
}
