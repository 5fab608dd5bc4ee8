//! Calls from inside the process: the JSON gateway reaches the same methods without a socket.
//!
//! Same table, same credit, same accounting as a call from outside. Must not bypass a service's own checks.

use super::answer::{Answer, Message};
use super::call::Call;
use super::calls::{LoopCtx, Responder, Rx, StreamHandle, Tx};
use super::frame::Decoder;
use super::loop_handle::LoopHandle;
use super::meta::CallMeta;
use super::method::{Handler, Method};
use super::open::Open;
use super::peer::Peer;
use super::pipe::Pipe;
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

/// A stream opened from inside: a source of the service's messages, ended by its status. Dropping it cancels the stream.
///
/// Yields `Ok` for every message and at the end one `Err` with the status, `OK` included.
pub struct LocalStream {
    ctx: Rc<LoopCtx>,
    token: CallToken,
    pipe: Rc<RefCell<Pipe>>,
    over: bool,
}

impl LocalStream {
    /// Hands a message to the service. The caller bounds how many it sends ahead.
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
        if let Some(message) = pipe.out.pop_front() {
            let drained = pipe.out.is_empty();
            drop(pipe);
            if drained {
                me.wake_service();
            }
            return Poll::Ready(Some(Ok(message)));
        }
        if let Some(status) = pipe.end.take() {
            me.over = true;
            return Poll::Ready(Some(Err(status)));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        stream::abort(&self.ctx, self.token, &Status::canceled());
    }
}

impl LoopHandle {
    /// Calls a unary method of this loop from inside. `on_answer` may be called before this returns. Streaming methods and
    /// unknown paths answer `Unimplemented`.
    pub fn call(
        &self,
        path: &str,
        headers: HeaderMap,
        peer: Rc<Peer>,
        body: Bytes,
        on_answer: impl FnOnce(Answer) + 'static,
    ) {
        let methods = self.methods.table();
        let Some(method) = methods.find(path) else {
            return on_answer(methods.unknown(path).into());
        };
        let Handler::Unary(handler) = &method.handler else {
            let text = format!("{path} is a stream");
            return on_answer(Status::new(Code::Unimplemented, text).into());
        };
        let (mut open, meta) = self.begin(method, headers, peer);
        self.ctx.observer().msg_received(&method.info, body.len());
        open.charge(body.len());
        handler.call(Call::new(&self.ctx, open, meta, Responder::Local(Box::new(on_answer))), body);
    }

    /// Opens a stream of this loop from inside. `body` is the request of a server stream; a bidi method gets it as its first message.
    ///
    /// # Errors
    /// `Unimplemented` for unary methods and unknown paths.
    pub fn open(&self, path: &str, headers: HeaderMap, peer: Rc<Peer>, body: Bytes) -> Result<LocalStream, Status> {
        let methods = self.methods.table();
        let method = methods.find(path).ok_or_else(|| methods.unknown(path))?;
        if let Handler::Unary(_) = method.handler {
            return Err(Status::new(Code::Unimplemented, format!("{path} is not a stream")));
        }
        let (open, meta) = self.begin(method, headers, peer);
        let pipe = Rc::new(RefCell::new(Pipe::default()));
        let rx = matches!(method.handler, Handler::Bidi(_)).then(|| Rx::Local(pipe.clone()));
        let handle = stream::insert(&self.ctx, open, Tx::Local(pipe.clone()), rx, Decoder::closed());
        let local = LocalStream { ctx: self.ctx.clone(), token: handle.token(), pipe, over: false };
        let events = match &method.handler {
            Handler::Bidi(handler) => {
                local.pipe.borrow_mut().inward.push_back(body);
                handler.open(meta, handle.clone())
            }
            Handler::ServerStream(handler) => {
                self.ctx.observer().msg_received(&method.info, body.len());
                handler.open(meta, body, handle.clone())
            }
            Handler::Unary(_) => unreachable!("refused above"),
        };
        stream::start(&self.ctx, StreamHandle::token(&handle), events);
        Ok(local)
    }

    fn begin(&self, method: &Method, headers: HeaderMap, peer: Rc<Peer>) -> (Open, CallMeta) {
        let ctx = &self.ctx;
        // the caller is a task of its own: have the loop run a round, so that what the service collects is handed on
        ctx.called.set(true);
        ctx.ready.wake_loop();
        let open = Open::new(&ctx.state, None, &method.info, None, &headers);
        (open, CallMeta { method: method.info.clone(), headers, deadline: None, peer, is_local: true })
    }
}
