//! The message that answers a call from inside the process, taken chunk by chunk. What of it lies in memory counts like an answer that
//! is written to a socket: a chunk counts until the next one is asked for.

use super::answer::{AnswerSource, Message, Ready};
use super::open::Open;
use super::reservation::AnswerReservation;
use super::status::{Code, Status};
use bytes::Bytes;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Most bytes that are asked of a source at a time.
const CHUNK: usize = 64 << 10;

/// A message of a service.
pub struct LocalMessage {
    source: Box<dyn AnswerSource>,
    reservation: AnswerReservation,
    /// All of it has lain in memory from the start.
    is_whole: bool,
    /// Bytes of the chunk that was given last.
    given: usize,
    is_pending: bool,
    total: usize,
    /// The call is not over while its answer is taken.
    open: Open,
}

impl LocalMessage {
    /// One that lies in memory.
    pub(super) fn whole(mut open: Open, message: Message) -> Result<Self, Status> {
        let state = open.state.clone();
        if state.answer_bytes.get() > 2 * state.limits.answer_bytes {
            open.code = Code::ResourceExhausted;
            return Err(state.limits.busy.clone());
        }
        state.observer().msg_sent(&open.method, message.len());
        let mut reservation = AnswerReservation::new(&open);
        reservation.set(message.len());
        let source = Box::new(Ready(message.into_pieces().into_iter()));
        Ok(Self::new(source, reservation, true, open))
    }

    /// One that is read while it is taken.
    pub(super) fn pulled(open: Open, source: Box<dyn AnswerSource>) -> Self {
        open.state.observer().msg_sent(&open.method, source.total_len());
        let reservation = AnswerReservation::new(&open);
        Self::new(source, reservation, false, open)
    }

    fn new(source: Box<dyn AnswerSource>, reservation: AnswerReservation, is_whole: bool, open: Open) -> Self {
        let total = source.total_len();
        Self { source, reservation, is_whole, given: 0, is_pending: false, total, open }
    }

    /// Bytes of the whole message.
    pub fn total_len(&self) -> usize {
        self.total
    }

    /// The next chunk; `None` when all was given.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Status>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let given = std::mem::take(&mut self.given);
        self.reservation.set(self.reservation.bytes.saturating_sub(given));
        if !self.is_whole && !self.is_pending {
            let state = &self.open.state;
            let total = state.answer_bytes.get();
            if total > 0 && total + CHUNK > state.limits.answer_bytes {
                state.unread_inside.borrow_mut().push_back(cx.waker().clone());
                return Poll::Pending;
            }
            self.reservation.set(CHUNK);
            self.is_pending = true;
        }
        let chunk = std::task::ready!(self.source.poll_chunk(CHUNK, cx));
        self.is_pending = false;
        if let Some(Ok(chunk)) = &chunk {
            if !self.is_whole {
                self.reservation.set(chunk.len());
            }
            self.given = chunk.len();
        } else {
            self.reservation.set(0);
        }
        match &chunk {
            Some(Err(status)) => self.open.code = status.code,
            None => self.open.code = Code::Ok,
            Some(Ok(_)) => {}
        }
        Poll::Ready(chunk)
    }
}
