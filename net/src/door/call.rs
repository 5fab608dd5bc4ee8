//! A call in a service's hands: who asks, with which metadata, and the right to answer once.
//!
//! Dropping a [`Call`] unanswered answers it with `Internal`, so that no client waits for a forgotten request.

use super::answer::Answer;
use super::compress::Encoding;
use super::ctx::{ConnGuard, ConnShared, LoopCtx};
use super::method::MethodInfo;
use super::respond;
use super::status::{Code, Status};
use super::table::{Entry, State};
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::time::Instant;

/// Name of a deferred call or a stream on its loop. Never reused for another call of the same loop (until 2^32 calls have used one slot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallToken {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl CallToken {
    /// Reverse of [`Self::as_u64`].
    pub fn from_u64(token: u64) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }

    /// As one number, for logs and for keys.
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address of the peer; `None` on a unix socket or inside the process.
    pub addr: Option<SocketAddr>,
    /// What TLS knows of it; `None` for a plain connection.
    pub tls: Option<PeerTls>,
    /// The number its listener was given, see [`ListenSpec`](super::ListenSpec).
    pub listener: u32,
    /// False on a listener for plain HTTP only.
    pub grpc: bool,
    /// True on a listener for scrapers and probes only.
    pub metrics_only: bool,
}

/// TLS facts of a peer.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// Verified client certificates, leaf first; empty when none was sent.
    pub certs: Vec<CertificateDer<'static>>,
    /// Server name the client asked for.
    pub server_name: Option<String>,
}

/// What came with a call besides its message.
#[derive(Clone, Debug)]
pub struct CallMeta {
    pub(super) method: Rc<MethodInfo>,
    pub(super) headers: HeaderMap,
    pub(super) deadline: Option<Instant>,
    pub(super) peer: Rc<Peer>,
}

impl CallMeta {
    /// The method called.
    pub fn method(&self) -> &MethodInfo {
        &self.method
    }

    /// All headers as they came (gRPC's own included).
    pub fn metadata(&self) -> &HeaderMap {
        &self.headers
    }

    /// First value of a metadata key (lower case).
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.headers.get(key).map(HeaderValue::as_bytes)
    }

    /// When the client stops waiting. The door answers by itself then.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The other end.
    pub fn peer(&self) -> &Rc<Peer> {
        &self.peer
    }
}

/// Book-keeping of a call that is not over: given back and reported when dropped.
pub(super) struct Open {
    pub(super) ctx: Rc<LoopCtx>,
    /// Counts the call against its connection; `None` for a call from inside.
    pub(super) conn: Option<ConnGuard>,
    pub(super) method: Rc<MethodInfo>,
    pub(super) started: Instant,
    pub(super) deadline: Option<Instant>,
    /// How its client compresses messages, and takes them.
    pub(super) encoding: Encoding,
    /// Request bytes counted against the loop.
    pub(super) charged: usize,
    /// How it ended; `Canceled` unless set.
    pub(super) code: Code,
}

impl Open {
    /// A call begins: counted until it is dropped.
    pub(super) fn new(
        ctx: &Rc<LoopCtx>,
        conn: Option<ConnGuard>,
        method: &Rc<MethodInfo>,
        deadline: Option<Instant>,
    ) -> Self {
        ctx.observer().started(method);
        ctx.calls.set(ctx.calls.get() + 1);
        Self {
            ctx: ctx.clone(),
            conn,
            method: method.clone(),
            started: ctx.now(),
            deadline,
            encoding: Encoding::Identity,
            charged: 0,
            code: Code::Canceled,
        }
    }

    /// The connection it came on; `None` for a call from inside.
    pub(super) fn connection(&self) -> Option<&Rc<ConnShared>> {
        self.conn.as_ref().map(|guard| &guard.0)
    }

    pub(super) fn charge(&mut self, bytes: usize) {
        self.charged += bytes;
        self.ctx.request_bytes.set(self.ctx.request_bytes.get() + bytes);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let ctx = &self.ctx;
        ctx.request_bytes.set(ctx.request_bytes.get() - self.charged);
        ctx.calls.set(ctx.calls.get() - 1);
        ctx.observer().handled(&self.method, self.code, ctx.now().saturating_duration_since(self.started));
    }
}

/// Where an answer goes.
pub(super) enum Responder {
    H2(SendResponse<Bytes>),
    Local(Box<dyn FnOnce(Answer)>),
}

/// A unary call: its metadata and the right to answer it.
pub struct Call {
    pub(super) meta: CallMeta,
    pub(super) right: Option<(Open, Responder)>,
}

impl std::ops::Deref for Call {
    type Target = CallMeta;

    fn deref(&self) -> &CallMeta {
        &self.meta
    }
}

impl Call {
    /// Answers now. The bytes leave at the end of the loop's round, together with all others.
    pub fn reply(mut self, answer: impl Into<Answer>) {
        if let Some((open, responder)) = self.right.take() {
            respond::answer(open, responder, answer.into());
        }
    }

    /// Keeps the right to answer for [`LoopHandle::complete`](super::LoopHandle::complete). When the deadline passes the door answers by itself.
    pub fn defer(self) -> CallToken {
        self.put(None)
    }

    /// As [`Self::defer`], and `on_cancel` is called when the client gives up, its deadline passes or its connection goes:
    /// for calls that wait long and must clean up (locks, elections). Costs a little more than [`Self::defer`].
    pub fn defer_with(self, on_cancel: impl FnOnce() + 'static) -> CallToken {
        self.put(Some(Box::new(on_cancel)))
    }

    fn put(mut self, on_cancel: Option<Box<dyn FnOnce()>>) -> CallToken {
        let (open, responder) = self.right.take().unwrap_or_else(|| unreachable!("a call is answered once"));
        let ctx = open.ctx.clone();
        let watched = on_cancel.is_some();
        let token = ctx.insert(Entry { open, waker: None, state: State::Waiting { responder, on_cancel } });
        if watched {
            respond::watch_reset(&ctx, token);
        }
        token
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some((open, responder)) = self.right.take() {
            let status = Status::new(Code::Internal, "the service gave no answer");
            respond::answer(open, responder, status.into());
        }
    }
}
