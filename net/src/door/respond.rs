//! Writing answers of unary calls, and what happens to calls that wait.
//!
//! Small answers go to h2 at once; large ones are pulled against the peer's window, one chunk at a time.

use super::answer::{Answer, AnswerSource, Body, Message, Ready, put_prefix};
use super::call::{CallToken, Open, Responder};
use super::ctx::LoopCtx;
use super::frame::PREFIX;
use super::head;
use super::read;
use super::status::{Code, Status};
use super::stream;
use super::table::{Entry, Sending, State};
use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, StatusCode};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Most bytes asked of the window at once for a large answer.
const STEP: usize = 64 << 10;

/// Answers a call. Errors of h2 mean that the peer is gone: the answer is dropped.
pub(super) fn answer(mut open: Open, responder: Responder, answer: Answer) {
    open.code = match &answer.body {
        Body::Status(status) => status.code,
        Body::Message(_) | Body::Source(_) => Code::Ok,
    };
    let mut respond = match responder {
        Responder::H2(respond) => respond,
        Responder::Local(give) => {
            drop(open);
            return give(answer);
        }
    };
    let trailers = answer.trailers;
    match answer.body {
        Body::Status(status) => {
            let _ = respond.send_response(head::trailers_only(StatusCode::OK, &status, trailers), true);
        }
        Body::Message(message) if message.len() <= open.ctx.limits.direct_answer => {
            open.ctx.observer().msg_sent(&open.method, message.len());
            if write_whole(&mut respond, message, trailers).is_err() {
                open.code = Code::Canceled;
            }
        }
        Body::Message(message) => {
            // held in memory until the peer takes it: counted, so that peers who take nothing stop being asked for more
            open.charge(message.len());
            let chunks = match message {
                Message::One(bytes) => vec![bytes],
                Message::Many(chunks) => chunks,
            };
            send(open, respond, Box::new(Ready(chunks.into_iter())), trailers);
        }
        Body::Source(source) => send(open, respond, source, trailers),
    }
}

fn write_whole(
    respond: &mut SendResponse<Bytes>,
    message: Message,
    trailers: Option<Box<HeaderMap>>,
) -> Result<(), h2::Error> {
    let mut tx = respond.send_response(head::ok(), false)?;
    let mut result = Ok(());
    message.into_frames(|frame| {
        if result.is_ok() {
            result = tx.send_data(frame, false);
        }
    });
    result?;
    tx.send_trailers(ok_trailers(trailers))
}

fn ok_trailers(trailers: Option<Box<HeaderMap>>) -> HeaderMap {
    let mut map = trailers.map_or_else(|| HeaderMap::with_capacity(1), |b| *b);
    Status::OK.write(&mut map);
    map
}

/// Starts a large answer.
fn send(open: Open, mut respond: SendResponse<Bytes>, source: Box<dyn AnswerSource>, trailers: Option<Box<HeaderMap>>) {
    let Ok(tx) = respond.send_response(head::ok(), false) else { return };
    let left = source.total_len();
    open.ctx.observer().msg_sent(&open.method, left);
    let mut prefix = BytesMut::with_capacity(PREFIX);
    put_prefix(&mut prefix, left);
    let ctx = open.ctx.clone();
    let sending = Sending { tx, source, left, chunk: prefix.freeze(), trailers };
    let token = ctx.insert(Entry { open, waker: None, state: State::Sending(Box::new(sending)) });
    pump(&ctx, token);
}

/// Moves a large answer on as far as the window goes.
fn pump(ctx: &LoopCtx, token: CallToken) {
    let Some(waker) = ctx.waker(token) else { return };
    let Some(State::Sending(mut s)) = ctx.table.borrow_mut().take_state(token) else { return };
    let outcome = pump_some(&mut s, &mut Context::from_waker(&waker));
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

fn pump_some(s: &mut Sending, cx: &mut Context<'_>) -> Poll<Result<(), Code>> {
    loop {
        if s.chunk.is_empty() {
            if s.left == 0 {
                let trailers = ok_trailers(s.trailers.take());
                return Poll::Ready(s.tx.send_trailers(trailers).map_err(|_| Code::Canceled));
            }
            match std::task::ready!(s.source.poll_chunk(cx)) {
                Some(Ok(chunk)) if chunk.len() <= s.left => {
                    s.left -= chunk.len();
                    s.chunk = chunk;
                }
                // the length was promised in the prefix: a half-sent message can only be reset
                Some(Ok(_)) | None => return reset(s, Code::Internal),
                Some(Err(status)) => return reset(s, status.code),
            }
            continue;
        }
        s.tx.reserve_capacity(s.chunk.len().min(STEP));
        let mut room = s.tx.capacity();
        if room == 0 {
            room = match std::task::ready!(s.tx.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(_)) | None => return Poll::Ready(Err(Code::Canceled)),
            };
        }
        let part = s.chunk.split_to(room.min(s.chunk.len()));
        if s.tx.send_data(part, false).is_err() {
            return Poll::Ready(Err(Code::Canceled));
        }
    }
}

fn reset(s: &mut Sending, code: Code) -> Poll<Result<(), Code>> {
    s.tx.send_reset(Reason::INTERNAL_ERROR);
    Poll::Ready(Err(code))
}

/// Registers interest in the peer's reset of a waiting call; cancels it when that has come already.
pub(super) fn watch_reset(ctx: &LoopCtx, token: CallToken) {
    let Some(waker) = ctx.waker(token) else { return };
    let gone = match ctx.table.borrow_mut().get_mut(token).map(|e| &mut e.state) {
        Some(State::Waiting { responder: Responder::H2(respond), .. }) => {
            respond.poll_reset(&mut Context::from_waker(&waker)).is_ready()
        }
        _ => false,
    };
    if gone {
        cancel_waiting(ctx, token, None);
    }
}

/// Ends a waiting call and tells the service that asked to be told.
pub(super) fn cancel_waiting(ctx: &LoopCtx, token: CallToken, status: Option<Status>) {
    let entry = ctx.table.borrow_mut().remove(token);
    let Some(Entry { open, state: State::Waiting { responder, on_cancel }, .. }) = entry else { return };
    if let Some(status) = status {
        answer(open, responder, status.into());
    }
    if let Some(tell) = on_cancel {
        tell();
        // this may be outside a round, and what the service says now must not wait for the next busy one
        ctx.called.set(true);
    }
}

/// A call's waker fired.
pub(super) fn woken(ctx: &Rc<LoopCtx>, token: CallToken) {
    enum Kind {
        Reading,
        Waiting,
        Sending,
        Streaming,
    }
    let kind = {
        let table = ctx.table.borrow();
        let Some(entry) = table.get(token) else { return };
        if let Some(waker) = &entry.waker {
            waker.queued.store(false, Ordering::Release);
        }
        match entry.state {
            State::Reading(_) => Kind::Reading,
            State::Waiting { .. } => Kind::Waiting,
            State::Sending(_) => Kind::Sending,
            State::Streaming(_) => Kind::Streaming,
            State::Taken => return,
        }
    };
    match kind {
        Kind::Reading => read::more(ctx, token),
        Kind::Waiting => watch_reset(ctx, token),
        Kind::Sending => pump(ctx, token),
        Kind::Streaming => stream::deliver(ctx, token),
    }
}

/// Ends a call whose deadline passed, whatever it is doing.
pub(super) fn expire(ctx: &LoopCtx, token: CallToken, status: &Status) {
    let mut table = ctx.table.borrow_mut();
    match table.get(token).map(|e| &e.state) {
        Some(State::Waiting { .. }) => {
            drop(table);
            cancel_waiting(ctx, token, Some(status.clone()));
        }
        Some(State::Streaming(_)) => {
            drop(table);
            stream::abort(ctx, token, status);
        }
        Some(State::Reading(_) | State::Sending(_)) => {
            let entry = table.remove(token);
            drop(table);
            match entry {
                Some(Entry { open, state: State::Reading(r), .. }) => {
                    read::release(ctx, &r);
                    answer(open, Responder::H2(r.respond), status.clone().into());
                }
                Some(Entry { mut open, state: State::Sending(mut s), .. }) => {
                    open.code = status.code;
                    s.tx.send_reset(Reason::CANCEL);
                }
                _ => {}
            }
        }
        Some(State::Taken) | None => {}
    }
}
