//! What a unary call from inside the process and whoever waits for it share.

use super::answer::{Answer, Body};
use super::local_message::LocalMessage;
use super::open::Open;
use super::status::Status;
use super::token::CallToken;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// Where the answer goes, and how the call is found while a service keeps it.
#[derive(Default)]
pub(super) struct LocalSlot {
    answer: RefCell<Option<Result<LocalMessage, Status>>>,
    waker: RefCell<Option<Waker>>,
    token: Cell<Option<CallToken>>,
    given_up: Cell<bool>,
}

impl LocalSlot {
    /// The call is answered.
    pub(super) fn give(&self, open: Open, answer: Answer) {
        self.token.set(None);
        if self.given_up.get() {
            return;
        }
        self.put(match answer.body {
            Body::Status(status) => Err(status),
            Body::Message(message) => LocalMessage::whole(open, message),
            Body::Source(source) => Ok(LocalMessage::pulled(open, source)),
        });
    }

    /// The call was never made.
    pub(super) fn refuse(&self, status: Status) {
        self.put(Err(status));
    }

    fn put(&self, answer: Result<LocalMessage, Status>) {
        self.answer.replace(Some(answer));
        self.waker.take().inspect(Waker::wake_by_ref);
    }

    /// A service keeps the call under this name. True when nobody waits for it any more.
    pub(super) fn kept(&self, token: CallToken) -> bool {
        self.token.set(Some(token));
        self.given_up.get()
    }

    /// Nobody waits any more. The name of the call, while a service keeps it.
    pub(super) fn give_up(&self) -> Option<CallToken> {
        self.given_up.set(true);
        self.token.take()
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<LocalMessage, Status>> {
        if let Some(answer) = self.answer.take() {
            return Poll::Ready(answer);
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}
