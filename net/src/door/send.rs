//! Large answers of unary calls: read and written one chunk at a time, as far as the peer's window and socket go.
//!
//! A chunk is read only when the window has room for some of it and the door's budget for all of it, so that a peer who takes
//! nothing costs nothing. Must never hold more of an answer than one chunk, unless it came whole.

use super::answer::{AnswerSource, Ready, put_prefix};
use super::calls::{Entry, LoopCtx, Sending, State};
use super::compress::Outgoing;
use super::conn_shared::ConnShared;
use super::frame::PREFIX;
use super::head;
use super::open::Open;
use super::reservation::AnswerReservation;
use super::status::{Code, Status};
use super::token::CallToken;
use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::SendResponse;
use http::HeaderMap;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Most bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// A chunk has at least so many bytes, even if the window takes fewer: reading has a price of its own.
const LEAST: usize = 64 << 10;

/// Starts an answer that lies in memory as a whole.
pub(super) fn whole(
    ctx: &LoopCtx,
    mut open: Open,
    mut respond: SendResponse<Bytes>,
    outgoing: Outgoing,
    trailers: Option<Box<HeaderMap>>,
) {
    // so many whole answers are only ever left over by peers who take none
    if ctx.answer_bytes.get() > 2 * ctx.limits.answer_bytes {
        open.code = Code::ResourceExhausted;
        return respond.send_reset(Reason::ENHANCE_YOUR_CALM);
    }
    let mut reservation = AnswerReservation::new(&open);
    reservation.set(outgoing.message.len());
    let source = Box::new(Ready(outgoing.message.into_pieces().into_iter()));
    let form = Form { is_whole: true, is_compressed: outgoing.is_compressed };
    start(ctx, open, respond, source, reservation, form, trailers);
}

/// Starts an answer that is read while it is written.
pub(super) fn pulled(
    ctx: &LoopCtx,
    open: Open,
    respond: SendResponse<Bytes>,
    source: Box<dyn AnswerSource>,
    trailers: Option<Box<HeaderMap>>,
) {
    let reservation = AnswerReservation::new(&open);
    ctx.observer().msg_sent(&open.method, source.total_len());
    // its length is promised before it is read, so it leaves as it is
    start(ctx, open, respond, source, reservation, Form { is_whole: false, is_compressed: false }, trailers);
}

/// What a large answer is like.
struct Form {
    /// All of it has lain in memory from the start.
    is_whole: bool,
    is_compressed: bool,
}

fn start(
    ctx: &LoopCtx,
    open: Open,
    mut respond: SendResponse<Bytes>,
    source: Box<dyn AnswerSource>,
    reservation: AnswerReservation,
    form: Form,
    trailers: Option<Box<HeaderMap>>,
) {
    let Ok(tx) = respond.send_response(head::ok(open.encoding), false) else { return };
    let left = source.total_len();
    let mut prefix = BytesMut::with_capacity(PREFIX);
    put_prefix(&mut prefix, form.is_compressed, left);
    let sending = Sending {
        tx,
        source,
        left,
        chunk: prefix.freeze(),
        reservation,
        is_whole: form.is_whole,
        is_pending: false,
        trailers,
    };
    let token = ctx.insert(Entry { open, waker: None, state: State::Sending(Box::new(sending)) });
    pump(ctx, token);
}

/// Trailers of a success.
pub(super) fn ok_trailers(trailers: Option<Box<HeaderMap>>) -> HeaderMap {
    let mut map = trailers.map_or_else(|| HeaderMap::with_capacity(1), |b| *b);
    Status::OK.write(&mut map);
    map
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
        if conn.is_some_and(|conn| conn.stalls(ctx.socket_share(), token)) {
            return Poll::Pending;
        }
        let wanted = if s.chunk.is_empty() { s.left.min(CHUNK) } else { s.chunk.len() };
        let window = match std::task::ready!(window(&mut s.tx, wanted, cx)) {
            Some(window) => window,
            None => return Poll::Ready(Err(Code::Canceled)),
        };
        if s.chunk.is_empty() {
            match std::task::ready!(read(ctx, token, s, window.max(LEAST).min(wanted), cx)) {
                Ok(()) => continue,
                Err(code) => return reset(s, code),
            }
        }
        let part = s.chunk.split_to(window.min(s.chunk.len()));
        if let Some(conn) = conn {
            conn.handed(part.len());
        }
        s.reservation.set(s.reservation.bytes.saturating_sub(part.len()));
        if s.tx.send_data(part, false).is_err() {
            return Poll::Ready(Err(Code::Canceled));
        }
    }
}

/// Bytes that the peer's window takes now; `None` when the peer is gone.
fn window(tx: &mut h2::SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    tx.reserve_capacity(wanted);
    match tx.capacity() {
        0 => tx.poll_capacity(cx).map(|window| window.and_then(Result::ok)),
        window => Poll::Ready(Some(window)),
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
    if !s.is_whole && !s.is_pending {
        let total = ctx.answer_bytes.get();
        if total > 0 && total + wanted > ctx.limits.answer_bytes {
            ctx.unread.borrow_mut().push_back(token);
            return Poll::Pending;
        }
        s.reservation.set(wanted);
        s.is_pending = true;
    }
    let chunk = std::task::ready!(s.source.poll_chunk(wanted, cx));
    s.is_pending = false;
    Poll::Ready(match chunk {
        Some(Ok(chunk)) if chunk.len() <= s.left => {
            if !s.is_whole {
                s.reservation.set(chunk.len());
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
    if ctx.unread.borrow().is_empty() && ctx.unread_inside.borrow().is_empty() {
        return;
    }
    let left = ctx.limits.answer_bytes.saturating_sub(ctx.answer_bytes.get());
    // with nothing in memory one may always go on
    let left = if ctx.answer_bytes.get() == 0 { left.max(CHUNK) } else { left };
    ctx.wake_waiting(&ctx.unread, left, CHUNK);
    for _ in 0..left / CHUNK {
        let Some(waker) = ctx.unread_inside.borrow_mut().pop_front() else { return };
        waker.wake();
    }
}

/// While others wait for the budget: ends answers that do not get rid of what was read of them.
pub(super) fn sweep(ctx: &LoopCtx, now: Instant) {
    if ctx.unread.borrow().is_empty() {
        return;
    }
    let limit = ctx.limits.answer_stall;
    let stuck = |entry: &Entry| {
        let State::Sending(s) = &entry.state else { return false };
        let since = s.reservation.since;
        s.reservation.bytes > 0 && !s.is_pending && now.saturating_duration_since(since) > limit
    };
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
