//! The handle that services hold of their loop. Not `Send`: other threads use the [`LoopSender`](super::LoopSender).

use super::answer::Answer;
use super::calls::{LoopCtx, State, StreamHandle};
use super::limits::DoorLimits;
use super::method::Methods;
use super::record::CallRecord;
use super::reservation::RequestRoom;
use super::respond;
use super::token::CallToken;
use std::rc::Rc;
use tokio::time::Instant;

/// A service's handle of its loop. Cheap to clone; not `Send`: from other threads use the [`LoopSender`](super::LoopSender).
#[derive(Clone)]
pub struct LoopHandle {
    pub(super) ctx: Rc<LoopCtx>,
    pub(super) methods: Rc<Methods>,
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

    /// Room for a request that comes as text.
    pub fn request_room(&self) -> RequestRoom {
        RequestRoom::new(&self.ctx.state)
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
        respond::answer(&self.ctx, open, responder, answer.into());
        true
    }

    /// Notes something about a call that is not over, if anybody wants to see that.
    pub fn note(&self, token: CallToken, note: impl FnOnce(&mut CallRecord)) {
        if let Some(record) = self.ctx.table.borrow_mut().get_mut(token).and_then(|e| e.open.record.as_deref_mut()) {
            note(record);
        }
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
