//! Calls from inside the process: the JSON gateway reaches the same methods without a socket.
//!
//! Same table, same credit, same accounting as a call from outside. Must not bypass a service's own checks.

use super::answer::Message;
use super::call::Call;
use super::calls::{LoopCtx, Responder, Rx, StreamHandle, Tx};
use super::frame::Decoder;
use super::local_call::LocalCall;
use super::loop_handle::LoopHandle;
use super::meta::CallMeta;
use super::method::{Handler, Method};
use super::open::Open;
use super::peer::Peer;
use super::pipe::Pipe;
use super::respond;
use super::status::{Code, Status};
use super::stream;
use super::token::CallToken;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// What comes with a call from inside besides its messages.
pub struct LocalMeta {
    /// Its metadata.
    pub headers: HeaderMap,
    /// When its caller stops waiting.
    pub deadline: Option<Instant>,
    /// On whose behalf it is made.
    pub peer: Rc<Peer>,
}

/// A stream opened from inside: a source of the service's messages, ended by its status. Dropping it cancels the stream.
///
/// Yields `Ok` for every message and at the end one `Err` with the status, `OK` included. A message counts against the stream's credit
/// until the next one is asked for.
pub struct LocalStream {
    ctx: Rc<LoopCtx>,
    token: CallToken,
    pipe: Rc<RefCell<Pipe>>,
    over: bool,
}

impl LocalStream {
    /// Waits until the service has taken everything that was sent.
    pub fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.inward.is_empty() {
            return Poll::Ready(());
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Hands a message to the service. The caller bounds how many it sends ahead, by [`Self::poll_taken`].
    pub fn send(&self, message: Bytes) {
        self.pipe.borrow_mut().inward.push_back(message);
        self.wake_service();
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        self.pipe.borrow_mut().ended = true;
        self.wake_service();
    }

    fn wake_service(&self) {
        if let Some(waker) = self.ctx.waker(self.token) {
            waker.wake();
        }
    }
}

impl Stream for LocalStream {
    type Item = Result<Message, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let me = self.get_mut();
        if me.over {
            return Poll::Ready(None);
        }
        let mut pipe = me.pipe.borrow_mut();
        let had = std::mem::take(&mut pipe.is_held);
        if let Some(message) = pipe.out.pop_front() {
            pipe.is_held = true;
            return Poll::Ready(Some(Ok(message)));
        }
        if let Some(status) = pipe.end.take() {
            me.over = true;
            return Poll::Ready(Some(Err(status)));
        }
        pipe.reader = Some(cx.waker().clone());
        drop(pipe);
        if had {
            // all is taken: the service may send again
            me.wake_service();
        }
        Poll::Pending
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        stream::abort(&self.ctx, self.token, &Status::canceled());
        self.ctx.ready.wake_loop();
    }
}

impl LoopHandle {
    /// Calls a unary method of this loop from inside. Streaming methods and unknown paths answer `Unimplemented`.
    pub fn call(&self, path: &str, meta: LocalMeta, body: Bytes) -> LocalCall {
        let (call, slot) = LocalCall::new(&self.ctx);
        let methods = self.methods.table();
        match methods.find(path) {
            None => slot.refuse(methods.unknown(path)),
            Some(method) => match &method.handler {
                Handler::Unary(handler) => {
                    let is_full = self.is_full();
                    let (mut open, meta) = self.begin(method, meta);
                    let responder = Responder::Local(slot);
                    if is_full {
                        respond::answer(&self.ctx, open, responder, self.ctx.limits.busy.clone().into());
                        return call;
                    }
                    self.ctx.observer().msg_received(&method.info, body.len());
                    open.charge(body.len());
                    handler.call(Call::new(&self.ctx, open, meta, responder), body);
                }
                _ => slot.refuse(Status::new(Code::Unimplemented, format!("{path} is a stream"))),
            },
        }
        call
    }

    /// Opens a stream of this loop from inside. `body` is the request of a server stream; of a bidi method it is the first message, if
    /// there is one.
    ///
    /// # Errors
    /// `Unimplemented` for unary methods and unknown paths; busy.
    pub fn open(&self, path: &str, meta: LocalMeta, body: Option<Bytes>) -> Result<LocalStream, Status> {
        let methods = self.methods.table();
        let method = methods.find(path).ok_or_else(|| methods.unknown(path))?;
        if let Handler::Unary(_) = method.handler {
            return Err(Status::new(Code::Unimplemented, format!("{path} is not a stream")));
        }
        if self.is_full() {
            return Err(self.ctx.limits.busy.clone());
        }
        let (open, meta) = self.begin(method, meta);
        let pipe = Rc::new(RefCell::new(Pipe::default()));
        let rx = matches!(method.handler, Handler::Bidi(_)).then(|| Rx::Local(pipe.clone()));
        let handle = stream::insert(&self.ctx, open, Tx::Local(pipe.clone()), rx, Decoder::closed());
        let local = LocalStream { ctx: self.ctx.clone(), token: handle.token(), pipe, over: false };
        let events = match &method.handler {
            Handler::Bidi(handler) => {
                local.pipe.borrow_mut().inward.extend(body);
                handler.open(meta, handle.clone())
            }
            Handler::ServerStream(handler) => {
                let body = body.unwrap_or_default();
                self.ctx.observer().msg_received(&method.info, body.len());
                handler.open(meta, body, handle.clone())
            }
            Handler::Unary(_) => unreachable!("refused above"),
        };
        stream::start(&self.ctx, StreamHandle::token(&handle), events);
        Ok(local)
    }

    /// True when the loop takes on no further call.
    fn is_full(&self) -> bool {
        self.ctx.calls.get() >= self.ctx.limits.max_calls || !self.ctx.has_room()
    }

    fn begin(&self, method: &Method, meta: LocalMeta) -> (Open, CallMeta) {
        let ctx = &self.ctx;
        // the caller is a task of its own: have the loop run a round, so that what the service collects is handed on
        ctx.called.set(true);
        ctx.ready.wake_loop();
        let LocalMeta { headers, deadline, peer } = meta;
        let open = Open::new(&ctx.state, None, &method.info, deadline, &headers);
        (open, CallMeta { method: method.info.clone(), headers, deadline, peer, is_local: true })
    }
}
