//! The byte streams a connection can run on, with counters and a memory of bytes read ahead.
//!
//! Must not interpret bytes: those that were peeked are handed back, and those for HTTP/2 are shown to [`H2Input`].

use super::h2_input::{H2Input, PREFACE, Passed};
use bytes::{Buf, Bytes};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// What the loop sees of a connection's traffic.
#[derive(Default)]
pub(super) struct IoStats {
    pub(super) read: Cell<u64>,
    pub(super) written: Cell<u64>,
    /// The socket took no more at the last attempt.
    pub(super) blocked: Cell<bool>,
}

/// A plain socket, and bytes that were read from it ahead of time.
pub(super) struct Sock {
    pub(super) ahead: Bytes,
    pub(super) inner: SockKind,
}

pub(super) enum SockKind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A connection, plain or TLS.
pub(super) struct Io {
    pub(super) stats: Rc<IoStats>,
    pub(super) ahead: Bytes,
    pub(super) kind: IoKind,
    /// Set when HTTP/2 is spoken.
    pub(super) h2_input: Option<Box<H2Input>>,
}

pub(super) enum IoKind {
    Plain(Sock),
    Tls(Box<TlsStream<Sock>>),
}

fn serve_ahead(ahead: &mut Bytes, buf: &mut ReadBuf<'_>) -> bool {
    if ahead.is_empty() {
        return false;
    }
    let n = ahead.len().min(buf.remaining());
    buf.put_slice(&ahead[..n]);
    ahead.advance(n);
    true
}

/// Calls a method of whichever stream is inside.
macro_rules! on {
    ($kind:expr, $s:ident => $call:expr, $enum:ident { $($(#[$m:meta])? $v:ident),* }) => {
        match $kind { $($(#[$m])? $enum::$v($s) => $call),* }
    };
}

macro_rules! sock {
    ($self:ident, $s:ident => $call:expr) => {
        on!(&mut $self.get_mut().inner, $s => $call, SockKind { Tcp, #[cfg(unix)] Unix })
    };
}

impl AsyncRead for Sock {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if serve_ahead(&mut self.ahead, buf) {
            return Poll::Ready(Ok(()));
        }
        sock!(self, s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Sock {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        sock!(self, s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        sock!(self, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on!(&self.inner, s => s.is_write_vectored(), SockKind { Tcp, #[cfg(unix)] Unix })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        sock!(self, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        sock!(self, s => Pin::new(s).poll_shutdown(cx))
    }
}

impl Io {
    pub(super) fn new(kind: IoKind) -> Self {
        Self { stats: Rc::new(IoStats::default()), ahead: Bytes::new(), kind, h2_input: None }
    }

    /// HTTP/2 follows. The preface is no frame; when it was read ahead, it is behind us.
    pub(super) fn speaks_h2(&mut self) {
        let preface = if self.ahead.is_empty() { PREFACE.len() } else { 0 };
        self.h2_input = Some(Box::new(H2Input::new(preface)));
    }

    fn note_write(stats: &IoStats, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(n)) => {
                stats.written.set(stats.written.get() + *n as u64);
                stats.blocked.set(false);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => stats.blocked.set(true),
        }
        result
    }
}

macro_rules! io {
    ($self:ident, $s:ident => $call:expr) => {
        on!(&mut $self.kind, $s => $call, IoKind { Plain, Tls })
    };
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if serve_ahead(&mut self.ahead, buf) {
            return Poll::Ready(Ok(()));
        }
        let me = self.get_mut();
        let before = buf.filled().len();
        loop {
            std::task::ready!(io!(me, s => Pin::new(s).poll_read(cx, buf)))?;
            let read = buf.filled().len() - before;
            me.stats.read.set(me.stats.read.get() + read as u64);
            let Some(input) = &mut me.h2_input else { return Poll::Ready(Ok(())) };
            if read == 0 {
                me.ahead = input.end().into();
                serve_ahead(&mut me.ahead, buf);
                return Poll::Ready(Ok(()));
            }
            match input.pass(&buf.filled()[before..]) {
                Passed::Same(bytes) => buf.set_filled(before + bytes),
                Passed::Instead(bytes) => {
                    buf.set_filled(before);
                    me.ahead = bytes.into();
                    serve_ahead(&mut me.ahead, buf);
                }
            }
            // nothing to hand on is no end: read on
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let result = io!(me, s => Pin::new(s).poll_write(cx, buf));
        Self::note_write(&me.stats, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let result = io!(me, s => Pin::new(s).poll_write_vectored(cx, bufs));
        Self::note_write(&me.stats, result)
    }

    fn is_write_vectored(&self) -> bool {
        on!(&self.kind, s => s.is_write_vectored(), IoKind { Plain, Tls })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        io!(me, s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        io!(me, s => Pin::new(s).poll_shutdown(cx))
    }
}
