//! Wakers of a loop: they only note who is ready, so that one poll of the loop serves all of them in one round.
//!
//! Wakers are called from h2 and the runtime on the loop's own thread, and from other threads by answer sources.

use super::token::CallToken;
use futures_util::task::AtomicWaker;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Who is ready, and the loop to wake for it.
#[derive(Default)]
pub(super) struct ReadyList {
    lists: Mutex<Lists>,
    /// True while the loop runs a round: it looks at the lists again before it sleeps, so nobody needs to wake it.
    polling: AtomicBool,
    task: AtomicWaker,
}

#[derive(Default)]
pub(super) struct Lists {
    pub(super) conns: Vec<usize>,
    pub(super) calls: Vec<CallToken>,
}

impl ReadyList {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        // a panic while pushing leaves a usable list
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push_conn(&self, key: usize) {
        self.lists().conns.push(key);
        self.wake();
    }

    fn push_call(&self, token: CallToken) {
        self.lists().calls.push(token);
        self.wake();
    }

    fn wake(&self) {
        if !self.polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }

    /// Wakes the loop whatever it is doing: for queues the loop does not look at before it sleeps.
    pub(super) fn wake_loop(&self) {
        self.task.wake();
    }

    pub(super) fn begin(&self, waker: &Waker) {
        self.task.register(waker);
        self.polling.store(true, Ordering::SeqCst);
    }

    /// Ends a poll; true when somebody became ready meanwhile and the loop must run again.
    pub(super) fn end(&self) -> bool {
        self.polling.store(false, Ordering::SeqCst);
        !self.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        let lists = self.lists();
        lists.conns.is_empty() && lists.calls.is_empty()
    }

    pub(super) fn take_conns(&self, into: &mut Vec<usize>) {
        mem::swap(&mut self.lists().conns, into);
    }

    pub(super) fn take_calls(&self, into: &mut Vec<CallToken>) {
        mem::swap(&mut self.lists().calls, into);
    }
}

/// Waker of a connection.
pub(super) struct ConnWaker {
    pub(super) key: usize,
    pub(super) ready: Arc<ReadyList>,
    /// Cleared by the loop before it polls the connection.
    pub(super) queued: AtomicBool,
}

impl Wake for ConnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push_conn(self.key);
        }
    }
}

/// Waker of a call that waits for the peer.
pub(super) struct CallWaker {
    pub(super) token: CallToken,
    pub(super) ready: Arc<ReadyList>,
    /// Cleared by the loop before it looks at the call.
    pub(super) queued: AtomicBool,
}

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push_call(self.token);
        }
    }
}
