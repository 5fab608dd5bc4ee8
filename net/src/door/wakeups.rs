//! What goes on when a call's waker fired: whatever it was doing.

use super::calls::{LoopCtx, State};
use super::method::MethodTable;
use super::read;
use super::respond;
use super::send;
use super::stream;
use super::token::CallToken;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// A call's waker fired.
pub(super) fn woken(ctx: &Rc<LoopCtx>, methods: &MethodTable, token: CallToken) {
    enum Kind {
        Reading,
        Waiting,
        Sending,
        Streaming,
    }
    let kind = {
        let table = ctx.table.borrow();
        let Some(entry) = table.get(token) else { return };
        if let Some(waker) = &entry.waker {
            waker.queued.store(false, Ordering::Release);
        }
        match entry.state {
            State::Reading(_) => Kind::Reading,
            State::Waiting { .. } => Kind::Waiting,
            State::Sending(_) => Kind::Sending,
            State::Streaming(_) => Kind::Streaming,
            State::Taken => return,
        }
    };
    match kind {
        Kind::Reading => read::more(ctx, methods, token),
        Kind::Waiting => respond::watch_reset(ctx, token),
        Kind::Sending => send::pump(ctx, token),
        Kind::Streaming => stream::deliver(ctx, token),
    }
}
