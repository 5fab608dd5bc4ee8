//! The calls of a loop that are not over, and what is kept of each: waiting for a body, for an answer, or streaming.
//!
//! Data and look-ups alone. Must not call a service, and nobody may while the table is borrowed.

use super::answer::AnswerSource;
use super::compress::Encoding;
use super::conn_shared::ConnShared;
use super::frame::{Decoder, Framed};
use super::limits::DoorLimits;
use super::local_slot::LocalSlot;
use super::meta::CallMeta;
use super::open::Open;
use super::pipe::Pipe;
use super::reservation::{AnswerReservation, AssemblyPermit};
use super::slab::Slab;
use super::state::LoopState;
use super::status::Status;
use super::token::CallToken;
use super::wake::{CallWaker, ReadyList};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;
use tokio::time::Instant;

/// A loop: what it counts, and its calls.
pub(super) struct LoopCtx {
    pub(super) state: Rc<LoopState>,
    pub(super) table: RefCell<Slab<Entry>>,
}

impl Deref for LoopCtx {
    type Target = LoopState;

    fn deref(&self) -> &LoopState {
        &self.state
    }
}

impl LoopCtx {
    pub(super) fn new(index: usize, limits: DoorLimits, ready: Arc<ReadyList>) -> Self {
        Self { state: Rc::new(LoopState::new(index, limits, ready)), table: RefCell::default() }
    }

    /// Wakes calls that wait for a budget: as many as the bytes that are left of it serve, when each takes `each`.
    pub(super) fn wake_waiting(&self, queue: &RefCell<VecDeque<CallToken>>, mut left: usize, each: usize) {
        while left >= each {
            let Some(token) = queue.borrow_mut().pop_front() else { return };
            if let Some(waker) = self.waker(token) {
                waker.wake();
                left -= each;
            }
        }
    }

    /// Puts a call into the table.
    pub(super) fn insert(&self, entry: Entry) -> CallToken {
        if let Some(deadline) = entry.open.deadline {
            let first = self.next_deadline.get().map_or(deadline, |d| d.min(deadline));
            self.next_deadline.set(Some(first));
        }
        self.table.borrow_mut().insert(entry)
    }

    /// Waker of a call, made when first needed.
    pub(super) fn waker(&self, token: CallToken) -> Option<Waker> {
        let mut table = self.table.borrow_mut();
        let entry = table.get_mut(token)?;
        let waker = entry.waker.get_or_insert_with(|| {
            Arc::new(CallWaker { token, ready: self.ready.clone(), queued: AtomicBool::new(false) })
        });
        Some(Waker::from(waker.clone()))
    }

    /// The socket of a connection took everything: its calls may go on.
    pub(super) fn flushed(&self, conn: &ConnShared) {
        if conn.unflushed.replace(0) == 0 {
            return;
        }
        for token in conn.stalled.borrow_mut().drain(..) {
            if let Some(waker) = self.waker(token) {
                waker.wake();
            }
        }
    }

    /// Earliest deadline of all calls.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.table.borrow().iter().filter_map(|entry| entry.open.deadline).min()
    }
}

/// A call that is not over.
pub(super) struct Entry {
    pub(super) open: Open,
    pub(super) waker: Option<Arc<CallWaker>>,
    pub(super) state: State,
}

pub(super) enum State {
    /// Its request message is not whole yet.
    Reading(Box<Reading>),
    /// A service has it.
    Waiting { responder: Responder, on_cancel: Option<Box<dyn FnOnce()>> },
    /// A large answer is on its way.
    Sending(Box<Sending>),
    /// A stream.
    Streaming(Box<Streaming>),
    /// Taken out for a moment by the loop.
    Taken,
}

/// A request being read.
pub(super) struct Reading {
    pub(super) meta: CallMeta,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) body: RecvStream,
    pub(super) decoder: Decoder,
    pub(super) message: Option<Framed>,
    /// The whole message, which waits to be inflated.
    pub(super) compressed: Option<Bytes>,
    /// Bytes whose window was not given back.
    pub(super) held: usize,
    /// The permit to put it together, when it is a large one.
    pub(super) permit: Option<AssemblyPermit>,
    /// Since when it waits for one.
    pub(super) waits: Option<Instant>,
    pub(super) last_progress: Instant,
}

/// An answer being written against flow control.
pub(super) struct Sending {
    pub(super) tx: SendStream<Bytes>,
    pub(super) source: Box<dyn AnswerSource>,
    /// Bytes of the message not yet pulled.
    pub(super) left: usize,
    pub(super) chunk: Bytes,
    /// What of the answer lies in memory.
    pub(super) reservation: AnswerReservation,
    /// All of it has lain in memory from the start.
    pub(super) is_whole: bool,
    /// A chunk was asked for and has not come.
    pub(super) is_pending: bool,
    pub(super) trailers: Option<Box<HeaderMap>>,
}

/// Where an answer goes.
pub(super) enum Responder {
    H2(SendResponse<Bytes>),
    Local(Rc<LocalSlot>),
}

/// State of a stream in the table.
pub(super) struct Streaming {
    pub(super) tx: Tx,
    /// `None` once the peer has ended its side.
    pub(super) rx: Option<Rx>,
    pub(super) decoder: Decoder,
    /// A compressed message: nothing is read until it was inflated.
    pub(super) compressed: Option<Bytes>,
    /// What came of that.
    pub(super) inflated: Option<Result<Bytes, Status>>,
    pub(super) encoding: Encoding,
    /// Taken out while it is being called.
    pub(super) events: Option<Box<dyn StreamEvents>>,
    pub(super) paused: bool,
    /// Bytes handed to h2 and not known to be covered by the peer's window.
    pub(super) outstanding: usize,
    /// The permit to put a message together, when it is a large one.
    pub(super) permit: Option<AssemblyPermit>,
    /// `on_ready` is owed.
    pub(super) wants_ready: bool,
}

/// The sending side; headers go out with the first message, as grpc-go does.
pub(super) enum Tx {
    Unsent(SendResponse<Bytes>),
    Open(SendStream<Bytes>),
    /// The peer is inside the process.
    Local(Rc<RefCell<Pipe>>),
    /// The response could not be started: the stream is being torn down.
    Dead,
}

/// The receiving side.
pub(super) enum Rx {
    H2(RecvStream),
    Local(Rc<RefCell<Pipe>>),
}

/// Whether a stream wants its next message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Go on reading.
    Continue,
    /// Read nothing more until [`StreamHandle::resume`]; the peer's window fills up and holds it back.
    Pause,
}

/// What happens on one stream. Called on the loop, never while another call into the same object runs.
#[allow(unused_variables)]
pub trait StreamEvents {
    /// A message came in.
    fn on_message(&mut self, stream: &StreamHandle, message: Bytes) -> Inbound {
        Inbound::Continue
    }
    /// The peer will send nothing more.
    fn on_half_close(&mut self, stream: &StreamHandle) {}
    /// Credit is back after `try_send` refused a message or left none.
    fn on_ready(&mut self, stream: &StreamHandle) {}
    /// The stream ended without our `finish`: reset, deadline, connection gone or shutdown. The handle is dead.
    fn on_cancel(&mut self) {}
}

/// A service's handle of a stream. Cheap to clone; not `Send`.
#[derive(Clone)]
pub struct StreamHandle {
    pub(super) ctx: Rc<LoopCtx>,
    pub(super) token: CallToken,
}

impl Slab<Entry> {
    /// Takes out a call that waits for its answer; leaves everything else alone.
    pub(super) fn remove_waiting(&mut self, token: CallToken) -> Option<(Open, Responder)> {
        if !matches!(self.get(token)?.state, State::Waiting { .. }) {
            return None;
        }
        let entry = self.remove(token)?;
        match entry.state {
            State::Waiting { responder, .. } => Some((entry.open, responder)),
            _ => None,
        }
    }

    /// Takes the state of an entry out for a moment.
    pub(super) fn take_state(&mut self, token: CallToken) -> Option<State> {
        Some(std::mem::replace(&mut self.get_mut(token)?.state, State::Taken))
    }

    /// Puts a state back; gives it back when the call ended meanwhile.
    pub(super) fn put_state(&mut self, token: CallToken, state: State) -> Option<State> {
        match self.get_mut(token) {
            Some(entry) => {
                entry.state = state;
                None
            }
            None => Some(state),
        }
    }
}
