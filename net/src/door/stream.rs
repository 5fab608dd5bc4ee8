//! Streams: messages both ways under credit, and the events they cause.
//!
//! Must never hold more of a slow reader's messages than its credit, and must not borrow the call table while a service runs.

use super::answer::Message;
use super::calls::{Entry, Inbound, LoopCtx, Rx, State, StreamEvents, StreamHandle, Streaming, Tx};
use super::conn_shared::ConnShared;
use super::frame::Decoder;
use super::head;
use super::open::Open;
use super::reservation::AssemblyPermit;
use super::status::{Code, Status};
use super::token::CallToken;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Why a message was not taken.
#[derive(Debug)]
pub enum SendError {
    /// No credit; the message is given back, `on_ready` will be called.
    Full(Message),
    /// The stream is over.
    Closed,
}

impl StreamHandle {
    /// Name of the stream on its loop, for messages of other threads; see [`LoopHandle::stream`](super::LoopHandle::stream).
    pub fn token(&self) -> CallToken {
        self.token
    }

    /// Sends a message; it leaves at the end of the round. Returns the credit left in bytes; when that is zero, `on_ready` will follow.
    /// A stream with nothing outstanding always takes one message, however large.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the message back, [`SendError::Closed`] means the stream is over.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<usize, SendError> {
        let message = message.into();
        let ctx = &*self.ctx;
        let Some(waker) = ctx.waker(self.token) else { return Err(SendError::Closed) };
        let mut table = ctx.table.borrow_mut();
        let Some(Entry { open, state: State::Streaming(s), .. }) = table.get_mut(self.token) else {
            return Err(SendError::Closed);
        };
        let stalls = open.connection().is_some_and(|conn| conn.stalls(ctx.socket_share(), self.token));
        if stalls || (!s.has_room(ctx) && !s.is_covered(ctx)) {
            s.wants_ready = true;
            s.watch_capacity(&mut Context::from_waker(&waker));
            return Err(SendError::Full(message));
        }
        let len = message.len();
        if s.write(ctx, message).is_err() {
            return Err(SendError::Closed);
        }
        ctx.observer().msg_sent(&open.method, len);
        if let Some(conn) = open.connection() {
            conn.handed(len);
        }
        s.owe(ctx, s.outstanding + len + super::frame::PREFIX);
        let limit = ctx.stream_share();
        if s.outstanding > limit / 4 && !s.is_covered(ctx) {
            s.watch_capacity(&mut Context::from_waker(&waker));
            s.wants_ready |= !s.has_room(ctx);
        }
        Ok(if s.has_room(ctx) { limit.saturating_sub(s.outstanding).max(1) } else { 0 })
    }

    /// True when the peer has taken everything sent, or all but little of it; if not, `on_ready` will follow.
    pub fn is_drained(&self) -> bool {
        let ctx = &*self.ctx;
        let Some(waker) = ctx.waker(self.token) else { return true };
        let mut table = ctx.table.borrow_mut();
        let Some(Entry { state: State::Streaming(s), .. }) = table.get_mut(self.token) else { return true };
        if s.outstanding <= ctx.stream_share() / 4 || s.is_covered(ctx) {
            return true;
        }
        s.wants_ready = true;
        s.watch_capacity(&mut Context::from_waker(&waker));
        false
    }

    /// Bytes `try_send` would take now; zero when the stream is over.
    pub fn credit(&self) -> usize {
        let ctx = &*self.ctx;
        match ctx.table.borrow().get(self.token).map(|e| &e.state) {
            Some(State::Streaming(s)) if s.has_room(ctx) => ctx.stream_share().saturating_sub(s.outstanding).max(1),
            _ => 0,
        }
    }

    /// True until `finish`, cancellation or the end of the connection.
    pub fn is_open(&self) -> bool {
        self.ctx.table.borrow().contains(self.token)
    }

    /// Ends the stream after everything sent before. No event follows.
    pub fn finish(&self, status: Status) {
        self.finish_with(status, None);
    }

    /// As [`Self::finish`], with trailing metadata.
    pub fn finish_with(&self, status: Status, trailers: Option<HeaderMap>) {
        let entry = self.ctx.table.borrow_mut().remove(self.token);
        if let Some(entry) = entry {
            drop(end(&self.ctx, entry, &status, trailers));
        }
    }

    /// Reads on after [`Inbound::Pause`].
    pub fn resume(&self) {
        let Some(waker) = self.ctx.waker(self.token) else { return };
        if let Some(Entry { state: State::Streaming(s), .. }) = self.ctx.table.borrow_mut().get_mut(self.token) {
            s.paused = false;
            waker.wake();
        }
    }
}

/// Writes the end of a stream and gives its event object back.
pub(super) fn end(
    ctx: &LoopCtx,
    mut entry: Entry,
    status: &Status,
    trailers: Option<HeaderMap>,
) -> Option<Box<dyn StreamEvents>> {
    let State::Streaming(mut s) = entry.state else { return None };
    entry.open.code = status.code;
    s.owe(ctx, 0);
    // an error here means that the peer reset the stream: nobody is left to tell
    match &mut s.tx {
        Tx::Unsent(respond) => {
            let _ = respond.send_response(head::trailers_only(StatusCode::OK, status, trailers.map(Box::new)), true);
        }
        Tx::Open(tx) => {
            let mut map = trailers.unwrap_or_default();
            status.write(&mut map);
            let _ = tx.send_trailers(map);
        }
        Tx::Local(pipe) => pipe.borrow_mut().finish(status.clone()),
        Tx::Dead => {}
    }
    s.events.take()
}

impl Streaming {
    fn has_room(&self, ctx: &LoopCtx) -> bool {
        self.outstanding == 0
            || (self.outstanding < ctx.stream_share() && ctx.outstanding.get() < ctx.limits.send_bytes)
    }

    /// Notes that so many bytes are outstanding now, and in the loop's account.
    fn owe(&mut self, ctx: &LoopCtx, bytes: usize) {
        ctx.outstanding.set(ctx.outstanding.get() + bytes - self.outstanding);
        let slow = ctx.slow_streams.get() + usize::from(bytes > 0) - usize::from(self.outstanding > 0);
        ctx.slow_streams.set(slow);
        self.outstanding = bytes;
    }

    fn write(&mut self, ctx: &LoopCtx, message: Message) -> Result<(), h2::Error> {
        if let Tx::Unsent(_) = self.tx {
            let Tx::Unsent(mut respond) = std::mem::replace(&mut self.tx, Tx::Dead) else { return Ok(()) };
            self.tx = Tx::Open(respond.send_response(head::ok(self.encoding), false)?);
        }
        let tx = match &mut self.tx {
            Tx::Open(tx) => tx,
            Tx::Local(pipe) => {
                pipe.borrow_mut().push(message);
                return Ok(());
            }
            Tx::Unsent(_) | Tx::Dead => return Err(h2::Reason::CANCEL.into()),
        };
        let mut result = Ok(());
        ctx.encode(self.encoding, message).into_frames(|frame| {
            if result.is_ok() {
                result = tx.send_data(frame, false);
            }
        });
        result
    }

    /// True when everything sent is covered by the peer's window and the socket takes it: then nothing is outstanding.
    fn is_covered(&mut self, ctx: &LoopCtx) -> bool {
        match &mut self.tx {
            Tx::Open(tx) => {
                // one byte above what is buffered is assigned only when all of that is covered
                tx.reserve_capacity(1);
                if tx.capacity() == 0 {
                    return false;
                }
                // an idle stream must not keep a share of the connection's window
                tx.reserve_capacity(0);
            }
            Tx::Local(pipe) if !pipe.borrow().out.is_empty() || pipe.borrow().is_held => return false,
            Tx::Local(_) | Tx::Unsent(_) | Tx::Dead => {}
        }
        self.owe(ctx, 0);
        true
    }

    fn watch_capacity(&mut self, cx: &mut Context<'_>) {
        if let Tx::Open(tx) = &mut self.tx
            && tx.poll_capacity(cx).is_ready()
        {
            // capacity came between the two looks: look again next round
            cx.waker().wake_by_ref();
        }
    }

    fn is_reset(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.tx {
            Tx::Unsent(respond) => respond.poll_reset(cx).is_ready(),
            Tx::Open(tx) => tx.poll_reset(cx).is_ready(),
            Tx::Local(_) => false,
            Tx::Dead => true,
        }
    }

    /// What happened next, if anything; registers wakers for what did not.
    fn next(
        &mut self,
        ctx: &Rc<LoopCtx>,
        token: CallToken,
        conn: Option<&ConnShared>,
        cx: &mut Context<'_>,
    ) -> Happened {
        if self.is_reset(cx) {
            return Happened::Cancel;
        }
        if self.wants_ready || self.outstanding > ctx.stream_share() / 4 {
            if self.is_covered(ctx) {
                let stalls = self.wants_ready && conn.is_some_and(|conn| conn.stalls(ctx.socket_share(), token));
                if !stalls && std::mem::take(&mut self.wants_ready) {
                    return Happened::Ready;
                }
            } else {
                self.watch_capacity(cx);
            }
        }
        while !self.paused {
            if let Some(happened) = self.assemble(ctx, token).or_else(|| self.read(cx)) {
                return happened;
            }
        }
        Happened::Nothing
    }

    /// What the bytes that have come make up; `None` when more of them are needed.
    fn assemble(&mut self, ctx: &Rc<LoopCtx>, token: CallToken) -> Option<Happened> {
        if let Some(inflated) = self.inflated.take() {
            return Some(inflated.map_or_else(Happened::Fail, Happened::Message));
        }
        if self.compressed.is_some() {
            return Some(Happened::Nothing);
        }
        match self.decoder.next() {
            Ok(Some(message)) => {
                self.permit = None;
                if message.is_compressed {
                    self.compressed = Some(message.bytes);
                    ctx.to_inflate.borrow_mut().push_back(token);
                    return Some(Happened::Nothing);
                }
                return Some(Happened::Message(message.bytes));
            }
            Ok(None) => {}
            Err(status) => return Some(Happened::Fail(status)),
        }
        if self.permit.is_none() && self.decoder.declared() > ctx.limits.free_assembly {
            self.permit = AssemblyPermit::take(&ctx.state, self.decoder.declared());
            if self.permit.is_none() {
                return Some(Happened::Fail(ctx.limits.busy.clone()));
            }
        }
        None
    }

    /// Reads on; `None` when bytes have come.
    fn read(&mut self, cx: &mut Context<'_>) -> Option<Happened> {
        let rx = match &mut self.rx {
            Some(Rx::H2(rx)) => rx,
            Some(Rx::Local(pipe)) => {
                let message = pipe.borrow_mut().take_inward();
                if let Some(message) = message {
                    return Some(Happened::Message(message));
                }
                if !pipe.borrow().ended {
                    return Some(Happened::Nothing);
                }
                self.rx = None;
                return Some(Happened::HalfClose);
            }
            None => return Some(Happened::Nothing),
        };
        match rx.poll_data(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                // the peer may send as much again: what we hold is one message at most, and a large one has its permit
                let _ = rx.flow_control().release_capacity(chunk.len());
                self.decoder.push(chunk);
                None
            }
            Poll::Ready(Some(Err(_))) => Some(Happened::Cancel),
            Poll::Ready(None) => {
                self.rx = None;
                if self.decoder.is_partial() {
                    return Some(Happened::Fail(Status::new(Code::Internal, "unexpected EOF")));
                }
                Some(Happened::HalfClose)
            }
            Poll::Pending => Some(Happened::Nothing),
        }
    }
}

enum Happened {
    Message(Bytes),
    HalfClose,
    Ready,
    Cancel,
    Fail(Status),
    Nothing,
}

/// Delivers everything that happened on a stream to its service.
pub(super) fn deliver(ctx: &Rc<LoopCtx>, token: CallToken) {
    let Some(waker) = ctx.waker(token) else { return };
    let mut cx = Context::from_waker(&waker);
    let handle = StreamHandle { ctx: ctx.clone(), token };
    loop {
        let (happened, mut events) = {
            let mut table = ctx.table.borrow_mut();
            let Some(Entry { open, state: State::Streaming(s), .. }) = table.get_mut(token) else { return };
            // no object: its `open` is still running; what happened is delivered when that returns
            let Some(events) = s.events.take() else { return };
            let happened = s.next(ctx, token, open.connection().map(|conn| &**conn), &mut cx);
            if let Happened::Message(m) = &happened {
                ctx.observer().msg_received(&open.method, m.len());
            }
            (happened, events)
        };
        match happened {
            Happened::Nothing => return give_back(ctx, token, events),
            Happened::Message(message) => {
                if events.on_message(&handle, message) == Inbound::Pause
                    && let Some(Entry { state: State::Streaming(s), .. }) = ctx.table.borrow_mut().get_mut(token)
                {
                    s.paused = true;
                }
            }
            Happened::HalfClose => events.on_half_close(&handle),
            Happened::Ready => events.on_ready(&handle),
            Happened::Cancel => {
                stop(ctx, token, None);
                return events.on_cancel();
            }
            Happened::Fail(status) => {
                stop(ctx, token, Some(&status));
                return events.on_cancel();
            }
        }
        give_back(ctx, token, events);
    }
}

/// The turn of a stream whose message waited to be inflated.
pub(super) fn inflate(ctx: &Rc<LoopCtx>, token: CallToken) {
    let compressed = match ctx.table.borrow_mut().get_mut(token).map(|e| &mut e.state) {
        Some(State::Streaming(s)) => s.compressed.take(),
        _ => None,
    };
    let Some(compressed) = compressed else { return };
    let inflated = ctx.inflate(&compressed);
    if let Some(Entry { state: State::Streaming(s), .. }) = ctx.table.borrow_mut().get_mut(token) {
        s.inflated = Some(inflated);
    }
    deliver(ctx, token);
}

/// Puts the event object back, or drops it when the stream is over.
fn give_back(ctx: &LoopCtx, token: CallToken, events: Box<dyn StreamEvents>) {
    let mut spare = Some(events);
    if let Some(Entry { state: State::Streaming(s), .. }) = ctx.table.borrow_mut().get_mut(token) {
        s.events = spare.take();
    }
}

/// Puts a new stream into the table.
pub(super) fn insert(ctx: &Rc<LoopCtx>, open: Open, tx: Tx, rx: Option<Rx>, decoder: Decoder) -> StreamHandle {
    let streaming = Streaming {
        tx,
        rx,
        decoder,
        compressed: None,
        inflated: None,
        encoding: open.encoding,
        events: None,
        paused: false,
        outstanding: 0,
        permit: None,
        wants_ready: false,
    };
    let token = ctx.insert(Entry { open, waker: None, state: State::Streaming(Box::new(streaming)) });
    StreamHandle { ctx: ctx.clone(), token }
}

/// Gives a new stream its event object and delivers what came meanwhile.
pub(super) fn start(ctx: &Rc<LoopCtx>, token: CallToken, events: Box<dyn StreamEvents>) {
    give_back(ctx, token, events);
    deliver(ctx, token);
}

/// Removes a stream, with a last word to the peer or none.
fn stop(ctx: &LoopCtx, token: CallToken, status: Option<&Status>) {
    let entry = ctx.table.borrow_mut().remove(token);
    let Some(mut entry) = entry else { return };
    match status {
        Some(status) => drop(end(ctx, entry, status, None)),
        None => {
            entry.open.code = Code::Canceled;
            if let State::Streaming(s) = &mut entry.state {
                s.owe(ctx, 0);
            }
        }
    }
}

/// Ends a stream from our side and tells its service: deadline or shutdown.
pub(super) fn abort(ctx: &LoopCtx, token: CallToken, status: &Status) {
    let entry = ctx.table.borrow_mut().remove(token);
    if let Some(entry) = entry
        && let Some(mut events) = end(ctx, entry, status, None)
    {
        events.on_cancel();
        // this may be outside a round, and what the service says now must not wait for the next busy one
        ctx.called.set(true);
    }
}
