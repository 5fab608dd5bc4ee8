//! Writing answers of unary calls, and what happens to calls that wait.
//!
//! Small answers go to h2 at once; large ones are [`send`](super::send)'s.

use super::answer::{Answer, Body};
use super::calls::{Entry, LoopCtx, Responder, State};
use super::compress::Outgoing;
use super::head;
use super::open::Open;
use super::send::{self, ok_trailers};
use super::status::{Code, Status};
use super::token::CallToken;
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode};
use std::task::Context;

/// Answers a call. Errors of h2 mean that the peer is gone: the answer is dropped.
pub(super) fn answer(ctx: &LoopCtx, mut open: Open, responder: Responder, answer: Answer) {
    open.code = match &answer.body {
        Body::Status(status) => status.code,
        Body::Message(_) | Body::Source(_) => Code::Ok,
    };
    let mut respond = match responder {
        Responder::H2(respond) => respond,
        Responder::Local(slot) => return slot.give(open, answer),
    };
    let trailers = answer.trailers;
    match answer.body {
        Body::Status(status) => {
            let _ = respond.send_response(head::trailers_only(StatusCode::OK, &status, trailers), true);
        }
        Body::Message(message) => {
            ctx.observer().msg_sent(&open.method, message.len());
            let outgoing = ctx.encode(open.encoding, message);
            let bytes = outgoing.message.len();
            if bytes > ctx.limits.direct_answer {
                return send::whole(ctx, open, respond, outgoing, trailers);
            }
            if let Some(conn) = open.connection() {
                conn.handed(bytes);
            }
            if write_whole(&mut respond, head::ok(open.encoding), outgoing, trailers).is_err() {
                open.code = Code::Canceled;
            }
        }
        Body::Source(source) => send::pulled(ctx, open, respond, source, trailers),
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

/// Ends a waiting call, and says so to its service when that wants to know.
pub(super) fn cancel_waiting(ctx: &LoopCtx, token: CallToken, status: Option<Status>) {
    let entry = ctx.table.borrow_mut().remove(token);
    let Some(Entry { open, state: State::Waiting { responder, on_cancel }, .. }) = entry else { return };
    if let Some(status) = status {
        answer(ctx, open, responder, status.into());
    }
    if let Some(on_cancel) = on_cancel {
        on_cancel();
        // this may be outside a round, and what the service says now must not wait for the next busy one
        ctx.called.set(true);
    }
}
