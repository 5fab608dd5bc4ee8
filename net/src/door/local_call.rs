//! A unary call from inside the process: a future of its answer. Dropped, the call is cancelled.

use super::calls::LoopCtx;
use super::local_message::LocalMessage;
use super::local_slot::LocalSlot;
use super::respond;
use super::status::Status;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A call that is under way.
pub struct LocalCall {
    ctx: Rc<LoopCtx>,
    slot: Rc<LocalSlot>,
}

impl LocalCall {
    pub(super) fn new(ctx: &Rc<LoopCtx>) -> (Self, Rc<LocalSlot>) {
        let slot = Rc::<LocalSlot>::default();
        (Self { ctx: ctx.clone(), slot: slot.clone() }, slot)
    }
}

impl Future for LocalCall {
    type Output = Result<LocalMessage, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(cx)
    }
}

impl Drop for LocalCall {
    fn drop(&mut self) {
        if let Some(token) = self.slot.give_up() {
            respond::cancel_waiting(&self.ctx, token, None);
            // the service may have collected something to send, and no round is under way
            self.ctx.ready.wake_loop();
        }
    }
}
