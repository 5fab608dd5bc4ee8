//! Writing answers of unary calls, and what happens to calls that wait.
//!
//! Small answers go to h2 at once; large ones are [`send`](super::send)'s.

use super::answer::{Answer, Body};
use super::call::{CallToken, Open, Responder};
use super::compress::Outgoing;
use super::ctx::LoopCtx;
use super::head;
use super::read;
use super::send;
use super::status::{Code, Status};
use super::stream;
use super::table::{Entry, State};
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Context;

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
        Body::Message(message) => {
            open.ctx.observer().msg_sent(&open.method, message.len());
            let outgoing = open.ctx.encode(open.encoding, message);
            let bytes = outgoing.message.len();
            if bytes > open.ctx.limits.direct_answer {
                return send::whole(open, respond, outgoing, trailers);
            }
            if let Some(conn) = open.connection() {
                conn.handed(bytes);
            }
            if write_whole(&mut respond, head::ok(open.encoding), outgoing, trailers).is_err() {
                open.code = Code::Canceled;
            }
        }
        Body::Source(source) => send::pulled(open, respond, source, trailers),
    }
}

fn write_whole(
    respond: &mut SendResponse<Bytes>,
    head: Response<()>,
    outgoing: Outgoing,
    trailers: Option<Box<HeaderMap>>,
) -> Result<(), h2::Error> {
    let mut tx = respond.send_response(head, false)?;
    let mut result = Ok(());
    outgoing.into_frames(|frame| {
        if result.is_ok() {
            result = tx.send_data(frame, false);
        }
    });
    result?;
    tx.send_trailers(ok_trailers(trailers))
}

pub(super) fn ok_trailers(trailers: Option<Box<HeaderMap>>) -> HeaderMap {
    let mut map = trailers.map_or_else(|| HeaderMap::with_capacity(1), |b| *b);
    Status::OK.write(&mut map);
    map
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
        Kind::Sending => send::pump(ctx, token),
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
