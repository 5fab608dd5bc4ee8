//! Large answers of unary calls: read and written one chunk at a time, as far as the peer's window and socket go.
//!
//! A chunk is read only when the window has room for some of it and the door's budget for all of it, so that a peer who takes
//! nothing costs nothing. Must never hold more of an answer than one chunk, unless it came whole.

use super::answer::{AnswerSource, Ready, put_prefix};
use super::call::{CallToken, Open};
use super::compress::Outgoing;
use super::ctx::{ConnShared, LoopCtx};
use super::frame::PREFIX;
use super::head;
use super::respond::ok_trailers;
use super::status::Code;
use super::table::{Entry, Sending, State};
use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::SendResponse;
use http::HeaderMap;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Most bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// A chunk has at least so many bytes, even if the window takes fewer: reading has a price of its own.
const LEAST: usize = 64 << 10;

/// Bytes of an answer that lie in memory, counted against loop and connection while this lives.
pub(super) struct Held {
    ctx: Rc<LoopCtx>,
    conn: Option<Rc<ConnShared>>,
    bytes: usize,
    /// Since when some of them lie there.
    since: Instant,
}

impl Held {
    fn new(open: &Open) -> Self {
        Self { ctx: open.ctx.clone(), conn: open.connection().cloned(), bytes: 0, since: open.ctx.now() }
    }

    fn set(&mut self, bytes: usize) {
        if self.bytes == 0 {
            self.since = self.ctx.now();
        }
        let all = &self.ctx.answer_bytes;
        all.set(all.get() + bytes - self.bytes);
        if let Some(conn) = &self.conn {
            conn.answers.set(conn.answers.get() + bytes - self.bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Starts an answer that lies in memory as a whole.
pub(super) fn whole(
    mut open: Open,
    mut respond: SendResponse<Bytes>,
    outgoing: Outgoing,
    trailers: Option<Box<HeaderMap>>,
) {
    // so many whole answers are only ever left over by peers who take none
    if open.ctx.answer_bytes.get() > 2 * open.ctx.limits.answer_bytes {
        open.code = Code::ResourceExhausted;
        return respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    }
    let mut held = Held::new(&open);
    held.set(outgoing.message.len());
    let source = Box::new(Ready(outgoing.message.into_pieces().into_iter()));
    let form = Form { is_whole: true, is_compressed: outgoing.is_compressed };
    start(open, respond, source, held, form, trailers);
}

/// Starts an answer that is read while it is written.
pub(super) fn pulled(
    open: Open,
    respond: SendResponse<Bytes>,
    source: Box<dyn AnswerSource>,
    trailers: Option<Box<HeaderMap>>,
) {
    let held = Held::new(&open);
    open.ctx.observer().msg_sent(&open.method, source.total_len());
    // its length is promised before it is read, so it leaves as it is
    start(open, respond, source, held, Form { is_whole: false, is_compressed: false }, trailers);
}

/// What a large answer is like.
struct Form {
    /// All of it has lain in memory from the start.
    is_whole: bool,
    is_compressed: bool,
}

fn start(
    open: Open,
    mut respond: SendResponse<Bytes>,
    source: Box<dyn AnswerSource>,
    held: Held,
    form: Form,
    trailers: Option<Box<HeaderMap>>,
) {
    let Ok(tx) = respond.send_response(head::ok(open.encoding), false) else { return };
    let left = source.total_len();
    let mut prefix = BytesMut::with_capacity(PREFIX);
    put_prefix(&mut prefix, form.is_compressed, left);
    let ctx = open.ctx.clone();
    let sending = Sending {
        tx,
        source,
        left,
        chunk: prefix.freeze(),
        held,
        whole: form.is_whole,
        asked: false,
        trailers,
    };
    let token = ctx.insert(Entry { open, waker: None, state: State::Sending(Box::new(sending)) });
    pump(&ctx, token);
}

/// Moves a large answer on as far as window, socket and budget go.
pub(super) fn pump(ctx: &LoopCtx, token: CallToken) {
    let Some(waker) = ctx.waker(token) else { return };
    let conn = ctx.table.borrow().get(token).and_then(|e| e.open.connection().cloned());
    let Some(State::Sending(mut s)) = ctx.table.borrow_mut().take_state(token) else { return };
    let outcome = pump_some(ctx, token, conn.as_deref(), &mut s, &mut Context::from_waker(&waker));
    let mut table = ctx.table.borrow_mut();
    match outcome {
        Poll::Pending => {
            table.put_state(token, State::Sending(s));
        }
        Poll::Ready(done) => {
            if let Some(mut entry) = table.remove(token) {
                drop(table);
                if let Err(code) = done {
                    entry.open.code = code;
                }
            }
        }
    }
}

fn pump_some(
    ctx: &LoopCtx,
    token: CallToken,
    conn: Option<&ConnShared>,
    s: &mut Sending,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Code>> {
    loop {
        if s.chunk.is_empty() && s.left == 0 {
            let trailers = ok_trailers(s.trailers.take());
            return Poll::Ready(s.tx.send_trailers(trailers).map_err(|_| Code::Canceled));
        }
        if conn.is_some_and(|conn| conn.stalls(ctx, token)) {
            return Poll::Pending;
        }
        let wanted = if s.chunk.is_empty() { s.left.min(CHUNK) } else { s.chunk.len() };
        let room = match std::task::ready!(room(&mut s.tx, wanted, cx)) {
            Some(room) => room,
            None => return Poll::Ready(Err(Code::Canceled)),
        };
        if s.chunk.is_empty() {
            match std::task::ready!(read(ctx, token, s, room.max(LEAST).min(wanted), cx)) {
                Ok(()) => continue,
                Err(code) => return reset(s, code),
            }
        }
        let part = s.chunk.split_to(room.min(s.chunk.len()));
        if let Some(conn) = conn {
            conn.handed(part.len());
        }
        s.held.set(s.held.bytes.saturating_sub(part.len()));
        if s.tx.send_data(part, false).is_err() {
            return Poll::Ready(Err(Code::Canceled));
        }
    }
}

/// Bytes that the peer's window takes now; `None` when the peer is gone.
fn room(tx: &mut h2::SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    tx.reserve_capacity(wanted);
    match tx.capacity() {
        0 => tx.poll_capacity(cx).map(|room| room.and_then(Result::ok)),
        room => Poll::Ready(Some(room)),
    }
}

/// Reads the next chunk, of about `wanted` bytes, once the budget has room for it.
fn read(
    ctx: &LoopCtx,
    token: CallToken,
    s: &mut Sending,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Code>> {
    if !s.whole && !s.asked {
        let total = ctx.answer_bytes.get();
        if total > 0 && total + wanted > ctx.limits.answer_bytes {
            ctx.unread.borrow_mut().push_back(token);
            return Poll::Pending;
        }
        s.held.set(wanted);
        s.asked = true;
    }
    let chunk = std::task::ready!(s.source.poll_chunk(wanted, cx));
    s.asked = false;
    Poll::Ready(match chunk {
        Some(Ok(chunk)) if chunk.len() <= s.left => {
            if !s.whole {
                s.held.set(chunk.len());
            }
            s.left -= chunk.len();
            s.chunk = chunk;
            Ok(())
        }
        // the length was promised in the prefix: a half-sent message can only be reset
        Some(Ok(_)) | None => Err(Code::Internal),
        Some(Err(status)) => Err(status.code),
    })
}

fn reset(s: &mut Sending, code: Code) -> Poll<Result<(), Code>> {
    s.tx.send_reset(Reason::INTERNAL_ERROR);
    Poll::Ready(Err(code))
}

/// Goes on with answers that waited for the budget.
pub(super) fn read_on(ctx: &LoopCtx) {
    if ctx.unread.borrow().is_empty() {
        return;
    }
    let room = ctx.limits.answer_bytes.saturating_sub(ctx.answer_bytes.get());
    // with nothing in memory one may always go on
    let room = if ctx.answer_bytes.get() == 0 { room.max(CHUNK) } else { room };
    ctx.wake_waiting(&ctx.unread, room, CHUNK);
}

/// While others wait for the budget: ends answers that do not get rid of what was read of them.
pub(super) fn sweep(ctx: &LoopCtx, now: Instant) {
    if ctx.unread.borrow().is_empty() {
        return;
    }
    let limit = ctx.limits.answer_stall;
    let stuck = |e: &Entry| matches!(&e.state, State::Sending(s) if s.held.bytes > 0 && !s.asked && now.saturating_duration_since(s.held.since) > limit);
    let due = ctx.table.borrow().tokens(stuck);
    for token in due {
        let entry = ctx.table.borrow_mut().remove(token);
        if let Some(Entry { mut open, state: State::Sending(mut s), .. }) = entry {
            tracing::info!(method = open.method.path, "client takes too little of a large answer: ending it");
            open.code = Code::ResourceExhausted;
            s.tx.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
    }
}
