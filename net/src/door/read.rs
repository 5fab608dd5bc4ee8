//! From an accepted HTTP/2 request to a service: head checks, the request message, the hand-over.
//!
//! A message that is there as a whole goes straight to its service; the table is used only when it is not.

use super::call::Call;
use super::calls::{Entry, LoopCtx, Reading, Responder, Rx, State, Tx};
use super::conn::Accepted;
use super::frame::{Decoder, PREFIX};
use super::head::{self, Head};
use super::long_calls;
use super::meta::CallMeta;
use super::method::{Handler, MethodTable};
use super::open::Open;
use super::reservation::AssemblyPermit;
use super::respond;
use super::status::{Code, Status};
use super::stream;
use super::token::CallToken;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::StatusCode;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Starts a request; gives it back when it is not gRPC.
pub(super) fn accept(ctx: &Rc<LoopCtx>, methods: &MethodTable, accepted: Accepted) -> Option<Accepted> {
    let request = &accepted.request;
    if !accepted.conn.0.peer.grpc {
        return Some(accepted);
    }
    let peer = &accepted.conn.0.peer;
    let shares = peer.tls.is_some() && peer.http;
    let timeout = match head::judge(request.method(), request.headers(), shares) {
        Head::Http => return Some(accepted),
        Head::Refused(http, status) => {
            refuse(accepted.respond, http, &status);
            return None;
        }
        Head::Grpc(timeout) => timeout,
    };
    let Some(method) = methods.find(request.uri().path()) else {
        let status = methods.unknown(request.uri().path());
        refuse(accepted.respond, StatusCode::OK, &status);
        return None;
    };
    let Accepted { conn, request, respond } = accepted;
    let (parts, body) = request.into_parts();
    if ctx.calls.get() >= ctx.limits.max_calls {
        long_calls::report_no_room(&conn.0, &ctx.limits);
        refuse(respond, StatusCode::OK, &ctx.limits.busy);
        return None;
    }
    let deadline = timeout.and_then(|t| ctx.now().checked_add(t));
    let peer = conn.0.peer.clone();
    let mut open = Open::new(&ctx.state, Some(conn), &method.info, deadline, &parts.headers);
    match head::encoding(&parts.headers) {
        Ok(encoding) => open.encoding = encoding,
        Err(status) => {
            respond::answer(ctx, open, Responder::H2(respond), status.into());
            return None;
        }
    }
    let meta = CallMeta { method: method.info.clone(), headers: parts.headers, deadline, peer, is_local: false };
    match &method.handler {
        Handler::Bidi(_) | Handler::ServerStream(_) if !open.become_long() => {
            respond::answer(ctx, open, Responder::H2(respond), ctx.limits.busy.clone().into());
        }
        Handler::Bidi(handler) => {
            let handler = handler.clone();
            let decoder = Decoder::new(ctx.limits.max_recv_message, open.encoding);
            let handle = stream::insert(ctx, open, Tx::Unsent(respond), Some(Rx::H2(body)), decoder);
            let events = handler.open(meta, handle.clone());
            stream::start(ctx, handle.token, events);
        }
        handler => first_look(ctx, methods, handler, Request { open, meta, respond, body }),
    }
    None
}

/// Answers without a service.
fn refuse(mut respond: SendResponse<Bytes>, http: StatusCode, status: &Status) {
    // an error means that the peer is gone
    let _ = respond.send_response(head::trailers_only(http, status, None), true);
}

/// A request whose head was judged.
struct Request {
    open: Open,
    meta: CallMeta,
    respond: SendResponse<Bytes>,
    body: RecvStream,
}

/// The usual case: the whole request came in one DATA frame, which ended the stream.
fn first_look(ctx: &Rc<LoopCtx>, methods: &MethodTable, handler: &Handler, mut request: Request) {
    let mut decoder = Decoder::new(ctx.limits.max_recv_message, request.open.encoding);
    let mut held = 0;
    if let Poll::Ready(Some(Ok(chunk))) = request.body.poll_data(&mut Context::from_waker(Waker::noop())) {
        if let Some(message) = whole(&chunk, ctx)
            && request.body.is_end_stream()
        {
            return dispatch(ctx, handler, request.open, request.meta, request.respond, message);
        }
        held = chunk.len();
        decoder.push(chunk);
    }
    let reading = Reading {
        meta: request.meta,
        respond: request.respond,
        body: request.body,
        decoder,
        message: None,
        compressed: None,
        held,
        permit: None,
        waits: None,
        last_progress: ctx.now(),
    };
    let entry = Entry { open: request.open, waker: None, state: State::Reading(Box::new(reading)) };
    let token = ctx.insert(entry);
    more(ctx, methods, token);
}

/// The message, when `chunk` is exactly one uncompressed message small enough to keep its window.
fn whole(chunk: &Bytes, ctx: &LoopCtx) -> Option<Bytes> {
    let prefix: &[u8; PREFIX] = chunk.first_chunk()?;
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    let fits = len <= ctx.limits.max_recv_message && chunk.len() <= ctx.limits.hold_body;
    (prefix[0] == 0 && chunk.len() == PREFIX + len && fits).then(|| chunk.slice(PREFIX..))
}

/// Reads on; hands over when the message is whole and the peer has ended its side.
pub(super) fn more(ctx: &Rc<LoopCtx>, methods: &MethodTable, token: CallToken) {
    let Some(waker) = ctx.waker(token) else { return };
    let Some(State::Reading(mut r)) = ctx.table.borrow_mut().take_state(token) else { return };
    let outcome = read_some(ctx, token, &mut r, &mut Context::from_waker(&waker));
    if let Poll::Ready(Read::Compressed(message)) = outcome {
        // it waits for its turn in a round
        r.compressed = Some(message);
        ctx.to_inflate.borrow_mut().push_back(token);
        ctx.table.borrow_mut().put_state(token, State::Reading(r));
        return;
    }
    if outcome.is_pending() {
        ctx.table.borrow_mut().put_state(token, State::Reading(r));
        return;
    }
    let entry = ctx.table.borrow_mut().remove(token);
    let Some(Entry { open, .. }) = entry else { return };
    r.permit = None;
    match outcome {
        Poll::Ready(Read::Message(message)) => {
            // without methods the loop has ended
            if let Some(handler) = methods.handler(r.meta.method()) {
                dispatch(ctx, handler, open, r.meta, r.respond, message);
            }
        }
        Poll::Ready(Read::Fail(status)) => respond::answer(ctx, open, Responder::H2(r.respond), status.into()),
        Poll::Ready(Read::Gone | Read::Compressed(_)) | Poll::Pending => {}
    }
}

/// Inflates messages that wait for it, as far as this round goes. True when there were any.
pub(super) fn inflate(ctx: &Rc<LoopCtx>, methods: &MethodTable) -> bool {
    let mut any = false;
    while ctx.may_inflate() {
        let Some(token) = ctx.to_inflate.borrow_mut().pop_front() else { break };
        any = true;
        let streams = matches!(ctx.table.borrow().get(token).map(|e| &e.state), Some(State::Streaming(_)));
        if streams { stream::inflate(ctx, token) } else { inflate_request(ctx, methods, token) }
    }
    any
}

/// True when the next round can go on with that.
pub(super) fn inflates_on(ctx: &LoopCtx) -> bool {
    ctx.has_room() && !ctx.to_inflate.borrow().is_empty()
}

fn inflate_request(ctx: &Rc<LoopCtx>, methods: &MethodTable, token: CallToken) {
    let mut table = ctx.table.borrow_mut();
    // its deadline may have passed meanwhile
    if !matches!(table.get(token).map(|e| &e.state), Some(State::Reading(_))) {
        return;
    }
    let entry = table.remove(token);
    drop(table);
    let Some(Entry { open, state: State::Reading(mut r), .. }) = entry else { return };
    let Some(compressed) = r.compressed.take() else { return };
    match ctx.inflate(&compressed) {
        Ok(message) => {
            r.permit = None;
            if let Some(handler) = methods.handler(r.meta.method()) {
                dispatch(ctx, handler, open, r.meta, r.respond, message);
            }
        }
        Err(status) => respond::answer(ctx, open, Responder::H2(r.respond), status.into()),
    }
}

/// Goes on with messages that waited for a permit.
pub(super) fn assemble_on(ctx: &LoopCtx) {
    if !ctx.unassembled.borrow().is_empty() {
        let limits = &ctx.limits;
        let left = limits.assembly_bytes.saturating_sub(ctx.assembly_bytes.get());
        ctx.wake_waiting(&ctx.unassembled, left, limits.max_recv_message);
    }
}

enum Read {
    Message(Bytes),
    /// Compressed.
    Compressed(Bytes),
    Fail(Status),
    Gone,
}

fn read_some(ctx: &Rc<LoopCtx>, token: CallToken, r: &mut Reading, cx: &mut Context<'_>) -> Poll<Read> {
    if r.compressed.is_some() {
        return Poll::Pending;
    }
    loop {
        if r.message.is_none() {
            match r.decoder.next() {
                Ok(message) => r.message = message,
                Err(status) => return Poll::Ready(Read::Fail(status)),
            }
        }
        if r.message.is_none() && r.permit.is_none() && r.decoder.declared() > ctx.limits.free_assembly {
            r.permit = AssemblyPermit::take(&ctx.state, r.decoder.declared());
            if r.permit.is_none() {
                // what has come lies in the peer's window: it sends no more than that
                r.waits.get_or_insert(ctx.now());
                ctx.unassembled.borrow_mut().push_back(token);
                return Poll::Pending;
            }
            if r.waits.take().is_some() {
                r.last_progress = ctx.now();
            }
        }
        if r.message.is_some() && r.decoder.is_partial() {
            let text = "grpc: more than one message was sent to a method that takes one";
            return Poll::Ready(Read::Fail(Status::new(Code::Internal, text)));
        }
        match r.body.poll_data(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                // the last piece keeps its window until the call is answered; a message in the making must not, or several of
                // one connection would wait for each other
                let held = std::mem::replace(&mut r.held, chunk.len());
                let _ = r.body.flow_control().release_capacity(held);
                r.last_progress = ctx.now();
                r.decoder.push(chunk);
            }
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Read::Gone),
            Poll::Ready(None) => {
                return Poll::Ready(match r.message.take() {
                    Some(message) if message.is_compressed => Read::Compressed(message.bytes),
                    Some(message) => Read::Message(message.bytes),
                    // grpc-go reports the reader's error as it is
                    None if r.decoder.is_partial() => Read::Fail(Status::new(Code::Unknown, "unexpected EOF")),
                    None => Read::Fail(Status::new(Code::Unknown, "EOF")),
                });
            }
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Hands a whole request to its service.
fn dispatch(
    ctx: &Rc<LoopCtx>,
    handler: &Handler,
    mut open: Open,
    meta: CallMeta,
    respond: SendResponse<Bytes>,
    message: Bytes,
) {
    ctx.observer().msg_received(&open.method, message.len());
    match handler {
        Handler::Unary(handler) => {
            open.charge(message.len());
            handler.call(Call::new(ctx, open, meta, Responder::H2(respond)), message);
        }
        Handler::ServerStream(handler) => {
            let handle = stream::insert(ctx, open, Tx::Unsent(respond), None, Decoder::closed());
            let events = handler.open(meta, message, handle.clone());
            stream::start(ctx, handle.token, events);
        }
        Handler::Bidi(_) => unreachable!("a bidi method reads its own messages"),
    }
}
