//! A call in a service's hands: who asks, with which metadata, and the right to answer once.
//!
//! Dropping a [`Call`] unanswered answers it with `Internal`, so that no client waits for a forgotten request.

use super::answer::Answer;
use super::calls::{Entry, LoopCtx, Responder, State};
use super::meta::CallMeta;
use super::open::Open;
use super::record::CallRecord;
use super::respond;
use super::status::{Code, Status};
use super::token::CallToken;
use std::rc::Rc;

/// A unary call: its metadata and the right to answer it.
pub struct Call {
    meta: CallMeta,
    right: Option<RightToAnswer>,
}

/// Given away once.
struct RightToAnswer {
    ctx: Rc<LoopCtx>,
    open: Open,
    responder: Responder,
}

impl std::ops::Deref for Call {
    type Target = CallMeta;

    fn deref(&self) -> &CallMeta {
        &self.meta
    }
}

impl Call {
    pub(super) fn new(ctx: &Rc<LoopCtx>, open: Open, meta: CallMeta, responder: Responder) -> Self {
        Self { meta, right: Some(RightToAnswer { ctx: ctx.clone(), open, responder }) }
    }

    /// Answers now. The bytes leave at the end of the loop's round, together with all others.
    pub fn reply(mut self, answer: impl Into<Answer>) {
        self.answer(answer.into());
    }

    fn answer(&mut self, answer: Answer) {
        if let Some(right) = self.right.take() {
            respond::answer(&right.ctx, right.open, right.responder, answer);
        }
    }

    /// Keeps the right to answer for [`LoopHandle::complete`](super::LoopHandle::complete). When the deadline passes the door
    /// answers by itself.
    pub fn defer(self) -> CallToken {
        self.put(None)
    }

    /// Where to note what is done about it, if anybody wants to see that.
    pub fn record(&mut self) -> Option<&mut CallRecord> {
        self.right.as_mut()?.open.record.as_deref_mut()
    }

    /// Says that the call may wait long, for [`Self::defer_with`]. False when its connection has so many streams and waiting
    /// calls that another one would leave no room for short calls: then refuse it.
    pub fn may_wait(&mut self) -> bool {
        self.right.as_mut().is_some_and(|right| right.open.become_long())
    }

    /// As [`Self::defer`], and `on_cancel` is called when the client gives up, its deadline passes or its connection goes:
    /// for calls that wait long and must clean up (locks, elections). Costs a little more than [`Self::defer`].
    pub fn defer_with(self, on_cancel: impl FnOnce() + 'static) -> CallToken {
        self.put(Some(Box::new(on_cancel)))
    }

    fn put(mut self, on_cancel: Option<Box<dyn FnOnce()>>) -> CallToken {
        let right = self.right.take().unwrap_or_else(|| unreachable!("a call is answered once"));
        let RightToAnswer { ctx, open, responder } = right;
        let watched = on_cancel.is_some();
        let slot = if let Responder::Local(slot) = &responder { Some(slot.clone()) } else { None };
        let token = ctx.insert(Entry { open, waker: None, state: State::Waiting { responder, on_cancel } });
        if watched {
            respond::watch_reset(&ctx, token);
        }
        if slot.is_some_and(|slot| slot.kept(token)) {
            respond::cancel_waiting(&ctx, token, None);
        }
        token
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.answer(Status::new(Code::Internal, "the service gave no answer").into());
    }
}
