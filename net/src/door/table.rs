//! The calls of a loop that are not over: waiting for a body, for an answer, or streaming.
//!
//! A slab with generations, so that a token of a call that is over finds nothing. Must not call anybody.

use super::answer::AnswerSource;
use super::call::{CallMeta, CallToken, Open, Responder};
use super::frame::{Decoder, Framed};
use super::method::Handler;
use super::read::Place;
use super::send::Held;
use super::stream::Streaming;
use super::wake::CallWaker;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use std::sync::Arc;
use tokio::time::Instant;

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
    pub(super) handler: Handler,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) body: RecvStream,
    pub(super) decoder: Decoder,
    pub(super) message: Option<Framed>,
    /// The whole message, which waits to be inflated.
    pub(super) packed: Option<Bytes>,
    /// Bytes whose window was not given back.
    pub(super) held: usize,
    /// Its place among the messages being put together.
    pub(super) place: Option<Place>,
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
    pub(super) held: Held,
    /// All of it has lain in memory from the start.
    pub(super) whole: bool,
    /// A chunk was asked for and has not come.
    pub(super) asked: bool,
    pub(super) trailers: Option<Box<HeaderMap>>,
}

#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

impl Table {
    pub(super) fn insert(&mut self, entry: Entry) -> CallToken {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.entry = Some(entry);
            return CallToken { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).unwrap_or_else(|_| panic!("invariant: fewer than 2^32 open calls"));
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        CallToken { index, generation: 0 }
    }

    pub(super) fn get(&self, token: CallToken) -> Option<&Entry> {
        let slot = self.slots.get(token.index as usize)?;
        if slot.generation == token.generation { slot.entry.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, token: CallToken) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation == token.generation { slot.entry.as_mut() } else { None }
    }

    pub(super) fn contains(&self, token: CallToken) -> bool {
        self.get(token).is_some()
    }

    pub(super) fn remove(&mut self, token: CallToken) -> Option<Entry> {
        let slot = self.slots.get_mut(token.index as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.index);
        Some(entry)
    }

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

    /// Tokens of all calls for which `select` holds.
    pub(super) fn tokens(&self, mut select: impl FnMut(&Entry) -> bool) -> Vec<CallToken> {
        let mut out = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.entry.as_ref().is_some_and(&mut select) {
                out.push(CallToken { index: index as u32, generation: slot.generation });
            }
        }
        out
    }

    /// Earliest deadline of all calls.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.slots.iter().filter_map(|s| s.entry.as_ref()?.open.deadline).min()
    }
}
