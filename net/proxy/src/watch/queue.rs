//! What a client's stream is sent, in order, bounded in number and bytes; and its watchers that found no room.

use super::coalescer::Spec;
use api::etcdserverpb as pb;
use prost::Message;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Responses that wait for a client.
const LENGTH: usize = 512;
/// Bytes of them. One response of any size is always taken.
const BYTES: usize = 4 << 20;
/// Room for what is not events: answers to a client's own requests, of which it has one under way.
const RESERVE: usize = 8;

struct Shared {
    bytes: AtomicUsize,
    left_behind: Mutex<Vec<(i64, Spec)>>,
    /// Somebody was left behind: the queue may be empty again by now.
    behind: Notify,
}

/// The end that is filled.
pub(super) struct Queue {
    out: mpsc::Sender<(usize, pb::WatchResponse)>,
    shared: Arc<Shared>,
}

/// The end that is sent.
pub(super) struct Taken {
    responses: mpsc::Receiver<(usize, pb::WatchResponse)>,
    shared: Arc<Shared>,
}

/// What comes out of a queue.
pub(super) enum Turn {
    Response(pb::WatchResponse),
    /// Somebody was left behind.
    Behind,
    /// The stream was closed.
    Over,
}

pub(super) fn new() -> (Queue, Taken) {
    let (out, responses) = mpsc::channel(LENGTH + RESERVE);
    let shared = Arc::new(Shared { bytes: AtomicUsize::new(0), left_behind: Mutex::default(), behind: Notify::new() });
    (Queue { out, shared: shared.clone() }, Taken { responses, shared })
}

impl Queue {
    /// Takes a response. False when there is no room.
    pub(super) fn offer(&self, response: pb::WatchResponse) -> bool {
        let waiting = self.shared.bytes.load(Relaxed);
        let bytes = response.encoded_len();
        if self.out.capacity() <= RESERVE || (waiting > 0 && waiting + bytes > BYTES) {
            return false;
        }
        self.shared.bytes.fetch_add(bytes, Relaxed);
        if self.out.try_send((bytes, response)).is_err() {
            // only when the client has gone
            self.shared.bytes.fetch_sub(bytes, Relaxed);
        }
        true
    }

    /// Takes what answers a request of the client.
    pub(super) fn push(&self, response: pb::WatchResponse) {
        // the reserve holds it: a client has one request under way
        let _ = self.out.try_send((0, response));
    }

    /// A watcher found no room. It goes on when the queue is empty.
    pub(super) fn leave_behind(&self, id: i64, spec: Spec) {
        self.shared.left_behind.lock().unwrap_or_else(PoisonError::into_inner).push((id, spec));
        self.shared.behind.notify_one();
    }
}

impl Taken {
    /// What comes next. May be given up and called again.
    pub(super) async fn next(&mut self) -> Turn {
        tokio::select! {
            taken = self.responses.recv() => {
                let Some((bytes, response)) = taken else { return Turn::Over };
                self.shared.bytes.fetch_sub(bytes, Relaxed);
                Turn::Response(response)
            }
            () = self.shared.behind.notified() => Turn::Behind,
        }
    }

    /// Whether answers to requests find room.
    pub(super) fn has_room(&self) -> bool {
        self.responses.len() < LENGTH
    }

    /// Watchers that were left behind, once everything before them has been sent.
    pub(super) fn left_behind(&mut self) -> Vec<(i64, Spec)> {
        if !self.responses.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.shared.left_behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets a watcher that was left behind. Whether there was one.
    pub(super) fn forget(&mut self, id: i64) -> bool {
        let mut behind = self.shared.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        let before = behind.len();
        behind.retain(|(other, _)| *other != id);
        behind.len() < before
    }
}
