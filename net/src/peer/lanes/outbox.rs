//! What the threads of a member hold of a peer: a place to offer messages to.
//!
//! Must never keep anything for a connection that does not exist: without one, every offer comes straight back.

use super::queue::{QueueReceiver, QueueSender, Weigh, queue};
use crate::peer::codec::lane::Lane;
use crate::peer::codec::talk::Call;
use crate::peer::config::PeerLimits;
use crate::peer::metrics::PeerCounters;
use crate::peer::port::{CallDone, CallError};
use arc_swap::ArcSwapOption;
use raft::{Body, Message, NodeId};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Bytes that a message takes beside its payloads.
const BASE: usize = 96;
/// Bytes that an entry or a proposal takes beside its payload.
const PER_ENTRY: usize = 64;

impl Weigh for Message {
    fn weight(&self) -> usize {
        BASE + match &self.body {
            Body::Append(append) => append.entries.iter().map(|entry| PER_ENTRY + entry.data.len()).sum(),
            Body::Propose(list) => list.iter().map(|proposal| PER_ENTRY + proposal.data.len()).sum(),
            Body::Snapshot(snapshot) => snapshot.data.len(),
            _ => 0,
        }
    }
}

/// A call, and who waits for its answer.
pub struct Asked {
    /// The call. Its patience is set when it leaves.
    pub call: Call,
    /// End of the caller's patience.
    pub expires: Instant,
    /// Takes the outcome.
    pub done: CallDone,
}

impl Asked {
    /// Tells the caller.
    pub fn fail(self, why: CallError) {
        (self.done)(Err(why));
    }
}

impl Weigh for Asked {
    fn weight(&self) -> usize {
        BASE + self.call.body.len()
    }
}

/// The receiving ends of a connection's lanes.
pub struct Inlets {
    /// Of [`Lane::Control`].
    pub control: QueueReceiver<Message>,
    /// Of [`Lane::Append`].
    pub append: QueueReceiver<Message>,
    /// Of [`Lane::Calls`].
    pub calls: QueueReceiver<Asked>,
}

/// The queues towards one peer.
pub struct Outbox {
    /// Who it is.
    pub peer: NodeId,
    /// Its counters.
    pub counters: Arc<PeerCounters>,
    control: ArcSwapOption<QueueSender<Message>>,
    append: ArcSwapOption<QueueSender<Message>>,
    calls: ArcSwapOption<QueueSender<Asked>>,
    active_since: Mutex<Option<Instant>>,
}

impl Outbox {
    /// Without a connection yet.
    pub fn new(peer: NodeId, counters: Arc<PeerCounters>) -> Self {
        Self {
            peer,
            counters,
            control: ArcSwapOption::empty(),
            append: ArcSwapOption::empty(),
            calls: ArcSwapOption::empty(),
            active_since: Mutex::new(None),
        }
    }

    /// Queues a message for the connection there is.
    ///
    /// # Errors
    /// The message, which was counted as dropped.
    pub fn offer(&self, message: Message) -> Result<(), Message> {
        let (slot, dropped) = match Lane::of(&message.body) {
            Lane::Append => (&self.append, &self.counters.dropped_append),
            _ => (&self.control, &self.counters.dropped_control),
        };
        let offered = match slot.load().as_ref() {
            Some(sender) => sender.offer(message),
            None => Err(message),
        };
        offered.inspect_err(|_| {
            dropped.fetch_add(1, Relaxed);
            self.counters.sent_failures.fetch_add(1, Relaxed);
        })
    }

    /// Queues a call, or tells its caller that it did not leave.
    pub fn ask(&self, asked: Asked) {
        let offered = match self.calls.load().as_ref() {
            Some(sender) => sender.offer(asked),
            None => Err(asked),
        };
        if let Err(asked) = offered {
            self.counters.dropped_calls.fetch_add(1, Relaxed);
            asked.fail(CallError::Unreachable);
        }
    }

    /// Since when there is a connection.
    pub fn active_since(&self) -> Option<Instant> {
        *self.active_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is there: offers go to the returned ends from now on.
    pub fn connect(&self, limits: &PeerLimits) -> Inlets {
        let (control, control_end) = queue(limits.control_queue);
        let (append, append_end) = queue(limits.append_queue);
        let (calls, calls_end) = queue(limits.call_queue);
        self.control.store(Some(Arc::new(control)));
        self.append.store(Some(Arc::new(append)));
        self.calls.store(Some(Arc::new(calls)));
        *self.active_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.counters.active.store(true, Relaxed);
        Inlets { control: control_end, append: append_end, calls: calls_end }
    }

    /// The connection is gone: what nobody took comes back, and callers whose question never left are told.
    pub async fn disconnect(&self, inlets: Inlets) -> Vec<Message> {
        self.control.store(None);
        self.append.store(None);
        self.calls.store(None);
        *self.active_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.counters.active.store(false, Relaxed);
        self.counters.disconnected.fetch_add(1, Relaxed);
        let Inlets { control, append, calls } = inlets;
        let mut left = control.close().await;
        self.counters.dropped_control.fetch_add(left.len() as u64, Relaxed);
        let appends = append.close().await;
        self.counters.dropped_append.fetch_add(appends.len() as u64, Relaxed);
        left.extend(appends);
        self.counters.sent_failures.fetch_add(left.len() as u64, Relaxed);
        for asked in calls.close().await {
            self.counters.dropped_calls.fetch_add(1, Relaxed);
            asked.fail(CallError::Unreachable);
        }
        left
    }
}
