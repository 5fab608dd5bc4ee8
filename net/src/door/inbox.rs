//! How other threads speak to a loop: lists of typed messages, one wake for a list, never one for a message.

use super::wake::ReadyList;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sends lists to one loop. Cheap to clone, `Send` and `Sync`, never blocks.
///
/// The queue itself is not bounded: what arrives are answers to requests the door has admitted, and those are.
pub struct LoopSender<M> {
    tx: Sender<Vec<M>>,
    notified: Arc<AtomicBool>,
    ready: Arc<ReadyList>,
}

impl<M> Clone for LoopSender<M> {
    fn clone(&self) -> Self {
        Self { tx: self.tx.clone(), notified: self.notified.clone(), ready: self.ready.clone() }
    }
}

impl<M> LoopSender<M> {
    /// Hands a list to the loop; wakes it unless it has been woken and has not looked yet. False when the loop has ended.
    pub fn send(&self, list: Vec<M>) -> bool {
        if list.is_empty() {
            return true;
        }
        if self.tx.send(list).is_err() {
            return false;
        }
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.ready.wake_loop();
        }
        true
    }
}

/// The loop's end.
pub(super) struct Inbox<M> {
    rx: Receiver<Vec<M>>,
    notified: Arc<AtomicBool>,
}

/// A queue into the loop of that ready list.
pub(super) fn inbox<M>(ready: &Arc<ReadyList>) -> (LoopSender<M>, Inbox<M>) {
    let (tx, rx) = unbounded();
    let notified = Arc::new(AtomicBool::new(false));
    (LoopSender { tx, notified: notified.clone(), ready: ready.clone() }, Inbox { rx, notified })
}

impl<M> Inbox<M> {
    /// Must be called before a series of [`Self::next`], so that a list sent after the last of them wakes again.
    pub(super) fn begin(&self) {
        // a read-modify-write: it sees the last sender's mark, and with it what that sender has queued
        self.notified.swap(false, Ordering::AcqRel);
    }

    pub(super) fn next(&self) -> Option<Vec<M>> {
        self.rx.try_recv().ok()
    }
}
